"""Unpooling: values go to the places that a max-pooling wrote down, and gradients come back from there.

Nothing here is vectorised, since the places are known one at a time; but each number is moved once, and a plane is
still in the cache when values are added to what was just cleared. A thread owns pixels of gx, not values of gy, so that
no two of them add to one pixel. Shares end at any row: where a plane is shared, each thread reads all of its indices
and leaves out what is not its own. The values of one pixel are added in the order of the windows, whatever the number
of threads.

Bytes for each pixel (float32, 2x2/2): scatter 2 read, 4 written; gather about 5 read (a cache line for each window, or
for two), 1 written.
Measured (2026-11, 64x698x698, 2x2/2, two threads, where copying moves 38 GB/s): scatter 30 GB/s, gather 29 GB/s. To
gather is to read all of x; beside PyTorch, which does the same, indices of half the size are what is won.
"""

import numpy as np

from . import memory
from ._compile import compiled
from ._layout import contiguous
from ._threads import run

GRAIN = 1 << 14  # windows that are worth a thread


def scatter(gy, indices, h, w):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w); values with the same index are added."""
    images, channels, oh, ow = gy.shape
    gx = memory.empty((images, channels, h, w), gy.dtype)
    planes = images * channels
    run(_scatter, planes * h, contiguous(gy).reshape(planes, oh * ow), contiguous(indices).reshape(planes, oh * ow),
        gx.reshape(planes, h * w), w, grain=max(1, GRAIN * h // max(1, oh * ow)))
    return gx


def gather(x, indices):
    """x (N, C, H, W) and indices (N, C, OH, OW) -> y (N, C, OH, OW)."""
    images, channels, h, w = x.shape
    y = memory.empty(indices.shape, x.dtype)
    planes, (oh, ow) = images * channels, indices.shape[2:]
    run(_gather, planes * oh, contiguous(x).reshape(planes, h * w), contiguous(indices).reshape(planes, oh * ow),
        y.reshape(planes, oh * ow), ow, grain=max(1, GRAIN // max(1, ow)))
    return y


@compiled
def _scatter(part, start, stop, gy, indices, gx, w):
    size = gx.shape[1]
    pixel, end = start * w, stop * w  # of all planes, laid end to end
    while pixel < end:
        plane, first = pixel // size, pixel % size
        last = min(size, first + end - pixel)
        if last - first == size:
            _scatter_all(gy[plane], indices[plane], gx[plane])
        else:
            _scatter_some(gy[plane], indices[plane], gx[plane], first, last)
        pixel += last - first


@compiled
def _scatter_all(gy, indices, gx):
    gx[:] = 0
    for q in range(indices.size):
        gx[np.uint32(indices[q])] += gy[q]  # unsigned: Python's meaning of a negative index would have to be tested for


@compiled
def _scatter_some(gy, indices, gx, first, last):
    """The pixels first, ..., last - 1 only."""
    gx[first:last] = 0
    for q in range(indices.size):
        place = indices[q]
        if first <= place < last:
            gx[np.uint32(place)] += gy[q]


@compiled
def _gather(part, start, stop, x, indices, y, ow):
    size = y.shape[1]
    window, end = start * ow, stop * ow  # of all planes, laid end to end
    while window < end:
        plane, first = window // size, window % size
        last = min(size, first + end - window)
        pixels, places, values = x[plane], indices[plane, first:last], y[plane, first:last]
        for q in range(places.size):
            values[q] = pixels[np.uint32(places[q])]
        window += last - first
