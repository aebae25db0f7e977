"""The logistic sigmoid as a layer."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Layer, first_needed


class Sigmoid(Layer):
    """1 / (1 + exp(-x)) of every number, any shape; see `minifcn.ops.sigmoid`."""

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.sigmoid(x)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.sigmoid_backward(gy, cache, needs=(first_needed(needs),))
