"""Softmax: scores along one axis become positive numbers that sum to 1.

    y[c] = exp(x[c]) / sum over k of exp(x[k])

Adding the same number to all scores changes nothing, so the largest is subtracted first: then exp never overflows, and
at least one term of the sum is 1.

To train on it use `softmax_cross_entropy` instead, whose gradient is simpler and exact even where y rounds to 0.
"""

from ..kernels import array_module
from .check import Array, check_array, check_axis, check_gradient, wanted


def softmax(x: Array, *, axis: int = 1) -> tuple[Array, tuple]:
    """Probabilities along `axis`; NaN anywhere along it makes all of it NaN.

    Args:
        x: any shape with that axis, (N, C, H, W) as a rule, float32 or float64.
        axis: the axis that sums to 1.

    Returns:
        y of the same shape, and the cache. Raises ValueError for an axis that x has not, TypeError for dtypes.
    """
    op = "softmax"
    check_array(op, "x", x)
    check_axis(op, x, axis)
    y = array_module(x).exp(x - x.max(axis=axis, keepdims=True))
    y /= y.sum(axis=axis, keepdims=True)
    return y, (y, axis)


def softmax_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx = y * (gy - sum of gy*y along the axis).

    The Jacobian is dy[c]/dx[k] = y[c] * ((c == k) - y[k]); it is never built, as only its product with gy is wanted.
    """
    op = "softmax_backward"
    y, axis = cache
    check_gradient(op, gy, y.shape, y.dtype)
    (need_x,) = wanted(op, needs, 1)
    return y * (gy - (gy * y).sum(axis=axis, keepdims=True)) if need_x else None
