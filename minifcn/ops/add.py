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
    common_shape(op, [x.shape for x in xs])
    y = xs[0].copy()
    for x in xs[1:]:
        y += x
    return y, (y.shape, y.dtype, len(xs))


def common_shape(op: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The one shape that all have. Raises ValueError if they differ: nothing is broadcast."""
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(f"{op}: expected arrays of equal shapes, got {shapes[0]} and {shape} (input {index}). "
                             f"Crop, resize or broadcast one of the two yourself.")
    return shapes[0]


def add_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple[Array | None, ...]:
    """gy for every input: the same array, not a copy, so nobody may change a gradient in place."""
    op = "add_backward"
    shape, dtype, count = cache
    check_gradient(op, gy, shape, dtype)
    return tuple(gy if need else None for need in wanted(op, needs, count))
