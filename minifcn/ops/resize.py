"""Bilinear resizing: every output pixel is a weighted mean of the four input pixels around the place it comes from.

Along an axis of H input and OH output pixels, output pixel p comes from the input coordinate

    align_corners=False:  (p + 0.5) * H / OH - 0.5, but not below 0       (pixels are squares; their outer edges match)
    align_corners=True:   p * (H - 1) / (OH - 1), or 0 where OH == 1      (pixels are points; the outermost ones match)

as in PyTorch's `interpolate`. Published networks use both, and they differ by up to a pixel, so a model has to say
which. There is no antialiasing: shrinking by more than 2 skips pixels.
"""

from typing import Any

from ..kernels import kernels_for
from .check import Array, check_array, check_gradient, wanted
from .geometry import pair


def resize_bilinear(x: Array, *, output_size: Any, align_corners: bool = False) -> tuple[Array, tuple]:
    """Resize images to `output_size`.

    Args:
        x: (N, C, H, W), float32 or float64, at least one pixel.
        output_size: (OH, OW) in pixels, or an int for both.
        align_corners: which coordinates: see above.

    Returns:
        y (N, C, OH, OW) and the cache. Raises ValueError for sizes below 1, TypeError for dtypes.
    """
    op = "resize_bilinear"
    check_array(op, "x", x, "N C H W")
    oh, ow = pair(op, "output_size", output_size, 1)
    if min(x.shape[2:]) < 1:
        raise ValueError(f"{op}: expected an image of at least 1x1, got {x.shape[2]}x{x.shape[3]}. "
                         f"There is nothing to interpolate between.")
    y = kernels_for(x).resize_bilinear(x, oh, ow, bool(align_corners))
    return y, (x.shape, x.dtype, (oh, ow), bool(align_corners))


def resize_bilinear_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx: every gy goes back to the four pixels that it was the mean of, in the same proportions."""
    op = "resize_bilinear_backward"
    shape, dtype, output_size, align_corners = cache
    check_gradient(op, gy, (*shape[:2], *output_size), dtype)
    (need_x,) = wanted(op, needs, 1)
    return kernels_for(gy).resize_bilinear_grad(gy, *shape[2:], align_corners) if need_x else None
