"""exp and log of float32, written so that the compiler turns a loop over them into vector instructions.

The library's own functions take one number at a time, and a softmax over 21 classes would spend nearly all its time in
them. A vector unit can add and multiply, so everything is made from that:

    exp(x) = 2^n * exp(r)       n = x / log 2 rounded to a whole number, r the rest: at most 0.35, up or down
    log(x) = e * log 2 + log(m)     x = 2^e * m, with m between 0.71 and 1.41

A polynomial is enough for exp(r) and log(m) (coefficients: Moshier, Cephes, expf.c and logf.c). And 2^n needs no
arithmetic: a float32 *is* sign, exponent + 127, fraction (1, 8 and 23 bits), so n only has to be moved into place.
There are no branches, as all lanes of a vector do the same: special cases are mended by choosing between two results.

Within 1.01 units in the last place (exp) and 0.83 (log), over some million numbers. float64 is for checking
gradients, and goes to the library.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from ._compile import compiled

NATURAL = {"contract"}  # a*b + c in one rounding; but x - n*log 2 must be taken in the order in which it is written

LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # n * LN2_HIGH is exact: it has 9 bits
ROUNDER = np.float32(1.5 * 2**23)  # so large that its last bit is worth 1: adding it rounds to a whole number
ROUNDER_BITS = int(ROUNDER.view(np.int32))
LOWEST, HIGHEST = np.float32(-87), np.float32(89)  # beyond, exp is below 1.7e-38, taken as 0, or infinity
ROOT_HALF_BITS = int(np.float32(0.70710678).view(np.int32))


@compiled(fastmath=NATURAL)
def exp_float32(x):
    """e^x for any float32: exp(inf) = inf, exp(NaN) = NaN, exp(-inf) = 0. Below -87, where e^x < 1.7e-38, it is 0."""
    bounded = HIGHEST if x > HIGHEST else x  # in this form NaN passes
    rounded = bounded * LOG2_E + ROUNDER
    n = np.int32(np.float32(rounded).view(np.int32) - ROUNDER_BITS)
    whole = rounded - ROUNDER
    r = (bounded - whole * LN2_HIGH) - whole * LN2_LOW
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = (p * r) * r + r + np.float32(1)
    scale = np.int32((n + 126) << 23).view(np.float32)  # 2^(n-1), as 2^128 is not a float32, but 2^127 * 2p may be
    return np.float32(0) if x < LOWEST else (p + p) * scale


@compiled(fastmath=NATURAL)
def log_float32(x):
    """The natural logarithm of x > 0, not denormal; log(inf) = inf, log(NaN) = NaN."""
    bits = np.int32(np.float32(x).view(np.int32) - ROOT_HALF_BITS)
    e = np.float32(np.int32(bits >> 23))
    m = np.int32((bits & 0x7FFFFF) + ROOT_HALF_BITS).view(np.float32)
    f = m - np.float32(1)
    p = np.float32(7.0376836292e-2)
    p = p * f + np.float32(-1.1514610310e-1)
    p = p * f + np.float32(1.1676998740e-1)
    p = p * f + np.float32(-1.2420140846e-1)
    p = p * f + np.float32(1.4249322787e-1)
    p = p * f + np.float32(-1.6668057665e-1)
    p = p * f + np.float32(2.0000714765e-1)
    p = p * f + np.float32(-2.4999993993e-1)
    p = p * f + np.float32(3.3333331174e-1)
    p = (p * f) * (f * f) + e * LN2_LOW
    result = (p - np.float32(0.5) * (f * f)) + f + e * LN2_HIGH
    return result if x < np.float32(np.inf) else x


def exp(x):
    """e^x in the type of x. Only for compiled code."""
    raise NotImplementedError("exp is for compiled code")


def log(x):
    """The natural logarithm of x > 0 in the type of x. Only for compiled code."""
    raise NotImplementedError("log is for compiled code")


@overload(exp)
def _exp_of(x):
    return (lambda x: exp_float32(x)) if x == types.float32 else (lambda x: math.exp(x))


@overload(log)
def _log_of(x):
    return (lambda x: log_float32(x)) if x == types.float32 else (lambda x: math.log(x))
