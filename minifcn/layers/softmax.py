"""Softmax as a layer, for probabilities to look at; to train use SoftmaxCrossEntropy on the scores."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Layer, first_needed


class Softmax(Layer):
    """Scores become probabilities along `axis`; see `minifcn.ops.softmax`."""

    shown = ("axis",)

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.softmax(x, axis=self.axis)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.softmax_backward(gy, cache, needs=(first_needed(needs),))
