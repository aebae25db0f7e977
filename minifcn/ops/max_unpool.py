"""Max-unpooling: put pooled values back where they came from, and zeros everywhere else.

SegNet's decoder upsamples in this way (Badrinarayanan, Kendall, Cipolla 2017, section 3). The indices say where, so
the forward pass is a scatter (the very pass that is max-pooling's backward) and the backward pass a gather.

Indices repeat where the windows of the pooling overlapped. The values are then added, which makes the map linear and
its gradient exact; peers overwrite instead, and which value survives depends on their order of writing.
"""

from typing import Any

import numpy as np

from ..kernels import array_module, kernels_for
from .check import Array, check_array, check_gradient, wanted
from .geometry import pair


def max_unpool2d(x: Array, indices: Array, *, output_size: Any, trusted: bool = False) -> tuple[Array, tuple]:
    """Scatter values to the places that `max_pool2d(..., return_indices=True)` noted.

    Args:
        x: (N, C, H, W), float32 or float64.
        indices: (N, C, H, W), integers: row * width + column in the output plane. For the conventions of other
            libraries see `convert_indices`.
        output_size: (OH, OW), the size of the pooling's *input*. Indices are only right for that very width.
        trusted: every index is known to lie inside that size, as those of a pooling of it do. Otherwise each is looked
            at, because one outside would be written anywhere.

    Returns:
        y (N, C, OH, OW), where repeated indices are summed, and the cache for `max_unpool2d_backward`.

    Raises ValueError for shapes that differ or an index outside the plane, TypeError for dtypes or devices.
    """
    op = "max_unpool2d"
    check_array(op, "x", x, "N C H W")
    h, w = pair(op, "output_size", output_size, 1)
    _check_indices(op, x, indices)
    if not trusted:
        _check_bounds(op, indices, h, w)
    indices = indices.astype("int32", copy=False)
    return kernels_for(x).scatter(x, indices, h, w), (indices, (h, w), x.dtype)


def max_unpool2d_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """Gradient of `max_unpool2d`: gx (N, C, H, W), or None where not needed. Indices have no gradient."""
    op = "max_unpool2d_backward"
    indices, output_size, dtype = cache
    check_gradient(op, gy, (*indices.shape[:2], *output_size), dtype)
    (need_x,) = wanted(op, needs, 1)
    return kernels_for(gy).gather(gy, indices) if need_x else None


def _check_indices(op: str, x: Array, indices: Any) -> None:
    dtype = getattr(indices, "dtype", None)
    if dtype is None or dtype.kind not in "iu":
        raise TypeError(f"{op}: expected indices as an array of integers, got "
                        f"{type(indices).__name__ if dtype is None else dtype}. "
                        f"Pass the indices of max_pool2d(..., return_indices=True); see also convert_indices.")
    if array_module(indices) is not array_module(x):
        raise TypeError(f"{op}: expected indices on the device of x ({array_module(x).__name__}), "
                        f"got a {array_module(indices).__name__} array. Move one with minifcn.arrays.to_device.")
    if indices.shape != x.shape:
        raise ValueError(f"{op}: expected indices of the shape of x {x.shape}, one place for each value, "
                         f"got {indices.shape}. Pass the indices of the pooling that made this size.")


def _check_bounds(op: str, indices: Array, h: int, w: int) -> None:
    unsigned = indices.view(f"u{indices.itemsize}")  # a negative index becomes a huge one: one look at the largest
    if indices.size and int(unsigned.max()) >= h * w:
        at = int((unsigned >= h * w).argmax())  # the first in memory order
        n, c, p, q = (int(axis) for axis in np.unravel_index(at, indices.shape))
        raise ValueError(f"{op}: expected indices from 0 to {h * w - 1}, inside a plane of {h}x{w}, "
                         f"got {int(indices[n, c, p, q])} at {(n, c, p, q)}. Pass the size of the pooling's input as "
                         f"output_size; indices of another library need convert_indices.")
