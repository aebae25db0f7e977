"""Cropping as a layer: how the published FCNs bring skips, and at last their scores, to the size of another map."""

from fractions import Fraction
from typing import Any

from .. import ops
from ..ops.check import Array
from ..ops.geometry import pair
from ._like import chosen_size
from .base import Affine, Layer, first_needed


class Crop(Layer):
    """Cut a rectangle out of x (N, C, H, W); see `minifcn.ops.crop`.

    forward(x) cuts out `size`. Without one, forward(x, like) cuts out as many rows and columns as a second input has,
    as in the FCNs; that one gets no gradient: backward then returns (gx, None). A map that has the second input's size
    already, with nothing to cut off, is passed on as it is, without a copy.

    Args:
        offset: (row, column) of the top left corner, or an int for both.
        size: (height, width) in pixels, an int for both, or None.
    """

    shown = ("offset", "size")

    def __init__(self, offset: Any, size: Any = None) -> None:
        super().__init__()
        self.offset, self.size = pair("Crop", "offset", offset, 0), size

    def _forward(self, x: Array, like: Array | None = None) -> tuple[Array, tuple]:
        size = chosen_size("Crop", "size", self.size, like)
        if like is not None and self.offset == (0, 0) and size == x.shape[2:]:
            return x, (None, True)
        y, cache = ops.crop(x, offset=self.offset, size=size)
        return y, (cache, like is not None)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Any:
        op_cache, has_like = cache
        if op_cache is None:
            return (gy if first_needed(needs) else None), None
        gx = ops.crop_backward(gy, op_cache, needs=(first_needed(needs),))
        return (gx, None) if has_like else gx

    def coordinate_map(self) -> tuple[Affine, Affine]:
        row, column = self.offset
        return (Fraction(1), Fraction(-row)), (Fraction(1), Fraction(-column))
