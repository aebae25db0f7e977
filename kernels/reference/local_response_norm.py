"""Local response normalisation across channels, loop by loop (Krizhevsky, Sutskever, Hinton 2012, section 3.3).

Every number is divided by a power of the energy of its neighbours: the same pixel in `size` adjacent channels,

    scale[c] = k + alpha/size * sum over d in window(c) of x[d]^2        y[c] = x[c] * scale[c]^-beta

with window(c) = c - size//2 ... c + (size-1)//2, cut off at the first and last channel. An even window reaches one
channel further down than up, as in PyTorch; Caffe only allows odd ones, where the two agree.
"""

import numpy as np


def local_response_norm(x, size, alpha, beta, k):
    """x (N, C, H, W) -> y, scale, both (N, C, H, W)."""
    images, channels, h, w = x.shape
    before, after = size // 2, (size - 1) // 2
    y, scale = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(h):
                for q in range(w):
                    energy = x.dtype.type(0)
                    for d in range(max(0, c - before), min(channels, c + after + 1)):
                        energy += x[n, d, p, q] * x[n, d, p, q]
                    scale[n, c, p, q] = k + alpha / size * energy
                    y[n, c, p, q] = x[n, c, p, q] * scale[n, c, p, q] ** -beta
    return y, scale


def local_response_norm_grad(gy, x, scale, size, alpha, beta):
    """gy, x, scale (N, C, H, W) -> gx (N, C, H, W).

    x[d] matters twice: in its own numerator, and in the scale of every channel c whose window holds d. Turned around,
    those are c = d - (size-1)//2 ... d + size//2, the window mirrored.
    """
    images, channels, h, w = x.shape
    before, after = (size - 1) // 2, size // 2
    gx = np.empty(x.shape, x.dtype)
    for n in range(images):
        for d in range(channels):
            for p in range(h):
                for q in range(w):
                    felt = x.dtype.type(0)  # how much the neighbours' outputs shrink as their scale grows
                    for c in range(max(0, d - before), min(channels, d + after + 1)):
                        felt += gy[n, c, p, q] * x[n, c, p, q] * scale[n, c, p, q] ** (-beta - 1)
                    own = gy[n, d, p, q] * scale[n, d, p, q] ** -beta
                    gx[n, d, p, q] = own - 2 * alpha * beta / size * x[n, d, p, q] * felt
    return gx
