"""The sum of each channel over images and pixels: the gradient of a bias, which every output pixel saw once.

Sums run over hundreds of thousands of pixels, so they are kept in float64 whatever gy is.
"""

import numpy as np


def channel_sums(gy):
    """gy (N, C, H, W) -> (C,), dtype of gy."""
    images, channels, h, w = gy.shape
    sums = np.zeros(channels, np.float64)
    for n in range(images):
        for c in range(channels):
            for p in range(h):
                for q in range(w):
                    sums[c] += gy[n, c, p, q]
    return sums.astype(gy.dtype)
