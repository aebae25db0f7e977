"""Dropout: numbers set to zero by chance, where chance k is a function of (key, k) and of nothing else: all at once."""

import math

from .. import array_module

WORD = 0xFFFFFFFF  # 32 bits


def dropout(x, key, p, together):
    """x of any shape -> y of the same: each number times 0 with probability p, else times 1 / (1 - p).

    Every `together` neighbours share one chance. Linear and its own adjoint: the gradient is dropout of the gradient.
    A NaN stays one, so that it cannot hide. `key`: an int of 0 to 2**63 - 1.
    """
    if not x.size:
        return x.copy()
    kept = _chances(array_module(x), key, x.size // together) >= math.ceil(p * 2**24)  # (K,)
    factors = kept.reshape(-1, 1).astype(x.dtype)  # (K, 1)
    factors *= 1 / (1 - p) if p < 1 else 0.0
    return (x.reshape(-1, together) * factors).reshape(x.shape)  # reshape reads in the order of the axes, as it should


def _chances(xp, key, count):
    """Chances 0 to count - 1, each of 0 to 2**24 - 1: the upper 24 bits of Philox's words, four of each counter.

    32 counters decide 128 numbers: all their first words the first 32, and so on.

    uint64 throughout: a product of two words needs it, and sums that pass 32 bits are cut.
    """
    counters = xp.arange(-(-count // 128) * 32, dtype=xp.uint64).reshape(-1, 32)
    a, b, c, d = counters & WORD, counters >> 32, xp.zeros_like(counters), xp.zeros_like(counters)
    key0, key1 = key & WORD, key >> 32
    for _ in range(10):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (right >> 32) ^ b ^ key0, right & WORD, (left >> 32) ^ d ^ key1, left & WORD
        key0, key1 = (key0 + 0x9E3779B9) & WORD, (key1 + 0xBB67AE85) & WORD
    return xp.stack([a, b, c, d], axis=1).reshape(-1)[:count] >> 8
