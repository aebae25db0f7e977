"""Dropout: numbers set to zero by chance, where chance k is a function of (key, k) and of nothing else.

An ordinary generator makes its numbers one after the other, each from its last state: thread 1000 would have to wait
for 999 others, and a mask would have to be kept for the backward pass. A generator *by counter* scrambles the number k
itself. Any thread makes its own chance, every device makes the same ones, and the backward pass makes them again.

Source: Philox4x32-10 of Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

import math

import numpy as np

WORD = 0xFFFFFFFF  # 32 bits


def dropout(x, key, p, together):
    """x of any shape -> y of the same: each number times 0 with probability p, else times 1 / (1 - p).

    Every `together` neighbours share one chance. Linear and its own adjoint: the gradient is dropout of the gradient.
    A NaN stays one, so that it cannot hide. `key`: an int of 0 to 2**63 - 1.
    """
    y = np.empty(x.shape, x.dtype)
    bound, scale = math.ceil(p * 2**24), 1 / (1 - p) if p < 1 else 0.0
    for number, place in enumerate(np.ndindex(x.shape)):
        kept = _chance(key, number // together) >= bound
        y[place] = x[place] * (scale if kept else 0.0)
    return y


def _chance(key, k):
    """Chance k, of 0 to 2**24 - 1: the upper 24 bits of a word.

    A counter makes four words, for numbers 32 apart: so 32 neighbours fall to 32 counters, which the lanes of a vector
    or the threads of a warp make side by side.
    """
    counter = k // 128 * 32 + k % 32
    return _philox(counter & WORD, counter >> 32, 0, 0, key & WORD, key >> 32)[k % 128 // 32] >> 8


def _philox(a, b, c, d, key0, key1):
    """The four random words that a counter of four words makes. Ten rounds of two multiplications scramble it.

    The odd factors and the keys' steps are the authors'. A product has 64 bits: its halves change places, and so each
    bit comes to depend on every other.
    """
    for _ in range(10):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = ((right >> 32) & WORD) ^ b ^ key0, right & WORD, ((left >> 32) & WORD) ^ d ^ key1, left & WORD
        key0, key1 = (key0 + 0x9E3779B9) & WORD, (key1 + 0xBB67AE85) & WORD
    return a, b, c, d
