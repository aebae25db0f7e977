"""Bilinear resizing by a thread for each output; its gradient by a thread for each input, one axis after the other."""

import math

import numpy as np

from ._planes import at_once
from ._program import Program, contiguous, empty

_CU = Program("resize")


def resize_bilinear(x, oh, ow, align_corners):
    """x (N, C, H, W) -> y (N, C, oh, ow)."""
    images, channels, h, w = x.shape
    y = empty(x, (images, channels, oh, ow))
    planes = images * channels
    together = at_once(oh * ow, planes)
    _CU.run("resize_bilinear", oh * ow * together, contiguous(x), y, planes, together, h, w, oh, ow,
            bool(align_corners))
    return y


def resize_bilinear_grad(gy, h, w, align_corners):
    """gy (N, C, OH, OW) -> gx (N, C, h, w)."""
    images, channels, _, ow = gy.shape
    rows = _hand_back(contiguous(gy), (images, channels, h, ow), 2, align_corners)
    return _hand_back(rows, (images, channels, h, w), 3, align_corners)


def _hand_back(gy, shape, axis, align_corners):
    """The adjoint along one axis: from gy to `shape`, which differs from gy's there."""
    count, size = gy.shape[axis], shape[axis]
    first, fraction = empty(gy, (count,), np.int32), empty(gy, (count,))
    _CU.run("resize_places", count, first, fraction, size, count, bool(align_corners))
    gx = empty(gy, shape)
    planes, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    together = at_once(size * inner, planes)
    _CU.run("resize_adjoint", size * inner * together, gy, first, fraction, gx, planes, together, size, count, inner)
    return gx
