"""Launches of the passes that go channel by channel: a grid of (channels, chunks) blocks, see channel.h."""

import numpy as np

from ._program import empty

BLOCK = 256  # threads
NUMBERS = 4096  # of a channel for each block: 16 a thread, enough to be worth the sum over the block
MOST_CHUNKS = 1024  # of a channel: more blocks than a GPU runs at a time, and not more than one block can add up


def every_number(x):
    """x (N, C, H, W) -> the work of a launch on all its numbers, and what its kernel has to know: N*H*W, C, H*W."""
    images, channels, h, w = x.shape
    count = images * h * w
    return (channels * BLOCK, _chunks(count)), (count, channels, h * w)


def every_channel(x):
    """x (N, C, H, W) -> the work of a launch of one block for each channel."""
    return x.shape[1] * BLOCK


def partials(x, sums):
    """Room for so many sums of every chunk, (C, chunks, sums) in float64, and the number of chunks."""
    images, channels, h, w = x.shape
    chunks = _chunks(images * h * w)
    return empty(x, (channels, chunks, sums), np.float64), chunks


def _chunks(count):
    return max(1, min(-(-count // NUMBERS), MOST_CHUNKS))
