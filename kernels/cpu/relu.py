"""The rectified linear unit and its gradient: one look at each number, so memory sets the pace.

Forward moves 8 bytes a number (read x, write y), backward 12.

Measured (2026-11, two threads, Zen 4) against a copy of as many bytes: forward 92 % of its speed on 64x224x224,
backward 87 %; on 512x14x14, which one thread does faster than two, 1.5 and 1.7 times as fast.
"""

from . import memory
from ._compile import compiled
from ._layout import contiguous
from ._planes import GRAIN
from ._threads import run


def relu(x):
    """x of any shape -> y of the same: max(x, 0). A NaN is not <= 0, so it passes."""
    y = memory.empty(x.shape, x.dtype)
    run(_relu, x.size, contiguous(x).reshape(-1), y.reshape(-1), grain=GRAIN)
    return y


def relu_grad(gy, y):
    """gy and the forward output y, any shape -> gx of the same: what passed forward passes backward."""
    gx = memory.empty(gy.shape, gy.dtype)
    run(_relu_grad, gy.size, contiguous(gy).reshape(-1), contiguous(y).reshape(-1), gx.reshape(-1), grain=GRAIN)
    return gx


@compiled
def _relu(part, start, stop, x, y):
    x, y = x[start:stop], y[start:stop]  # counted from 0, an index cannot be negative: one test less, and vectorised
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= 0 else x[i]


@compiled
def _relu_grad(part, start, stop, gy, y, gx):
    gy, y, gx = gy[start:stop], y[start:stop], gx[start:stop]
    zero = gy.dtype.type(0)
    for i in range(gy.size):
        gx[i] = zero if y[i] <= 0 else gy[i]
