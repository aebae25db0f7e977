"""Padding as a layer."""

from fractions import Fraction
from typing import Any

from .. import ops
from ..ops.check import Array
from ..ops.pad import check_mode, four_sides
from .base import Affine, Layer, first_needed


class Pad(Layer):
    """Add rows and columns around x (N, C, H, W); see `minifcn.ops.pad`.

    Args:
        padding: (top, bottom, left, right) in pixels.
        mode: "constant" or "reflect".
        value: the number that "constant" fills in.

    Raises ValueError for another padding or mode.
    """

    shown = ("padding", "mode", "value")

    def __init__(self, padding: Any, mode: str = "constant", value: float = 0) -> None:
        super().__init__()
        check_mode("Pad", mode)
        self.padding, self.mode, self.value = four_sides("Pad", padding), mode, value

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.pad(x, padding=self.padding, mode=self.mode, value=self.value)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.pad_backward(gy, cache, needs=(first_needed(needs),))

    def coordinate_map(self) -> tuple[Affine, Affine]:
        return (Fraction(1), Fraction(self.padding.top)), (Fraction(1), Fraction(self.padding.left))
