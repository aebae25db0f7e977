"""The logistic sigmoid y = 1 / (1 + exp(-x)), which squeezes every number between 0 and 1.

Written like that it overflows: exp(-x) is infinite in float32 from x = -89 on. But exp of a number that is never
positive cannot overflow, so both halves are written with e = exp(-|x|):

    y = 1 / (1 + e) where x >= 0        y = e / (1 + e) where x < 0
"""

from ..kernels import array_module
from .check import Array, check_array, check_gradient, wanted


def sigmoid(x: Array) -> tuple[Array, tuple]:
    """1 / (1 + exp(-x)) of every number, for x of any size; NaN stays NaN.

    Args:
        x: any shape, float32 or float64.

    Returns:
        y of the same shape, and the cache. Raises TypeError for another type or dtype.
    """
    check_array("sigmoid", "x", x)
    xp = array_module(x)
    e = xp.exp(-xp.abs(x))  # in (0, 1]
    y = xp.where(x < 0, e, xp.ones_like(e)) / (1 + e)
    return y, (y,)


def sigmoid_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx = gy * y * (1 - y): the derivative of a sigmoid can be read off its output."""
    op = "sigmoid_backward"
    (y,) = cache
    check_gradient(op, gy, y.shape, y.dtype)
    (need_x,) = wanted(op, needs, 1)
    return gy * y * (1 - y) if need_x else None
