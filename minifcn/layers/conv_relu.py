"""Convolution and ReLU as one layer: what `minifcn.fuse` puts in the place of the two."""

from typing import Any

from .. import ops
from ..ops.check import Array
from ..ops.conv_relu import behind_relu
from ._around import Around
from .base import weighted_backward
from .conv import Conv2d


class ConvReLU(Around):
    """max(conv(x), 0) without storing conv(x); see `minifcn.ops.conv2d_relu`.

    Args:
        conv: the layer whose parameters and settings it uses. They stay the very same: to train one is to train both.
    """

    shown = ("conv",)

    def __init__(self, conv: Conv2d) -> None:
        super().__init__(conv)
        self.conv = conv

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return self.conv.apply(ops.conv2d_relu, x)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return weighted_backward(self.conv, ops.conv2d_relu_backward, cache, needs, gy)

    def back_out(self, gys: list[Any], needs: tuple[bool, ...] | None) -> Array | None:
        # In two steps, because after the first neither gy nor y is needed: two maps that can be used again.
        conv_cache, relu_cache = self._last_cache()
        gy = behind_relu(gys.pop(), relu_cache)
        del relu_cache
        return weighted_backward(self.conv, ops.conv2d_backward, conv_cache, needs, gy)
