"""Average pooling, and its gradient.

    y[n, c, p, q] = (sum over i, j of  x[n, c, p*sh + i - ph, q*sw + j - pw]) / divisor[p, q]

The only question is what to divide by near the border. A window counts its pixels up to the end of the padding and no
further (with ceil_mode the last window may hang over even that); `count_include_pad` decides whether the padding's
zeros among them count too. PyTorch and Caffe agree on this; Caffe always counts the padding.
"""

from types import ModuleType
from typing import Any

from ..kernels import array_module, kernels_for
from .check import Array, check_array, check_gradient, wanted
from .geometry import Padding, Windows, parse_padding
from .pool_windows import pool_windows


def avg_pool2d(
    x: Array, *, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array, tuple]:
    """Take the mean of each window.

    Args:
        x: (N, C, H, W), float32 or float64.
        kernel_size, stride: pixels, an int or (vertical, horizontal); stride None means kernel_size.
        padding: zeros, the same or ((top, bottom), (left, right)); at most half of the kernel.
        ceil_mode: round the output size up, so that a last window may hang over the end.
        count_include_pad: whether padding counts as pixels of value 0 or not at all.

    Returns:
        y (N, C, OH, OW) with OH = floor((H + top + bottom - KH) / stride) + 1, or with ceil, and the cache.

    Raises ValueError for windows that do not fit or could lie wholly in the padding, TypeError for a wrong dtype.
    """
    op = "avg_pool2d"
    check_array(op, "x", x, "N C H W")
    kernel, view = pool_windows(op, x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    xp, sides = array_module(x), parse_padding(op, padding)
    divisor = _pixel_counts(xp, x.shape[2:], kernel, view, sides, count_include_pad).astype(x.dtype)  # (OH, OW)
    oh, ow, sh, sw, ph, pw = view[:6]
    y = kernels_for(x).avg_pool2d(x, divisor, oh, ow, *kernel, sh, sw, ph, pw)  # (N, C, OH, OW)
    return y, (divisor, x.shape, kernel, (sh, sw, ph, pw))


def avg_pool2d_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """Gradient of `avg_pool2d`: gx (N, C, H, W), or None where not needed."""
    op = "avg_pool2d_backward"
    divisor, (images, channels, h, w), kernel, steps = cache
    check_gradient(op, gy, (images, channels, *divisor.shape), divisor.dtype)
    (need_x,) = wanted(op, needs, 1)
    return kernels_for(gy).avg_pool2d_grad(gy, divisor, h, w, *kernel, *steps) if need_x else None


def _pixel_counts(
    xp: ModuleType, input_size: tuple[int, int], kernel: tuple[int, int], view: Windows, sides: Padding,
    include_pad: bool,
) -> Array:
    """How many pixels each window counts: (OH, OW), rows times columns. Counted where x is, not copied there."""
    rows = _axis_counts(xp, input_size[0], kernel[0], view.oh, view.sh, sides.top, sides.bottom, include_pad)
    cols = _axis_counts(xp, input_size[1], kernel[1], view.ow, view.sw, sides.left, sides.right, include_pad)
    return xp.outer(rows, cols)


def _axis_counts(
    xp: ModuleType, size: int, kernel_size: int, count: int, stride: int, before: int, after: int, include_pad: bool,
) -> Array:
    """The same along one axis, where window p begins at p*stride - before: (count,)."""
    first = xp.arange(count) * stride - before
    last = xp.minimum(first + kernel_size, size + after)  # not included
    if not include_pad:
        first, last = xp.maximum(first, 0), xp.minimum(last, size)
    return last - first
