"""The leaky rectified linear unit as a layer."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Layer, first_needed


class LeakyReLU(Layer):
    """x where it is positive, negative_slope * x elsewhere, any shape; see `minifcn.ops.leaky_relu`."""

    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.leaky_relu(x, negative_slope=self.negative_slope)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.leaky_relu_backward(gy, cache, needs=(first_needed(needs),))
