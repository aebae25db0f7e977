"""Multiplication by one fixed number: FCN-8s at-once scales its skips down by 0.01 and 0.0001 before it scores them."""

import numbers

from .check import Array, check_array, check_gradient, wanted


def scale(x: Array, *, factor: float) -> tuple[Array, tuple]:
    """factor * x.

    Args:
        x: any shape, float32 or float64.
        factor: a number, which is not learned.

    Returns:
        y of the same shape and dtype, and the cache. Raises TypeError for dtypes or a factor that is no number.
    """
    op = "scale"
    check_array(op, "x", x)
    if not isinstance(factor, numbers.Real):
        raise TypeError(f"{op}: expected factor as a number, got {type(factor).__name__}. "
                        f"To scale each channel differently use a 1x1 convolution.")
    factor = float(factor)  # a NumPy float64 would turn a float32 array into float64
    return x * factor, (x.shape, x.dtype, factor)


def scale_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx = factor * gy."""
    op = "scale_backward"
    shape, dtype, factor = cache
    check_gradient(op, gy, shape, dtype)
    (need_x,) = wanted(op, needs, 1)
    return gy * factor if need_x else None
