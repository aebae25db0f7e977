"""Max-pooling: whole rows of windows at once, in one read of x, and backward in one write of gx.

Every comparison of one window is made at the same time in its neighbours in the row, 8 or 16 windows to an
instruction. Nothing branches: `a if larger else b` on numbers becomes a selection of lanes. The values that one tap of
all windows sees must be neighbours for that: see _lanes. The case of nearly every network, 2x2 windows side by side, is
written out a second time, with the running maximum in registers.

Backward, 2x2 windows side by side in wide rows ask each pixel of gx whether it won, again for a whole row at a time;
all others are few numbers to be put in their places, which is what `scatter` does.

Bytes for each input number (float32, 2x2/2): forward 4 read, 2 written; backward 2 read, 4 written.
Measured (2026-11, 64x698x698, 2x2/2, two threads, where copying moves 36 GB/s): forward 25 GB/s, backward 35 GB/s. On
maps of 28x28 to 224x224 forward takes a sixth to a twentieth of PyTorch's time, and 0.9 to 1.5 times that of PyTorch
in its channels-last layout, whose windows see many channels side by side.
"""

import numpy as np

from . import memory
from ._compile import compiled
from ._lanes import take_apart, taps_along
from ._layout import contiguous
from ._threads import run
from .unpool import scatter

GRAIN = 1 << 14  # windows that are worth a thread
WIDE = 64  # windows in a row: in shorter ones too much is left over for whole vectors (28 take 1.7 times as long)


def max_pool2d(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
    """x (N, C, H, W) -> y (N, C, oh, ow) and indices (N, C, oh, ow) int32. Every window has a tap in the input."""
    images, channels, h, w = x.shape
    y = memory.empty((images, channels, oh, ow), x.dtype)
    indices = memory.empty(y.shape, np.int32)
    planes = images * channels
    arrays = contiguous(x).reshape(planes, h, w), y.reshape(planes, oh, ow), indices.reshape(planes, oh, ow)
    if _pairs(h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
        run(_pool_pairs, planes * oh, *arrays, grain=_rows(ow))
    else:
        run(_pool, planes * oh, *arrays, kh, kw, sh, sw, ph, pw, dh, dw, grain=_rows(ow))
    return y, indices


def max_pool2d_grad(gy, indices, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w)."""
    images, channels, oh, ow = gy.shape
    if ow < WIDE or not _pairs(h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
        return scatter(gy, indices, h, w)
    gx = memory.empty((images, channels, h, w), gy.dtype)
    planes = images * channels
    windows = (planes, oh, ow)
    run(_grad_pairs, planes * oh, contiguous(gy).reshape(windows), contiguous(indices).reshape(windows),
        gx.reshape(planes, h, w), grain=_rows(ow))
    return gx


def _pairs(h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
    """2x2 windows, side by side, that all lie inside the input?"""
    return kh == kw == sh == sw == 2 and ph == pw == 0 and dh == dw == 1 and 2 * oh <= h and 2 * ow <= w


def _rows(width):
    return max(1, GRAIN // max(1, width))


# Any windows: row by row of the output, tap by tap.

@compiled
def _pool(part, start, stop, x, y, indices, kh, kw, sh, sw, ph, pw, dh, dw):
    (_, h, w), (_, oh, ow) = x.shape, y.shape
    taps, lanes = taps_along(w, ow, kw, sw, pw, dw), np.empty((sw, w // sw + 1), x.dtype)
    for row in range(start, stop):
        plane, p = row // oh, row % oh
        best, winner = y[plane, p], indices[plane, p]
        best[:], winner[:] = 0, -1  # no tap was inside yet
        for i in range(kh):
            iy = p * sh + i * dh - ph
            if 0 <= iy < h:
                take_apart(x[plane, iy], lanes)
                for j in range(kw):
                    lane, shift, first, last = taps[j]
                    place = iy * w + first * sw + j * dw - pw  # of the first value
                    _compare(lanes[lane, first + shift : last + shift], place, sw, best[first:last], winner[first:last])


@compiled
def _compare(values, place, step, best, winner):
    """Values that are larger than the best ones take their places; value q comes from pixel place + q*step."""
    place, step = np.int32(place), np.int32(step)
    for q in range(best.size):
        value, old, where = values[q], best[q], winner[q]
        # "Not less or equal" is also true of NaN: the first NaN beats every number, and is never beaten.
        larger = (not value <= old) & (old == old) | (where < 0)
        best[q] = value if larger else old
        winner[q] = place + np.int32(q) * step if larger else where


# 2x2 windows side by side.

@compiled
def _pool_pairs(part, start, stop, x, y, indices):
    w, oh = x.shape[2], y.shape[1]
    for row in range(start, stop):
        plane, p = row // oh, row % oh
        best, winner = y[plane, p], indices[plane, p]
        for q in range(best.size):
            old, where = x[plane, 2 * p, 2 * q], 2 * p * w + 2 * q
            for i in range(2):
                for j in range(2):
                    value = x[plane, 2 * p + i, 2 * q + j]
                    larger = (not value <= old) & (old == old)  # as in _compare
                    old = value if larger else old
                    where = (2 * p + i) * w + 2 * q + j if larger else where
            best[q] = old
            winner[q] = np.int32(where)


@compiled
def _grad_pairs(part, start, stop, gy, indices, gx):
    oh, w = gy.shape[1], gx.shape[2]
    for row in range(start, stop):
        plane, p = row // oh, row % oh
        for iy in range(2 * p, 2 * p + 2):
            _write_pairs(gy[plane, p], indices[plane, p], iy * w, gx[plane, iy])
        if p == oh - 1:
            gx[plane, 2 * oh :] = 0


@compiled
def _write_pairs(gy, winner, place, gx):
    """One row of gx (w,), whose first pixel has the index `place`: in one write, zeros and all."""
    place, zero = np.int32(place), gy.dtype.type(0)
    for q in range(gy.size):
        for j in range(2):
            gx[2 * q + j] = gy[q] if winner[q] == np.int32(place + 2 * q + j) else zero
    gx[2 * gy.size :] = 0
