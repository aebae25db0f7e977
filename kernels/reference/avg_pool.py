"""Average pooling, loop by loop: the sum of each window, divided by a number of its own.

What counts as a window's size (with or without padding, clipped at the end or not) is decided before: `divisor` holds
the answer for every output pixel. What is left is linear, so the backward pass hands gy / divisor back to every pixel
that was summed.
"""

import numpy as np


def avg_pool2d(x, divisor, oh, ow, kh, kw, sh, sw, ph, pw):
    """x (N, C, H, W), divisor (oh, ow) -> y (N, C, oh, ow)."""
    images, channels, h, w = x.shape
    y = np.empty((images, channels, oh, ow), x.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(oh):
                for q in range(ow):
                    total = x.dtype.type(0)
                    for i in range(kh):
                        for j in range(kw):
                            iy, ix = p * sh + i - ph, q * sw + j - pw
                            if 0 <= iy < h and 0 <= ix < w:
                                total += x[n, c, iy, ix]
                    y[n, c, p, q] = total / divisor[p, q]
    return y


def avg_pool2d_grad(gy, divisor, h, w, kh, kw, sh, sw, ph, pw):
    """gy (N, C, OH, OW), divisor (OH, OW) -> gx (N, C, h, w)."""
    images, channels, oh, ow = gy.shape
    gx = np.zeros((images, channels, h, w), gy.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(oh):
                for q in range(ow):
                    share = gy[n, c, p, q] / divisor[p, q]
                    for i in range(kh):
                        for j in range(kw):
                            iy, ix = p * sh + i - ph, q * sw + j - pw
                            if 0 <= iy < h and 0 <= ix < w:
                                gx[n, c, iy, ix] += share
    return gx
