"""Average pooling as two sums, down the columns and then along the rows, one row of windows at a time.

A window's sum is the sum of its row sums, so kh + kw additions do the work of kh*kw. Rows are added whole, 8 or 16
pixels to an instruction; along the row the pixels of one tap are made neighbours first (see _lanes). Both sums stay in
the innermost cache. Backward it is the same in reverse: the shares of all windows over one row of gx are added, then
spread along the row.

Bytes for each pixel (float32, 2x2/2): 5 both ways, read once and written once. A window's additions are made in another
order than in reference, so the last bits differ.
Measured (2026-11, 64x698x698, 2x2/2, two threads, where copying moves 60 GB/s): forward 31 GB/s, backward 23 GB/s; the
additions of rows in the cache take longer than memory does (512x28x28, whose rows are short: 5 GB/s).
"""

import numpy as np

from . import memory
from ._compile import compiled
from ._lanes import copy, put_together, take_apart, taps_along
from ._layout import contiguous
from ._threads import run

GRAIN = 1 << 15  # pixels that are worth a thread


def avg_pool2d(x, divisor, oh, ow, kh, kw, sh, sw, ph, pw):
    """x (N, C, H, W), divisor (oh, ow) -> y (N, C, oh, ow)."""
    images, channels, h, w = x.shape
    y = memory.empty((images, channels, oh, ow), x.dtype)
    planes = images * channels
    run(_average, planes * oh, contiguous(x).reshape(planes, h, w), contiguous(divisor), y.reshape(planes, oh, ow),
        kh, kw, sh, sw, ph, pw, grain=max(1, GRAIN // max(1, kh * w)))
    return y


def avg_pool2d_grad(gy, divisor, h, w, kh, kw, sh, sw, ph, pw):
    """gy (N, C, OH, OW), divisor (OH, OW) -> gx (N, C, h, w)."""
    images, channels, oh, ow = gy.shape
    gx = memory.empty((images, channels, h, w), gy.dtype)
    planes = images * channels
    run(_spread, planes * h, contiguous(gy).reshape(planes, oh, ow), contiguous(divisor), gx.reshape(planes, h, w),
        kh, kw, sh, sw, ph, pw, grain=max(1, GRAIN // max(1, w)))
    return gx


@compiled
def _average(part, start, stop, x, divisor, y, kh, kw, sh, sw, ph, pw):
    (_, h, w), (_, oh, ow) = x.shape, y.shape
    taps = taps_along(w, ow, kw, sw, pw, 1)
    columns, lanes, sums = np.empty(w, x.dtype), np.empty((sw, w // sw + 1), x.dtype), np.empty(ow, x.dtype)
    for row in range(start, stop):
        plane, p = row // oh, row % oh
        columns[:] = 0
        for iy in range(max(0, p * sh - ph), min(h, p * sh - ph + kh)):
            add(x[plane, iy], columns)
        take_apart(columns, lanes)
        sums[:] = 0
        for j in range(kw):
            lane, shift, first, last = taps[j]
            add(lanes[lane, first + shift : last + shift], sums[first:last])
        divide(sums, divisor[p], y[plane, p])


@compiled
def _spread(part, start, stop, gy, divisor, gx, kh, kw, sh, sw, ph, pw):
    (_, oh, ow), (_, h, w) = gy.shape, gx.shape
    taps = taps_along(w, ow, kw, sw, pw, 1)
    share, sums = np.empty(ow, gy.dtype), np.empty(ow, gy.dtype)
    lanes, line = np.empty((sw, w // sw + 1), gy.dtype), np.empty(w, gy.dtype)
    previous = -1, -1, -1
    for row in range(start, stop):
        plane, iy = row // h, row % h
        # Window p covers kh rows from p*sh - ph on, so this row lies under the windows from `top` up to `bottom`.
        top, bottom = max(0, (iy + ph - kh) // sh + 1), min(oh, (iy + ph) // sh + 1)
        if (plane, top, bottom) != previous:  # else this row is like the one above
            previous = plane, top, bottom
            sums[:] = 0
            for p in range(top, bottom):
                divide(gy[plane, p], divisor[p], share)
                add(share, sums)
            lanes[:] = 0
            for j in range(kw):
                lane, shift, first, last = taps[j]
                add(sums[first:last], lanes[lane, first + shift : last + shift])
            put_together(lanes, line)
        copy(line, gx[plane, iy])


@compiled
def add(values, sums):
    """sums += values."""
    for k in range(values.size):
        sums[k] += values[k]


@compiled
def divide(values, divisor, quotients):
    """quotients = values / divisor, number by number."""
    for k in range(values.size):
        quotients[k] = values[k] / divisor[k]
