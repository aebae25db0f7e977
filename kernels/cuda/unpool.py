"""Unpooling: `gather` by a thread for each window, `scatter` by a block for each range of pixels."""

import numpy as np

from ._planes import at_once
from ._program import Program, contiguous, empty

RANGE = 16384  # bytes of gx that a block builds in shared memory at most, and
SEGMENT = 256  # outputs that it skips together: unpool.cu has both numbers too, and says why
BLOCKS = 1024  # that are enough for a card: with fewer planes, a block gets one only

_CU = Program("unpool")


def scatter(gy, indices, h, w):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w); values with the same index are added, in their order."""
    images, channels, oh, ow = gy.shape
    gx = empty(gy, (images, channels, h, w))
    if not gx.size:
        return gx
    gy, indices = contiguous(gy), contiguous(indices)
    planes, size, values = images * channels, h * w, oh * ow
    each = max(1, min(RANGE // gy.itemsize // size, -(-planes // BLOCKS)))  # planes a block
    pixels = min(RANGE // gy.itemsize, each * size)  # of a block
    segments, bounds = -(-values // SEGMENT), None
    if size > pixels:
        bounds = empty(indices, (planes, segments, 2))
        _CU.run("scatter_bounds", planes * segments * 32, indices, bounds, gy, planes, values, segments)  # a warp each
    shares = -(-planes // each) * -(-each * size // pixels)
    _CU.run("scatter", shares * 256, gy, indices, bounds, gx, np.int64(shares), planes, each, size, pixels, values,
            segments)
    return gx


def gather(x, indices):
    """x (N, C, H, W) and indices (N, C, OH, OW) -> y (N, C, OH, OW)."""
    images, channels, h, w = x.shape
    y = empty(x, indices.shape)
    planes, values = images * channels, indices.shape[2] * indices.shape[3]
    together = at_once(values, planes)
    _CU.run("gather", values * together, contiguous(x), contiguous(indices), y, planes, together, h * w, values)
    return y
