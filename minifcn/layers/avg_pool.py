"""Average pooling as a layer."""

from typing import Any

from .. import ops
from ..ops.check import Array
from ..ops.geometry import pair, parse_padding
from .base import Affine, Layer
from .conv import window_map


class AvgPool2d(Layer):
    """x (N, C, H, W) -> (N, C, OH, OW), the mean of each window; see `minifcn.ops.avg_pool2d`.

    Args:
        kernel_size, stride, padding, ceil_mode, count_include_pad: as in the op.
    """

    shown = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = pair("AvgPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("AvgPool2d", "stride", stride, 1)
        self.padding = parse_padding("AvgPool2d", padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.avg_pool2d(
            x, kernel_size=self.kernel_size, stride=self.stride,
            padding=self.padding, ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.avg_pool2d_backward(gy, cache, needs=needs)

    def coordinate_map(self) -> tuple[Affine, Affine]:
        before = (self.padding.top, self.padding.left)
        return tuple(  # type: ignore[return-value]
            window_map(self.kernel_size[a], self.stride[a], before[a], 1) for a in (0, 1)
        )
