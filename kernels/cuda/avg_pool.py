"""Average pooling: a thread for each window, or a block if it is large; backward a thread for each pixel."""

from ._planes import at_once
from ._program import Program, contiguous, empty

LARGE = 32  # pixels of a window: as many as a warp has threads
MOST = 256  # threads that sum a window

_CU = Program("avg_pool")


def avg_pool2d(x, divisor, oh, ow, kh, kw, sh, sw, ph, pw):
    """x (N, C, H, W), divisor (oh, ow) -> y (N, C, oh, ow)."""
    images, channels, h, w = x.shape
    y = empty(x, (images, channels, oh, ow))
    planes = images * channels
    arrays, geometry = (contiguous(x), contiguous(divisor), y), (h, w, oh, ow, kh, kw, sh, sw, ph, pw)
    pixels = min(kh, h) * min(kw, w)  # of a window
    if pixels >= LARGE and sh >= kh and sw >= kw:  # blocks would read overlapping windows all over again
        threads = threads_for(pixels)
        _CU.run("avg_pool2d_large", y.size * threads, *arrays, planes, *geometry, threads=threads)
    else:
        together = at_once(oh * ow, planes)
        _CU.run("avg_pool2d", oh * ow * together, *arrays, planes, together, *geometry)
    return y


def avg_pool2d_grad(gy, divisor, h, w, kh, kw, sh, sw, ph, pw):
    """gy (N, C, OH, OW), divisor (OH, OW) -> gx (N, C, h, w)."""
    images, channels, oh, ow = gy.shape
    gx = empty(gy, (images, channels, h, w))
    planes = images * channels
    together = at_once(h * w, planes)
    _CU.run("avg_pool2d_grad", h * w * together, contiguous(gy), contiguous(divisor), gx, planes, together,
            h, w, oh, ow, kh, kw, sh, sw, ph, pw)
    return gx


def threads_for(pixels):
    """How many threads sum a window: one for two to four pixels, a power of two from 32 to MOST."""
    return min(MOST, max(32, 1 << (pixels // 4).bit_length()))
