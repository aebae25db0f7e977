"""The leaky rectified linear unit (Maas, Hannun, Ng 2013): what is negative is not cut off, only made small.

    y = x where x > 0, negative_slope * x elsewhere

So no unit is ever dead: a gradient always comes through, if only a small one.
"""

import math
import numbers

from ..kernels import array_module
from .check import Array, check_array, check_gradient, wanted


def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> tuple[Array, tuple]:
    """x where it is positive, negative_slope * x elsewhere; NaN stays NaN.

    Args:
        x: any shape, float32 or float64.
        negative_slope: at least 0; with 0 this is `relu`.

    Returns:
        y of the same shape, and the cache.

    Raises ValueError for a negative slope (the sign of y would no longer tell the sign of x), TypeError for dtypes.
    """
    op = "leaky_relu"
    check_array(op, "x", x)
    if not isinstance(negative_slope, numbers.Real) or not 0 <= negative_slope < math.inf:
        raise ValueError(f"{op}: expected negative_slope as a number of at least 0, got {negative_slope!r}. "
                         f"The usual one is 0.01.")
    xp, slope = array_module(x), float(negative_slope)
    y = xp.where(x <= 0, slope * x, x)
    return y, (y, slope)


def leaky_relu_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx: gy where the output was positive, negative_slope * gy elsewhere."""
    op = "leaky_relu_backward"
    y, slope = cache
    check_gradient(op, gy, y.shape, y.dtype)
    (need_x,) = wanted(op, needs, 1)
    return array_module(gy).where(y <= 0, slope * gy, gy) if need_x else None
