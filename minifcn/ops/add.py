"""Addition of arrays of equal shape: how FCN fuses its skips.

A sum passes its gradient on to every summand unchanged, so a skip gets the very gradient that the main path gets.
"""

from .check import Array, check_gradient, check_inputs, wanted


def add(*xs: Array) -> tuple[Array, tuple]:
    """The sum of arrays.

    Args:
        xs: at least one array, of equal shapes (nothing is broadcast), of one dtype (float32 or float64) and device.

    Returns:
        y of that shape and the cache. Raises ValueError for shapes that differ, TypeError for dtypes or devices.
    """
    op = "add"
    check_inputs(op, xs)
    for index, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ValueError(f"{op}: expected arrays of equal shapes, got {xs[0].shape} and {x.shape} (input {index}). "
                             f"Crop, resize or broadcast one of the two yourself.")
    y = xs[0].copy()
    for x in xs[1:]:
        y += x
    return y, (y.shape, y.dtype, len(xs))


def add_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple[Array | None, ...]:
    """gy for every input: the same array, not a copy, so nobody may change a gradient in place."""
    op = "add_backward"
    shape, dtype, count = cache
    check_gradient(op, gy, shape, dtype)
    return tuple(gy if need else None for need in wanted(op, needs, count))
