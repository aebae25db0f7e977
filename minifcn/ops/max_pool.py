"""Max-pooling, and its gradient.

    y[n, c, p, q] = max over i, j of  x[n, c, p*sh + i*dh - ph, q*sw + j*dw - pw]

A maximum passes one of its arguments on, so the gradient of a window goes whole to the pixel that won it. Where windows
overlap, a pixel may win several, and their gradients add. The winner is noted as row * W + column in the unpadded input
plane of its image and channel; of equal values the first in row-major order wins, and NaN wins over every number.
"""

from typing import Any

from ..kernels import kernels_for
from .check import Array, check_array, check_gradient, wanted
from .pool_windows import pool_windows


def max_pool2d(
    x: Array, *, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Any, tuple]:
    """Keep the largest value of each window.

    Args:
        x: (N, C, H, W), float32 or float64.
        kernel_size, stride, dilation: pixels, an int or (vertical, horizontal); stride None means kernel_size.
        padding: the same, or ((top, bottom), (left, right)); at most half of the kernel's extent. It never wins.
        ceil_mode: round the output size up, so that a last window may hang over the end (Caffe's pooling).
        return_indices: whether to return the winners' places too.

    Returns:
        y (N, C, OH, OW), or (y, indices) with indices (N, C, OH, OW) int32; and the cache for `max_pool2d_backward`,
        which holds the same indices: do not write into them.
        OH = floor((H + top + bottom - dilation*(KH-1) - 1) / stride) + 1, or with ceil instead of floor.

    Raises ValueError for windows that do not fit or could lie wholly in the padding, TypeError for a wrong dtype.
    """
    op = "max_pool2d"
    check_array(op, "x", x, "N C H W")
    kernel, view = pool_windows(op, x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    oh, ow, *steps = view
    y, indices = kernels_for(x).max_pool2d(x, oh, ow, *kernel, *steps)  # both (N, C, OH, OW)
    cache = (indices, x.shape[2:], x.dtype, kernel, steps)
    return ((y, indices) if return_indices else y), cache


def max_pool2d_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """Gradient of `max_pool2d`: gx (N, C, H, W), or None where not needed. Indices have no gradient."""
    op = "max_pool2d_backward"
    indices, input_size, dtype, kernel, steps = cache
    check_gradient(op, gy, indices.shape, dtype)
    (need_x,) = wanted(op, needs, 1)
    return kernels_for(gy).max_pool2d_grad(gy, indices, *input_size, *kernel, *steps) if need_x else None
