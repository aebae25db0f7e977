"""Flattening: every image's numbers in one row, channel by channel, row by row.

It stands where a classifier turns from maps to rows, before its first fully connected layer. The order (C, H, W) is
Caffe's and PyTorch's, so that layer's weights can be read as the filters of a convolution.
"""

from ..kernels import array_module
from .check import Array, check_array, check_gradient, wanted


def flatten(x: Array) -> tuple[Array, tuple]:
    """The numbers of each image as one row.

    Args:
        x: (N, C, H, W), float32 or float64.

    Returns:
        y (N, C*H*W), a copy, with x[n, c, p, q] at y[n, (c*H + p)*W + q], and the cache. Raises ValueError for another
        number of axes, TypeError for dtypes.
    """
    check_array("flatten", "x", x, "N C H W")
    images, *sizes = x.shape
    y = array_module(x).array(x, order="C").reshape(images, sizes[0] * sizes[1] * sizes[2])
    return y, (x.shape, x.dtype)


def flatten_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx (N, C, H, W): gy, each number back in its place."""
    op = "flatten_backward"
    (images, c, h, w), dtype = cache
    check_gradient(op, gy, (images, c * h * w), dtype)
    (need_x,) = wanted(op, needs, 1)
    return array_module(gy).array(gy, order="C").reshape(images, c, h, w) if need_x else None
