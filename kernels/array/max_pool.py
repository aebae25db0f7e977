"""Max-pooling, tap by tap: one comparison of whole arrays for each of the kh*kw taps, instead of one for each pixel.

The forward pass sweeps over the taps twice: first for the largest value, then for the first tap that has it.
"""

import numpy as np

from .. import array_module
from ._planes import blocks, end_to_end
from ._reach import reaches


def max_pool2d(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
    """x (N, C, H, W) -> y (N, C, oh, ow) and indices (N, C, oh, ow) int32. Every window has a tap in the input."""
    xp = array_module(x)
    images, channels, h, w = x.shape
    x = x.reshape(images * channels, h, w)
    y = xp.full((images * channels, oh, ow), -xp.inf, x.dtype)
    indices = xp.empty(y.shape, xp.int32)
    taps = reaches(h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
    corner = _corners(xp, w, oh, ow, sh, sw, ph, pw)
    offsets = _offsets(xp, w, kh, kw, dh, dw)
    for block in blocks(images * channels, h * w):
        part, values = y[block], x[block]
        for outputs, pixels in taps:
            xp.maximum(part[outputs], values[pixels], out=part[outputs])  # NaN wins over every number
        indices[block] = corner + xp.take(offsets, _first_tap_with(xp, part, values, taps))
    shape = (images, channels, oh, ow)
    return y.reshape(shape), indices.reshape(shape)


def max_pool2d_grad(gy, indices, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w).

    Windows that do not overlap have a winner each: their gradients are stored. Where they do overlap, gradients are
    added, one tap at a time: tap (i, j) sees each pixel from at most one window, so no addition meets another.
    """
    xp = array_module(gy)
    images, channels, oh, ow = gy.shape
    gy, indices = gy.reshape(images * channels, oh, ow), indices.reshape(images * channels, oh, ow)
    gx = xp.zeros((images * channels, h, w), gy.dtype)
    apart = sh > dh * (kh - 1) and sw > dw * (kw - 1)  # the stride is no less than the extent
    for block in blocks(images * channels, h * w):
        if apart:
            gx[block].reshape(-1)[end_to_end(xp, indices[block], h * w)] = gy[block].reshape(-1)
        else:
            _add_to_winners(xp, gx[block], gy[block], indices[block], kh, kw, sh, sw, ph, pw, dh, dw)
    return gx.reshape(images, channels, h, w)


def _add_to_winners(xp, gx, gy, indices, kh, kw, sh, sw, ph, pw, dh, dw):
    """Add gy (planes, OH, OW) to gx (planes, H, W), in place."""
    (_, h, w), (_, oh, ow) = gx.shape, gy.shape
    corner, offsets = _corners(xp, w, oh, ow, sh, sw, ph, pw), _offsets(xp, w, kh, kw, dh, dw)
    nothing = gy.dtype.type(0)
    for offset, (outputs, pixels) in zip(offsets, reaches(h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw), strict=True):
        won = indices[outputs] == corner[outputs[1:]] + offset  # is the pixel under this tap the winner?
        gx[pixels] += xp.where(won, gy[outputs], nothing)


def _corners(xp, w, oh, ow, sh, sw, ph, pw):
    """Index of the pixel under tap (0, 0) of each window: (oh, ow). Under (i, j) it is i*dh*w + j*dw more."""
    rows, cols = xp.arange(oh, dtype=xp.int32) * sh - ph, xp.arange(ow, dtype=xp.int32) * sw - pw
    return rows[:, None] * w + cols


def _offsets(xp, w, kh, kw, dh, dw):
    """What each tap adds to the corner's index, in row-major order: (kh*kw,)."""
    rows, cols = xp.arange(kh, dtype=xp.int32) * dh, xp.arange(kw, dtype=xp.int32) * dw
    return (rows[:, None] * w + cols).reshape(-1)


def _first_tap_with(xp, y, x, taps):
    """For each output the number of the first tap that sees the value y: (planes, oh, ow).

    That number is how many taps in a row, counted from the first, do not see it.
    """
    searching = xp.ones(y.shape, bool)
    missed = xp.zeros(y.shape, xp.uint8 if len(taps) < 256 else xp.int32)
    # To ask a GPU means to wait for it, which takes longer than to look for NaN in vain.
    any_nan = xp is not np or bool(xp.isnan(y).any())
    for outputs, pixels in taps:
        other = x[pixels] != y[outputs]
        if any_nan:  # NaN equals nothing, not even itself; where one is seen, one has won
            other &= x[pixels] == x[pixels]
        searching[outputs] &= other
        missed += searching
    return missed
