"""Adaptive average pooling, loop by loop: a given number of windows, as equal as whole pixels allow.

Along an axis of H pixels cut into OH windows, window p covers floor(p*H/OH) up to, not including, ceil((p+1)*H/OH).
The windows cover everything; where OH does not divide H, neighbours share a pixel, and where OH > H pixels repeat.
"""

import numpy as np


def adaptive_avg_pool2d(x, oh, ow):
    """x (N, C, H, W) -> y (N, C, oh, ow)."""
    images, channels, h, w = x.shape
    y = np.empty((images, channels, oh, ow), x.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(oh):
                top, bottom = p * h // oh, -(-(p + 1) * h // oh)  # -(-a // b) is a / b rounded up
                for q in range(ow):
                    left, right = q * w // ow, -(-(q + 1) * w // ow)
                    total = x.dtype.type(0)
                    for iy in range(top, bottom):
                        for ix in range(left, right):
                            total += x[n, c, iy, ix]
                    y[n, c, p, q] = total / x.dtype.type((bottom - top) * (right - left))
    return y


def adaptive_avg_pool2d_grad(gy, h, w):
    """gy (N, C, OH, OW) -> gx (N, C, h, w): every pixel gets its share of the windows that it was averaged into."""
    images, channels, oh, ow = gy.shape
    gx = np.zeros((images, channels, h, w), gy.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(oh):
                top, bottom = p * h // oh, -(-(p + 1) * h // oh)
                for q in range(ow):
                    left, right = q * w // ow, -(-(q + 1) * w // ow)
                    share = gy[n, c, p, q] / gy.dtype.type((bottom - top) * (right - left))
                    for iy in range(top, bottom):
                        for ix in range(left, right):
                            gx[n, c, iy, ix] += share
    return gx
