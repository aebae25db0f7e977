"""Work on a weight that can be done once and used for many inputs, such as packing it for a fast kernel.

What is prepared, and how, is the business of the kernel folder; everybody else carries the result along without
looking into it. A folder that has nothing to prepare gives kind "plain", and the op then runs as if nothing was passed.
"""

from typing import Any, NamedTuple

from ..kernels import folder_for, kernels_for, winograd_allowed
from .check import Array
from .conv_transpose import size_of_output
from .geometry import pair, parse_padding, windows


class Prepared(NamedTuple):
    """An opaque value for `prepared=`: made by one kernel folder for one weight, ignored by every other.

    Attributes:
        folder: the kernel folder that made it.
        kind: what `data` is, to that folder; kinds that begin with "winograd" are used only where that is allowed.
        geometry: sizes, steps and groups, as the folder was given them. The data may depend on any of these.
    """

    folder: str
    kind: str
    data: Any
    weight: Array
    geometry: tuple[int, ...]

    def made_for(self, weight: Array, *geometry: int) -> bool:
        """True if the folder that runs now made this, for this very weight and geometry, and gains something by it."""
        if self.kind == "plain" or (self.kind.startswith("winograd") and not winograd_allowed()):
            return False
        return self.weight is weight and self.geometry == geometry and self.folder == folder_for(weight)


def prepare_conv2d(
    weight: Array, *, input_size: tuple[int, int],
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Prepared:
    """Prepare weight (O, C/groups, KH, KW) for `conv2d` on inputs of (H, W): pass the result as `prepared=`.

    `conv2d_relu` takes it too. The weight must not change while the result is in use: `Graph.freeze` sees to that.
    Raises ValueError for windows that do not fit the input.
    """
    op = "prepare_conv2d"
    h, w = pair(op, "input_size", input_size, 1)
    view = windows(op, (h, w), weight.shape[2:], stride, padding, dilation)
    kind, data = kernels_for(weight).prepare_conv2d(weight, h, w, *view, groups)
    return Prepared(folder_for(weight), kind, data, weight, (h, w, *view, groups))


def prepare_conv_transpose2d(
    weight: Array, *, input_size: tuple[int, int],
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    output_size: tuple[int, int] | None = None,
) -> Prepared:
    """Prepare weight (C, O/groups, KH, KW) for `conv_transpose2d` with these options on inputs of (H, W).

    Raises what `conv_transpose2d` raises for sizes that do not fit.
    """
    op = "prepare_conv_transpose2d"
    h, w = pair(op, "input_size", input_size, 1)
    steps = (*pair(op, "stride", stride, 1), *parse_padding(op, padding)[::2], *pair(op, "dilation", dilation, 1))
    oh, ow = size_of_output(
        op, (h, w), weight.shape[2:], stride, padding, dilation, output_padding, output_size,
    )
    kind, data = kernels_for(weight).prepare_conv_transpose2d(weight, h, w, oh, ow, *steps, groups)
    return Prepared(folder_for(weight), kind, data, weight, (h, w, oh, ow, *steps, groups))
