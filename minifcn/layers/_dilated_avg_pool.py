"""Average pooling with pixels left out between the taps: what an average pooling becomes when its network is rarefied.

A sum over a window is a convolution with ones, and convolutions have a dilation; what is left is to divide by the
number of pixels that each window counts. Each channel is summed by itself, so channels are laid beside the images.
"""

from types import ModuleType

from .. import ops
from ..kernels import array_module
from ..ops.check import Array
from ..ops.geometry import Padding
from .base import Affine, Layer, first_needed
from .conv import window_map


class DilatedAvgPool2d(Layer):
    """x (N, C, H, W) -> (N, C, OH, OW), the mean of each window, at stride 1.

    Args:
        kernel_size, dilation: (vertical, horizontal).
        padding: zeros on each side, which count as pixels if `count_include_pad`.
        overhang: (rows, columns) beyond the bottom and right padding that windows may reach into and never count.
    """

    shown = ("kernel_size", "dilation", "padding", "overhang", "count_include_pad")

    def __init__(
        self, kernel_size: tuple[int, int], dilation: tuple[int, int], padding: Padding, overhang: tuple[int, int],
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding = kernel_size, dilation, padding
        self.overhang, self.count_include_pad = overhang, count_include_pad
        top, bottom, left, right = padding
        self.reach = Padding(top, bottom + overhang[0], left, right + overhang[1])
        self.stride = (1, 1)

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        n, c, h, w = x.shape
        top, bottom, left, right = self.padding
        xp = array_module(x)
        ones = xp.ones((1, 1, *self.kernel_size), x.dtype)
        sums, cache = ops.conv2d(x.reshape(n * c, 1, h, w), ones, padding=self.reach, dilation=self.dilation)
        oh, ow = sums.shape[2:]
        counts = xp.outer(self._counts(xp, 0, h, oh, top, bottom), self._counts(xp, 1, w, ow, left, right))  # (OH, OW)
        share = (1 / counts).astype(x.dtype)
        return sums.reshape(n, c, oh, ow) * share, (cache, share, x.shape)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        conv_cache, share, (n, c, h, w) = cache
        gsums = (gy * share).reshape(n * c, 1, *share.shape)
        gx, _, _ = ops.conv2d_backward(gsums, conv_cache, needs=(first_needed(needs), False, False))
        return None if gx is None else gx.reshape(n, c, h, w)

    def coordinate_map(self) -> tuple[Affine, Affine]:
        before = (self.padding.top, self.padding.left)
        rows, columns = (window_map(self.kernel_size[a], 1, before[a], self.dilation[a]) for a in (0, 1))
        return rows, columns

    def _counts(self, xp: ModuleType, axis: int, size: int, windows: int, before: int, after: int) -> Array:
        """How many of its taps each window counts along one axis: (windows,)."""
        first = xp.arange(windows)[:, None] - before
        taps = first + self.dilation[axis] * xp.arange(self.kernel_size[axis])  # (windows, taps): places in the input
        low, high = (-before, size + after) if self.count_include_pad else (0, size)
        return ((taps >= low) & (taps < high)).sum(axis=1)
