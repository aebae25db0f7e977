"""Convolution as a layer: the op `conv2d` and the filters that it learns."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .. import init, ops
from ..ops.check import Array
from ..ops.geometry import extent, pair, parse_padding
from ._prepared import prepared_form
from .base import Affine, Layer, Parameter, weighted_backward


class Conv2d(Layer):
    """x (N, in_channels, H, W) -> (N, out_channels, OH, OW); see `minifcn.ops.conv2d`.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups: as in the op.
        bias: whether to add one number for each output channel.
        weight_init, bias_init: from `minifcn.init`.
        rng: int or numpy Generator that the initialisers draw from.
        dtype: float32 or float64.

    Raises ValueError if groups do not divide both channel counts.
    """

    shown = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True, *,
        weight_init: init.Initialiser = init.he, bias_init: init.Initialiser = init.zero,
        rng: int | np.random.Generator = 0, dtype: Any = np.float32,
    ) -> None:
        super().__init__()
        check_channels("Conv2d", in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair("Conv2d", "stride", stride, 1), pair("Conv2d", "dilation", dilation, 1)
        self.padding = parse_padding("Conv2d", padding)
        rng, dtype = np.random.default_rng(rng), np.dtype(dtype)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(init.make(weight_init, shape, rng, dtype))
        self.bias = Parameter(init.make(bias_init, (out_channels,), rng, dtype)) if bias else None

    def apply(self, op: Callable[..., tuple[Array, tuple]], x: Array) -> tuple[Array, tuple]:
        """`ops.conv2d`, or an op fused with it, with this layer's parameters and settings: its output and cache."""
        options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        prepared = prepared_form(self.weight, ops.prepare_conv2d, x, **options)
        return op(x, self.weight.data, self.bias.data if self.bias else None, **options, prepared=prepared)

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return self.apply(ops.conv2d, x)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return weighted_backward(self, ops.conv2d_backward, cache, needs, gy)

    def coordinate_map(self) -> tuple[Affine, Affine]:
        before = (self.padding.top, self.padding.left)
        return tuple(  # type: ignore[return-value]
            window_map(self.kernel_size[a], self.stride[a], before[a], self.dilation[a]) for a in (0, 1)
        )


def window_map(kernel_size: int, stride: int, before: int, dilation: int) -> Affine:
    """Input coordinate -> output coordinate under a sliding window: the centre of window q is q's place in the input.

    Window q is centred on q*stride - before + (extent - 1)/2, and this is that map turned around.
    """
    centre = Fraction(extent(kernel_size, dilation) - 1, 2)
    return Fraction(1, stride), (before - centre) / stride


def check_channels(who: str, in_channels: int, out_channels: int, groups: int) -> None:
    """Both counts are positive and divisible by groups. Raises ValueError otherwise."""
    if in_channels < 1 or out_channels < 1 or groups < 1 or in_channels % groups or out_channels % groups:
        raise ValueError(f"{who}: expected positive channel counts that groups ({groups}) divide, got in_channels "
                         f"{in_channels} and out_channels {out_channels}. Choose a common divisor as groups.")
