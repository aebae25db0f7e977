"""Cropping: a rectangle cut out of every map. Its gradient is the same rectangle laid into zeros.

FCN pads its input by 100 pixels and cuts the surplus off at the end; where to cut follows from the layers in between.
"""

from typing import Any

from ..kernels import array_module
from .check import Array, check_array, check_gradient, wanted
from .geometry import pair


def crop(x: Array, *, offset: Any, size: Any) -> tuple[Array, tuple]:
    """Rows offset[0] to offset[0] + size[0] of every map, and the columns likewise.

    Args:
        x: (N, C, H, W), float32 or float64.
        offset: (row, column) of the top left corner, or an int for both.
        size: (height, width) in pixels, or an int for both.

    Returns:
        y (N, C, *size), a copy, and the cache. Raises ValueError if the rectangle leaves the image, TypeError for
        dtypes.
    """
    op = "crop"
    check_array(op, "x", x, "N C H W")
    (top, left), (height, width) = pair(op, "offset", offset, 0), pair(op, "size", size, 1)
    if top + height > x.shape[2] or left + width > x.shape[3]:
        raise ValueError(f"{op}: expected a rectangle inside the image of {x.shape[2]}x{x.shape[3]}, got offset "
                         f"{(top, left)} and size {(height, width)}, which reaches to {(top + height, left + width)}. "
                         f"Use a smaller offset or size, or a larger input.")
    # A view would keep the whole map alive for as long as its crop.
    y = x[:, :, top : top + height, left : left + width].copy()
    return y, (x.shape, x.dtype, (top, left), (height, width))


def crop_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx (N, C, H, W): gy inside the rectangle, 0 outside, for what was cut off changed nothing."""
    op = "crop_backward"
    shape, dtype, (top, left), (height, width) = cache
    check_gradient(op, gy, (*shape[:2], height, width), dtype)
    (need_x,) = wanted(op, needs, 1)
    if not need_x:
        return None
    gx = array_module(gy).zeros(shape, dtype)
    gx[:, :, top : top + height, left : left + width] = gy
    return gx
