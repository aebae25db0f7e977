"""One number for each channel, added to all its pixels: 8 bytes a number, read and written back.

Measured (2026-11, two threads, Zen 4) against a copy of as many bytes: 37 GB/s on 64x224x224, 1.7 times as fast,
since a number goes back to where it came from.
"""

from ._compile import compiled
from ._layout import contiguous
from ._planes import grain_of, piece, pieces_in
from ._threads import run


def add_bias(y, bias):
    """y (N, C, H, W) += bias (C,), in place."""
    if not y.flags.carray:  # a part of a larger array
        y += bias[:, None, None]
        return
    images, channels, h, w = y.shape
    planes, pieces = images * channels, pieces_in(h * w)
    run(_add_bias, planes * pieces, y.reshape(planes, h * w), pieces, contiguous(bias), grain=grain_of(h * w, pieces))


@compiled
def _add_bias(part, start, stop, y, pieces, bias):
    """y (N*C, H*W), bias (C,)."""
    for unit in range(start, stop):
        plane, first, last = piece(unit, pieces, y.shape[1])
        numbers, more = y[plane, first:last], bias[plane % bias.size]
        for i in range(numbers.size):
            numbers[i] += more
