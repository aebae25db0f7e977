"""Max-pooling as a layer, and the record of it that unpooling needs."""

from typing import Any, NamedTuple

from .. import ops
from ..ops.check import Array
from ..ops.geometry import pair, parse_padding
from .base import Affine, Layer
from .conv import window_map


class PoolRecord(NamedTuple):
    """Where each maximum stood, and in what: all that `MaxUnpool2d` has to know, so that nobody types a size.

    Attributes:
        indices: (N, C, OH, OW) int32, row * W + column in the pooling's input.
        size: (H, W) of that input. Different sizes pool to the same one, so the indices alone cannot tell.
        trusted: a pooling made it, so every index lies inside, and nobody has to look: on a GPU that means to wait.
    """

    indices: Array
    size: tuple[int, int]
    trusted: bool = False


class MaxPool2d(Layer):
    """x (N, C, H, W) -> (N, C, OH, OW), the largest value of each window; see `minifcn.ops.max_pool2d`.

    Args:
        kernel_size, stride, padding, dilation, ceil_mode: as in the op.
        return_indices: whether forward returns (y, PoolRecord) instead of y.
    """

    shown = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = pair("MaxPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("MaxPool2d", "stride", stride, 1)
        self.padding = parse_padding("MaxPool2d", padding)
        self.dilation = pair("MaxPool2d", "dilation", dilation, 1)
        self.return_indices, self.ceil_mode = return_indices, ceil_mode
        self.extra_outputs = ("record",) if return_indices else ()

    def _forward(self, x: Array) -> tuple[Any, tuple]:
        (y, indices), cache = ops.max_pool2d(
            x, kernel_size=self.kernel_size, stride=self.stride,
            padding=self.padding, dilation=self.dilation,
            ceil_mode=self.ceil_mode, return_indices=True,
        )
        return ((y, PoolRecord(indices, x.shape[2:], trusted=True)) if self.return_indices else y), cache

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array, grecord: None = None) -> Array | None:
        """`grecord` stands where the gradient of the record would, if places had one."""
        return ops.max_pool2d_backward(gy, cache, needs=needs)

    def coordinate_map(self) -> tuple[Affine, Affine]:
        before = (self.padding.top, self.padding.left)
        return tuple(  # type: ignore[return-value]
            window_map(self.kernel_size[a], self.stride[a], before[a], self.dilation[a]) for a in (0, 1)
        )
