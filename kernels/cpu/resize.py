"""Bilinear resizing and its gradient: two tables and one sweep; what is done, is in `_bilinear`.

Measured (2026-11, two threads, Zen 4) against a copy of as many bytes: 64x224x224 to twice the size at 8 GB/s,
27 % of its speed, and back at 6 GB/s, 23 %; 512x14x14 12 to 14 %: rows this short are mostly their ends.
"""

from ._bilinear import expand, reduce
from ._bilinear_tables import between, between_adjoint


def resize_bilinear(x, oh, ow, align_corners):
    """x (N, C, H, W) -> y (N, C, oh, ow)."""
    h, w = x.shape[2:]
    return expand(x, between(h, oh, align_corners, x.dtype), between(w, ow, align_corners, x.dtype))


def resize_bilinear_grad(gy, h, w, align_corners):
    """gy (N, C, OH, OW) -> gx (N, C, h, w)."""
    oh, ow = gy.shape[2:]
    return reduce(gy, between_adjoint(h, oh, align_corners, gy.dtype), between_adjoint(w, ow, align_corners, gy.dtype))
