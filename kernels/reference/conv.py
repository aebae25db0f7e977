"""Convolution and its two gradients, loop by loop: the definition that every other folder is held to.

Output pixel (p, q) reads input pixel (iy, ix) through tap (i, j) of the filter, where

    iy = p*sh + i*dh - ph        ix = q*sw + j*dw - pw

and a tap that falls outside the input reads a zero. The gradients walk through the very same pairs: what was read is
written, what was multiplied by the weight is multiplied by the weight again.
"""

import numpy as np


def conv2d(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    images, _, h, w = x.shape
    filters, channels, kh, kw = weight.shape  # channels of one group
    y = np.zeros((images, filters, oh, ow), x.dtype)
    for n in range(images):
        for o in range(filters):
            first = o // (filters // groups) * channels  # the first input channel of this filter's group
            for p in range(oh):
                for q in range(ow):
                    total = x.dtype.type(0)
                    for c in range(channels):
                        for i in range(kh):
                            for j in range(kw):
                                iy, ix = p * sh + i * dh - ph, q * sw + j * dw - pw
                                if 0 <= iy < h and 0 <= ix < w:
                                    total += x[n, first + c, iy, ix] * weight[o, c, i, j]
                    y[n, o, p, q] = total if bias is None else total + bias[o]
    return y


def conv2d_grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w). Also a transposed convolution's forward."""
    images, filters, oh, ow = gy.shape
    _, channels, kh, kw = weight.shape
    gx = np.zeros((images, channels * groups, h, w), gy.dtype)
    for n in range(images):
        for o in range(filters):
            first = o // (filters // groups) * channels
            for p in range(oh):
                for q in range(ow):
                    for c in range(channels):
                        for i in range(kh):
                            for j in range(kw):
                                iy, ix = p * sh + i * dh - ph, q * sw + j * dw - pw
                                if 0 <= iy < h and 0 <= ix < w:
                                    gx[n, first + c, iy, ix] += gy[n, o, p, q] * weight[o, c, i, j]
    return gx


def conv2d_grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C/groups, kh, kw)."""
    images, filters, oh, ow = gy.shape
    _, all_channels, h, w = x.shape
    channels = all_channels // groups
    gweight = np.zeros((filters, channels, kh, kw), gy.dtype)
    for n in range(images):
        for o in range(filters):
            first = o // (filters // groups) * channels
            for p in range(oh):
                for q in range(ow):
                    for c in range(channels):
                        for i in range(kh):
                            for j in range(kw):
                                iy, ix = p * sh + i * dh - ph, q * sw + j * dw - pw
                                if 0 <= iy < h and 0 <= ix < w:
                                    gweight[o, c, i, j] += gy[n, o, p, q] * x[n, first + c, iy, ix]
    return gweight
