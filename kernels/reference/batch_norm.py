"""Batch normalisation, loop by loop (Ioffe, Szegedy 2015, algorithm 1 and section 3).

Every channel c is shifted and scaled by two numbers of its own, taken over all images and pixels:

    z = (x - mean[c]) * inv_std[c]           y = weight[c] * z + bias[c]

In training mean and inv_std depend on x, so that every pixel moves every other one's output a little: that is the
second and third term of the gradient in `batch_norm_grad`. With frozen statistics they are constants, and both vanish.
Sums run over hundreds of thousands of pixels, so they are kept in float64 whatever x is.
"""

import numpy as np


def batch_norm_statistics(x):
    """x (N, C, H, W) -> mean (C,), var (C,), the biased variance (divided by N*H*W).

    Two passes: the mean first, then the squares around it. The shortcut E[x^2] - mean^2 subtracts two large, nearly
    equal numbers when the mean is large, and can even come out negative.
    """
    images, channels, h, w = x.shape
    count = images * h * w
    mean, var = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    for c in range(channels):
        total = np.float64(0)
        for n in range(images):
            for p in range(h):
                for q in range(w):
                    total += x[n, c, p, q]
        centre = total / count  # still float64: rounding it first would spoil the squares
        squares = np.float64(0)
        for n in range(images):
            for p in range(h):
                for q in range(w):
                    squares += (x[n, c, p, q] - centre) ** 2
        mean[c], var[c] = centre, squares / count
    return mean, var


def batch_norm_normalize(x, mean, inv_std, weight, bias):
    """x (N, C, H, W), the others (C,) -> y (N, C, H, W)."""
    images, channels, h, w = x.shape
    y = np.empty(x.shape, x.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(h):
                for q in range(w):
                    # The mean goes first: folding it into the bias would round away a small signal on a large mean.
                    y[n, c, p, q] = (x[n, c, p, q] - mean[c]) * (inv_std[c] * weight[c]) + bias[c]
    return y


def batch_norm_grad(gy, x, mean, inv_std, weight):
    """gy, x (N, C, H, W), the others (C,) -> gx, gweight (C,), gbias (C,), with the statistics taken from x.

    With M = N*H*W:  gx = weight * inv_std * (gy - gbias/M - z * gweight/M). So gx has no mean over the channel and
    nothing along z: neither shifting nor stretching a channel changes what comes out of the normalisation.
    """
    images, channels, h, w = x.shape
    count = images * h * w
    gx = np.empty(x.shape, x.dtype)
    gweight, gbias = _channel_sums(gy, x, mean, inv_std)
    for n in range(images):
        for c in range(channels):
            for p in range(h):
                for q in range(w):
                    z = (x[n, c, p, q] - mean[c]) * inv_std[c]
                    own = gy[n, c, p, q] - gbias[c] / count - z * (gweight[c] / count)
                    gx[n, c, p, q] = weight[c] * inv_std[c] * own
    return gx, gweight.astype(x.dtype), gbias.astype(x.dtype)


def batch_norm_frozen_grad(gy, x, mean, inv_std, weight):
    """The same with mean and inv_std as constants: gx = weight * inv_std * gy."""
    images, channels, h, w = x.shape
    gx = np.empty(x.shape, x.dtype)
    gweight, gbias = _channel_sums(gy, x, mean, inv_std)
    for n in range(images):
        for c in range(channels):
            for p in range(h):
                for q in range(w):
                    gx[n, c, p, q] = weight[c] * inv_std[c] * gy[n, c, p, q]
    return gx, gweight.astype(x.dtype), gbias.astype(x.dtype)


def _channel_sums(gy, x, mean, inv_std):
    """gweight = sum of gy * z and gbias = sum of gy over images and pixels, in float64: (C,), (C,)."""
    images, channels, h, w = x.shape
    gweight, gbias = np.zeros(channels, np.float64), np.zeros(channels, np.float64)
    for n in range(images):
        for c in range(channels):
            for p in range(h):
                for q in range(w):
                    gweight[c] += gy[n, c, p, q] * ((x[n, c, p, q] - mean[c]) * inv_std[c])
                    gbias[c] += gy[n, c, p, q]
    return gweight, gbias
