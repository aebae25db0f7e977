"""Bilinear resizing and its gradient, one axis after the other.

The four weights of a pixel are products of one for its row and one for its column, so rows and columns can be done
apart: two weighted sums of two instead of one of four, and all pixels of an axis at once.
"""

import numpy as np

from .. import array_module


def resize_bilinear(x, oh, ow, align_corners):
    """x (N, C, H, W) -> y (N, C, oh, ow)."""
    xp = array_module(x)
    first, second, fraction = _neighbours(xp, x.shape[3], ow, align_corners, x.dtype)
    x = (1 - fraction) * x[:, :, :, first] + fraction * x[:, :, :, second]  # (N, C, H, ow)
    first, second, fraction = _neighbours(xp, x.shape[2], oh, align_corners, x.dtype)
    fraction = fraction[:, None]
    return (1 - fraction) * x[:, :, first] + fraction * x[:, :, second]  # (N, C, oh, ow)


def resize_bilinear_grad(gy, h, w, align_corners):
    """gy (N, C, OH, OW) -> gx (N, C, h, w)."""
    columns = _hand_back(gy, h, align_corners).swapaxes(2, 3)  # (N, C, OW, h)
    return array_module(gy).ascontiguousarray(_hand_back(columns, w, align_corners).swapaxes(2, 3))


def _hand_back(gy, size, align_corners):
    """The adjoint along axis 2: every row of gy goes back to the two rows that it was the mean of.

    A loop over rows, because several of them go to the same place: an indexed `+=` would keep only the last of these,
    and `add.at` on a GPU adds them in an order that changes from run to run.
    """
    gx = array_module(gy).zeros((*gy.shape[:2], size, gy.shape[3]), gy.dtype)
    first, second, fraction = _neighbours(np, size, gy.shape[2], align_corners, gy.dtype)  # for slices: on the host
    for p in range(gy.shape[2]):
        gx[:, :, first[p]] += (1 - fraction[p]) * gy[:, :, p]
        gx[:, :, second[p]] += fraction[p] * gy[:, :, p]
    return gx


def _neighbours(xp, size, count, align_corners, dtype):
    """For each of `count` outputs: the two of `size` inputs that it lies between, and how far towards the second."""
    if align_corners:
        source = xp.arange(count) * (size - 1) / max(count - 1, 1)
    else:
        source = xp.maximum((xp.arange(count) + 0.5) * size / count - 0.5, 0)
    first = source.astype(int)
    return first, xp.minimum(first + 1, size - 1), (source - first).astype(dtype)
