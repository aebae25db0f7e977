"""Dropout: numbers set to zero by chance, where chance k is a function of (key, k): each thread makes its own."""

import math

import numpy as np

from ._program import Program, contiguous, empty

_CU = Program("dropout")


def dropout(x, key, p, together):
    """x of any shape -> y of the same: each number times 0 with probability p, else times 1 / (1 - p).

    Every `together` neighbours share one chance. Linear and its own adjoint: the gradient is dropout of the gradient.
    A NaN stays one, so that it cannot hide. `key`: an int of 0 to 2**63 - 1.
    """
    y = empty(x, x.shape)
    common = np.int64(key), math.ceil(p * 2**24), float(1 / (1 - p) if p < 1 else 0)
    if together == 1:
        _CU.run("dropout", -(-x.size // 128) * 32, contiguous(x), y, *common, np.int64(x.size))
    elif x.size:  # planes without pixels have `together` 0
        rows = x.size // together
        _CU.run("dropout_together", (together, rows), contiguous(x), y, *common, together, np.int64(rows))
    return y
