"""Concatenation as a layer of several inputs."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Layer


class Concat(Layer):
    """forward(x1, x2, ...) lays its inputs side by side along `axis`; see `minifcn.ops.concat`.

    backward returns a tuple with one gradient for each input.
    """

    shown = ("axis",)

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def _forward(self, *xs: Array) -> tuple[Array, tuple]:
        return ops.concat(*xs, axis=self.axis)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> tuple[Array | None, ...]:
        return ops.concat_backward(gy, cache, needs=needs)
