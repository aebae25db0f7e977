"""Adaptive average pooling: a thread for each window, or a block if it is large; backward a thread for each pixel."""

from ._planes import at_once
from ._program import Program, contiguous, empty
from .avg_pool import LARGE, threads_for

_CU = Program("adaptive_avg_pool")


def adaptive_avg_pool2d(x, oh, ow):
    """x (N, C, H, W) -> y (N, C, oh, ow)."""
    images, channels, h, w = x.shape
    y = empty(x, (images, channels, oh, ow))
    planes, pixels = images * channels, -(-h // oh) * -(-w // ow)  # of a window
    if pixels >= LARGE:
        threads = threads_for(pixels)
        _CU.run("adaptive_avg_pool2d_large", y.size * threads, contiguous(x), y, planes, h, w, oh, ow, threads=threads)
    else:
        together = at_once(oh * ow, planes)
        _CU.run("adaptive_avg_pool2d", oh * ow * together, contiguous(x), y, planes, together, h, w, oh, ow)
    return y


def adaptive_avg_pool2d_grad(gy, h, w):
    """gy (N, C, OH, OW) -> gx (N, C, h, w): every pixel gets its share of the windows that it was averaged into."""
    images, channels, oh, ow = gy.shape
    gx, sizes = empty(gy, (images, channels, h, w)), empty(gy, (oh, ow))
    planes = images * channels
    together = at_once(h * w, planes)
    _CU.run("window_sizes", oh * ow, sizes, h, w, oh, ow)
    _CU.run("adaptive_avg_pool2d_grad", h * w * together, contiguous(gy), sizes, gx, planes, together, h, w, oh, ow)
    return gx
