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
    for index, x in enumerate(xs):
        if x.ndim != xs[0].ndim or _without(x.shape, axis) != _without(xs[0].shape, axis):
            raise ValueError(f"{op}: expected arrays of equal shapes apart from axis {axis}, got {xs[0].shape} and "
                             f"{x.shape} (input {index}). Crop or pad one of the two.")
    return array_module(xs[0]).concatenate(xs, axis=axis), (tuple(x.shape for x in xs), xs[0].dtype, axis)


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
