"""Multiplication by a fixed number as a layer."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Layer, first_needed


class Scale(Layer):
    """factor * x, any shape; the factor is not learned. See `minifcn.ops.scale`."""

    shown = ("factor",)

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.scale(x, factor=self.factor)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.scale_backward(gy, cache, needs=(first_needed(needs),))
