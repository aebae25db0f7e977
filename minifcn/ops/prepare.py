"""Work on a weight that can be done once and used for many inputs, such as packing it for a fast kernel.

What is prepared, and how, is the business of the kernel folder; everybody else carries the result along without
looking into it. A folder that has nothing to prepare gives kind "plain", and the op then runs as if nothing was passed.
"""

from typing import Any, NamedTuple

from ..kernels import folder_for, kernels_for
from .check import Array


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

    The weight must not change while the result is in use.
    """
    return _prepare("prepare_conv2d", weight, input_size, stride, padding, dilation, groups)


def prepare_conv_transpose2d(
    weight: Array, *, input_size: tuple[int, int],
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Prepared:
    """Prepare weight (C, O/groups, KH, KW) for `conv_transpose2d`: pass the result as `prepared=`."""
    return _prepare("prepare_conv_transpose2d", weight, input_size, stride, padding, dilation, groups)


def _prepare(name: str, weight: Array, *geometry: Any) -> Prepared:
    make = getattr(kernels_for(weight), name, None)
    kind, data = make(weight, *geometry) if make else ("plain", None)
    return Prepared(folder_for(weight), kind, data, weight)
