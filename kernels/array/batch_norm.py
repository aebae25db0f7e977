"""Batch normalisation on whole arrays: one reduction over (N, H, W) for each sum, one broadcast for each map.

The reductions accumulate in float64 (`dtype=`), which costs little, because the numbers come from memory as float32
and are widened on the way.
"""

import numpy as np

from .. import array_module

PIXELS = (0, 2, 3)  # the axes of (N, C, H, W) that a channel's statistics run over


def batch_norm_statistics(x):
    """x (N, C, H, W) -> mean (C,), var (C,), the biased variance (divided by N*H*W)."""
    exact = x.mean(axis=PIXELS, dtype=np.float64)  # (C,)
    mean = exact.astype(x.dtype)
    centred = x - _maps(mean)  # in x's dtype: no copy of the whole batch in float64
    centred *= centred
    # Squares around the rounded mean are too large by the square of the rounding.
    var = centred.mean(axis=PIXELS, dtype=np.float64) - (exact - mean) ** 2
    return mean, array_module(x).maximum(var, 0).astype(x.dtype)


def batch_norm_normalize(x, mean, inv_std, weight, bias):
    """x (N, C, H, W), the others (C,) -> y (N, C, H, W)."""
    y = x - _maps(mean)  # (N, C, H, W)
    y *= _maps(inv_std * weight)
    y += _maps(bias)
    return y


def batch_norm_grad(gy, x, mean, inv_std, weight):
    """gy, x (N, C, H, W), the others (C,) -> gx, gweight (C,), gbias (C,), with the statistics taken from x."""
    count = x.size // x.shape[1]  # M = N*H*W
    z, gweight, gbias = _normal_and_sums(gy, x, mean, inv_std)
    z *= _maps((gweight / count).astype(x.dtype))
    gx = gy - z
    gx -= _maps((gbias / count).astype(x.dtype))
    gx *= _maps(weight * inv_std)
    return gx, gweight.astype(x.dtype), gbias.astype(x.dtype)


def batch_norm_frozen_grad(gy, x, mean, inv_std, weight):
    """The same with mean and inv_std as constants: gx = weight * inv_std * gy."""
    _, gweight, gbias = _normal_and_sums(gy, x, mean, inv_std)
    return gy * _maps(weight * inv_std), gweight.astype(x.dtype), gbias.astype(x.dtype)


def _normal_and_sums(gy, x, mean, inv_std):
    """z (N, C, H, W) before weight and bias, and in float64 the sums of gy * z and of gy: (C,), (C,)."""
    z = x - _maps(mean)
    z *= _maps(inv_std)
    return z, (gy * z).sum(axis=PIXELS, dtype=np.float64), gy.sum(axis=PIXELS, dtype=np.float64)


def _maps(values):
    """(C,) -> (C, 1, 1), which broadcasts over images and pixels."""
    return values[:, None, None]
