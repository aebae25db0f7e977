"""Adaptive average pooling: the output's size is given, and the windows follow from it.

Along an axis of H pixels, window p of OH covers floor(p*H/OH) up to, not including, ceil((p+1)*H/OH). If OH divides H
this is average pooling with kernel and stride H/OH; otherwise neighbouring windows share a pixel, so that nothing is
left out. PSPNet's pyramid and every global average pooling (OH = OW = 1) are of this kind.
"""

from typing import Any

from ..kernels import kernels_for
from .check import Array, check_array, check_gradient, wanted
from .geometry import pair


def adaptive_avg_pool2d(x: Array, *, output_size: Any) -> tuple[Array, tuple]:
    """Average x (N, C, H, W) down to (N, C, OH, OW), output_size = OH = OW or (OH, OW).

    A size larger than the input's is legal and repeats pixels. Returns y and the cache for the backward.

    Raises ValueError for an output or input without pixels, TypeError for a wrong dtype.
    """
    op = "adaptive_avg_pool2d"
    check_array(op, "x", x, "N C H W")
    size = pair(op, "output_size", output_size, 1)
    if min(x.shape[2:]) < 1:
        raise ValueError(f"{op}: expected an input of at least 1x1 to take means of, got {x.shape[2]}x{x.shape[3]}. "
                         f"Use a larger input.")
    return kernels_for(x).adaptive_avg_pool2d(x, *size), (x.shape, size, x.dtype)


def adaptive_avg_pool2d_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """Gradient of `adaptive_avg_pool2d`: gx (N, C, H, W), or None where not needed."""
    op = "adaptive_avg_pool2d_backward"
    (images, channels, h, w), size, dtype = cache
    check_gradient(op, gy, (images, channels, *size), dtype)
    (need_x,) = wanted(op, needs, 1)
    return kernels_for(gy).adaptive_avg_pool2d_grad(gy, h, w) if need_x else None
