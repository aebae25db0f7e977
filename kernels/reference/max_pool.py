"""Max-pooling, loop by loop: the largest value of each window, and the place where it stood.

Window (p, q) looks through tap (i, j) at input pixel (iy, ix), where

    iy = p*sh + i*dh - ph        ix = q*sw + j*dw - pw

A tap outside the input sees nothing (it counts as minus infinity and never wins). The place is kept as iy*w + ix, one
number for each window, because that is all that the backward pass needs: a window's gradient goes whole to its winner.
"""

import numpy as np


def max_pool2d(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
    """x (N, C, H, W) -> y (N, C, oh, ow) and indices (N, C, oh, ow) int32. Every window has a tap in the input."""
    images, channels, h, w = x.shape
    y = np.empty((images, channels, oh, ow), x.dtype)
    indices = np.empty((images, channels, oh, ow), np.int32)
    for n in range(images):
        for c in range(channels):
            for p in range(oh):
                for q in range(ow):
                    best, winner = x.dtype.type(0), -1  # -1: no tap was inside yet
                    for i in range(kh):
                        for j in range(kw):
                            iy, ix = p * sh + i * dh - ph, q * sw + j * dw - pw
                            if 0 <= iy < h and 0 <= ix < w:
                                value = x[n, c, iy, ix]
                                # Only NaN differs from itself: the first NaN beats every number and is never beaten.
                                if winner < 0 or value > best or (value != value and best == best):
                                    best, winner = value, iy * w + ix
                    y[n, c, p, q] = best
                    indices[n, c, p, q] = winner
    return y, indices


def max_pool2d_grad(gy, indices, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w).

    Each input pixel asks the windows that cover it whether it was their winner. It reads where a window would write,
    so two windows with the same winner never meet at one address, and pixels can be worked on in parallel.
    """
    images, channels, oh, ow = gy.shape
    gx = np.zeros((images, channels, h, w), gy.dtype)
    for n in range(images):
        for c in range(channels):
            for iy in range(h):
                for ix in range(w):
                    total = gy.dtype.type(0)
                    for i in range(kh):
                        for j in range(kw):
                            # The window that sees this pixel through tap (i, j) starts at p*sh = iy + ph - i*dh.
                            row, col = iy + ph - i * dh, ix + pw - j * dw
                            p, q = row // sh, col // sw
                            exists = row % sh == 0 and col % sw == 0 and 0 <= p < oh and 0 <= q < ow
                            if exists and indices[n, c, p, q] == iy * w + ix:
                                total += gy[n, c, p, q]
                    gx[n, c, iy, ix] = total
    return gx
