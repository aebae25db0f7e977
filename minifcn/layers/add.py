"""Addition as a layer of several inputs."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Layer


class Add(Layer):
    """forward(x1, x2, ...) is the sum of its inputs, all of one shape; see `minifcn.ops.add`.

    backward returns a tuple with one gradient for each input: the same array, over and over.
    """

    def _forward(self, *xs: Array) -> tuple[Array, tuple]:
        return ops.add(*xs)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> tuple[Array | None, ...]:
        return ops.add_backward(gy, cache, needs=needs)
