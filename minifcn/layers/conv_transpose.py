"""Transposed convolution as a layer: learned, or fixed bilinear, upsampling."""

from fractions import Fraction
from typing import Any

import numpy as np

from .. import init, ops
from ..ops.check import Array
from ..ops.geometry import extent, pair, parse_padding
from ._prepared import prepared_form
from .base import Affine, Layer, Parameter, weighted_backward
from .conv import check_channels


class ConvTranspose2d(Layer):
    """x (N, in_channels, H, W) -> (N, out_channels, OH, OW); see `minifcn.ops.conv_transpose2d`.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, dilation: as in the op.
        bias: whether to add one number for each output channel.
        output_size: (OH, OW) wanted, instead of output_padding.
        weight_init, bias_init: from `minifcn.init`; `init.bilinear` makes it a bilinear upsampling.
        rng: int or numpy Generator that the initialisers draw from.
        dtype: float32 or float64.

    Raises ValueError if groups do not divide both channel counts.
    """

    shown = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "dilation")

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any,
        stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
        dilation: Any = 1, *, output_size: tuple[int, int] | None = None,
        weight_init: init.Initialiser = init.he, bias_init: init.Initialiser = init.zero,
        rng: int | np.random.Generator = 0, dtype: Any = np.float32,
    ) -> None:
        super().__init__()
        who = "ConvTranspose2d"
        check_channels(who, in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(who, "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair(who, "stride", stride, 1), pair(who, "dilation", dilation, 1)
        self.padding = parse_padding(who, padding)
        self.output_padding, self.output_size = output_padding, output_size
        rng, dtype = np.random.default_rng(rng), np.dtype(dtype)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight = Parameter(init.make(weight_init, shape, rng, dtype))
        self.bias = Parameter(init.make(bias_init, (out_channels,), rng, dtype)) if bias else None

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        options = {
            "stride": self.stride, "padding": self.padding, "output_padding": self.output_padding,
            "groups": self.groups, "dilation": self.dilation, "output_size": self.output_size,
        }
        prepared = prepared_form(self.weight, ops.prepare_conv_transpose2d, x, **options)
        bias = self.bias.data if self.bias else None
        return ops.conv_transpose2d(x, self.weight.data, bias, **options, prepared=prepared)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return weighted_backward(self, ops.conv_transpose2d_backward, cache, needs, gy)

    def coordinate_map(self) -> tuple[Affine, Affine]:
        before = (self.padding.top, self.padding.left)
        return tuple(  # type: ignore[return-value]
            (Fraction(self.stride[a]), Fraction(extent(self.kernel_size[a], self.dilation[a]) - 1, 2) - before[a])
            for a in (0, 1)
        )
