"""Max-pooling: a thread for each window forward, and backward for each pixel, which asks the windows over it."""

import math

import numpy as np

from ._planes import at_once
from ._program import Program, contiguous, empty

_CU = Program("max_pool")


def max_pool2d(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
    """x (N, C, H, W) -> y (N, C, oh, ow) and indices (N, C, oh, ow) int32. Every window has a tap in the input."""
    images, channels, h, w = x.shape
    y = empty(x, (images, channels, oh, ow))
    indices = empty(x, y.shape, np.int32)
    planes = images * channels
    together = at_once(oh * ow, planes)
    _CU.run("max_pool2d", oh * ow * together, contiguous(x), y, indices, planes, together, h, w, oh, ow,
            kh, kw, sh, sw, ph, pw, dh, dw)
    return y, indices


def max_pool2d_grad(gy, indices, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w)."""
    images, channels, oh, ow = gy.shape
    gx = empty(gy, (images, channels, h, w))
    planes = images * channels
    together = at_once(h * w, planes)
    arguments = (contiguous(gy), contiguous(indices), gx, planes, together, h, w, oh, ow,
                 kh, kw, sh, sw, ph, pw, dh, dw)
    if sh > dh * (kh - 1) and sw > dw * (kw - 1):  # the stride is no less than the extent
        _CU.run("max_pool2d_grad_apart", h * w * together, *arguments)
    else:
        # Windows p and p - step have taps at the same pixel if step*stride is a multiple of the dilation.
        _CU.run("max_pool2d_grad", h * w * together, *arguments, dh // math.gcd(sh, dh), dw // math.gcd(sw, dw))
    return gx
