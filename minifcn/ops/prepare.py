"""Work on a weight that can be done once and used for many inputs, such as packing it for a fast kernel.

What is prepared, and how, is the business of the kernel folder; everybody else carries the result along without
looking into it. A folder that has nothing to prepare gives kind "plain", and the op then runs as if nothing was passed.
"""

from typing import Any, NamedTuple

from ..kernels import folder_for, kernels_for
from .check import Array
from .conv_transpose import size_of_output
from .geometry import pair, parse_padding, windows


class Prepared(NamedTuple):
    """An opaque value for `prepared=`: made by one kernel folder for one weight, ignored by every other."""

    folder: str
    kind: str
    data: Any
    weight: Array

    def made_for(self, kernels: Any, weight: Array) -> bool:
        """True if `kernels` is the folder that made this, from this very weight, and has something to gain by it."""
        return self.kind != "plain" and kernels.__name__.endswith(f".{self.folder}") and self.weight is weight


def prepare_conv2d(
    weight: Array, *, input_size: tuple[int, int],
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Prepared:
    """Prepare weight (O, C/groups, KH, KW) for `conv2d` on inputs of (H, W): pass the result as `prepared=`.

    The weight must not change while the result is in use. Raises ValueError for windows that do not fit the input.
    """
    op = "prepare_conv2d"
    h, w = pair(op, "input_size", input_size, 1)
    view = windows(op, (h, w), weight.shape[2:], stride, padding, dilation)
    return Prepared(folder_for(weight), *kernels_for(weight).prepare_conv2d(weight, h, w, *view, groups), weight)


def prepare_conv_transpose2d(
    weight: Array, *, input_size: tuple[int, int],
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Prepared:
    """Prepare weight (C, O/groups, KH, KW) for `conv_transpose2d`: pass the result as `prepared=`."""
    op = "prepare_conv_transpose2d"
    h, w = pair(op, "input_size", input_size, 1)
    steps = (*pair(op, "stride", stride, 1), *parse_padding(op, padding)[::2], *pair(op, "dilation", dilation, 1))
    oh, ow = size_of_output(op, (h, w), weight.shape[2:], stride, padding, dilation, 0, None)
    kernels = kernels_for(weight)
    return Prepared(
        folder_for(weight), *kernels.prepare_conv_transpose2d(weight, h, w, oh, ow, *steps, groups), weight,
    )
