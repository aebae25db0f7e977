"""The rectified linear unit as a layer."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Layer, first_needed


class ReLU(Layer):
    """max(x, 0) of every number, any shape; see `minifcn.ops.relu`."""

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.relu(x)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.relu_backward(gy, cache, needs=(first_needed(needs),))
