"""Unpooling: values go to the places that a max-pooling wrote down, and gradients come back from there.

The two passes are adjoint: `gather` reads what `scatter` writes. `scatter` is also the backward pass of the max-pooling
that made the indices, since a pooling is a gather whose places depend on the input.
"""

import numpy as np


def scatter(gy, indices, h, w):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w); values with the same index are added."""
    images, channels, oh, ow = gy.shape
    gx = np.zeros((images, channels, h, w), gy.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(oh):
                for q in range(ow):
                    place = indices[n, c, p, q]
                    gx[n, c, place // w, place % w] += gy[n, c, p, q]
    return gx


def gather(x, indices):
    """x (N, C, H, W) and indices (N, C, OH, OW) -> y (N, C, OH, OW)."""
    images, channels, oh, ow = indices.shape
    w = x.shape[3]
    y = np.empty((images, channels, oh, ow), x.dtype)
    for n in range(images):
        for c in range(channels):
            for p in range(oh):
                for q in range(ow):
                    place = indices[n, c, p, q]
                    y[n, c, p, q] = x[n, c, place // w, place % w]
    return y
