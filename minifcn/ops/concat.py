"""Concatenation: arrays laid side by side along one axis, usually their channels.

U-Net joins its skips this way where FCN adds them. The gradient is cut apart again at the same places.
"""

from ..kernels import array_module
from .check import Array, check_axis, check_gradient, check_inputs, wanted


def concat(*xs: Array, axis: int = 1) -> tuple[Array, tuple]:
    """Lay arrays side by side.

    Args:
        xs: at least one array, of equal shapes apart from `axis`, of one dtype (float32 or float64) and device.
        axis: the axis that grows.

    Returns:
        y and the cache. Raises ValueError for shapes that do not fit, TypeError for dtypes or devices that differ.
    """
    op = "concat"
    check_inputs(op, xs)
    check_axis(op, xs[0], axis)
    axis %= xs[0].ndim
    joined_shape(op, [x.shape for x in xs], axis)
    return array_module(xs[0]).concatenate(xs, axis=axis), (tuple(x.shape for x in xs), xs[0].dtype, axis)


def joined_shape(op: str, shapes: list[tuple[int, ...]], axis: int) -> tuple[int, ...]:
    """The shape of arrays laid side by side along `axis` (0 or more). Raises ValueError where another axis differs."""
    for index, shape in enumerate(shapes):
        if len(shape) != len(shapes[0]) or _without(shape, axis) != _without(shapes[0], axis):
            raise ValueError(f"{op}: expected arrays of equal shapes apart from axis {axis}, got {shapes[0]} and "
                             f"{shape} (input {index}). Crop or pad one of the two.")
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def concat_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple[Array | None, ...]:
    """The part of gy that belongs to each input, as views: nothing is copied."""
    op = "concat_backward"
    shapes, dtype, axis = cache
    total = sum(shape[axis] for shape in shapes)
    check_gradient(op, gy, (*shapes[0][:axis], total, *shapes[0][axis + 1 :]), dtype)
    gxs: list[Array | None] = []
    start = 0
    for shape, need in zip(shapes, wanted(op, needs, len(shapes)), strict=True):
        stop = start + shape[axis]
        gxs.append(gy[(slice(None),) * axis + (slice(start, stop),)] if need else None)
        start = stop
    return tuple(gxs)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]
