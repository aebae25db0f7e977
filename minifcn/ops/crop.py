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
    check_rectangle(op, x.shape[2:], (top, left), (height, width))
    # A view would keep the whole map alive for as long as its crop.
    y = x[:, :, top : top + height, left : left + width].copy()
    return y, (x.shape, x.dtype, (top, left), (height, width))


def check_rectangle(op: str, image: tuple[int, int], offset: tuple[int, int], size: tuple[int, int]) -> None:
    """The rectangle of `size` at `offset` lies inside an image of (H, W). Raises ValueError otherwise."""
    reached = (offset[0] + size[0], offset[1] + size[1])
    if reached[0] > image[0] or reached[1] > image[1]:
        raise ValueError(f"{op}: expected a rectangle inside the image of {image[0]}x{image[1]}, got offset {offset} "
                         f"and size {tuple(size)}, which reaches to {reached}. Use a smaller offset or size, or a "
                         f"larger input.")


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
