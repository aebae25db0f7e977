"""Softmax cross-entropy over pixels on whole arrays: the loop over classes becomes axis 1.

An ignored pixel has a label that is no class and cannot be looked up. It is looked up as class 0, and what comes of it
is overwritten with 0: multiplying by 0 instead would let a NaN of that pixel through.
"""

import numpy as np

from .. import array_module


def softmax_cross_entropy(x, target, weight, pixel_weight, ignore_index):
    """x (N, C, H, W), target (N, H, W) integers, weight (C,), pixel_weight (N, H, W) or None
    -> total, weight_total, valid, log_sum_exp (N, H, W)."""
    xp = array_module(x)
    valid, label = _labels(xp, target, ignore_index)
    top = x.max(axis=1)  # (N, H, W)
    exponentials = x - top[:, None]  # (N, C, H, W)
    xp.exp(exponentials, out=exponentials)
    log_sum = xp.log(exponentials.sum(axis=1))  # (N, H, W), at least 0
    score = xp.take_along_axis(x, label[:, None], axis=1)[:, 0]  # of the label, (N, H, W)
    counts = _counts(weight, pixel_weight, label)
    # Not log_sum_exp - score: where the network is sure of the label, that difference is far below top.
    losses = xp.where(valid, counts * (log_sum - (score - top)), 0)
    weights = xp.where(valid, counts, 0)
    total, weight_total = (part.sum(dtype=np.float64).astype(x.dtype) for part in (losses, weights))
    return total, weight_total, valid.sum(), top + log_sum


def softmax_cross_entropy_grad(x, target, weight, pixel_weight, log_sum_exp, ignore_index, scale):
    """The gradient of scale * total: gx (N, C, H, W) = scale * weight * (probability - 1 if c == t), else 0."""
    xp = array_module(x)
    valid, label = _labels(xp, target, ignore_index)
    gx = x - log_sum_exp[:, None]  # (N, C, H, W)
    xp.exp(gx, out=gx)
    gx -= label[:, None] == xp.arange(x.shape[1])[:, None, None]  # (N, C, H, W), True at the label
    gx *= _counts(scale * weight, pixel_weight, label)[:, None]
    xp.copyto(gx, 0, where=~valid[:, None])
    return gx


def _labels(xp, target, ignore_index):
    """Which pixels count, and labels that can be looked up: both (N, H, W)."""
    valid = target != ignore_index
    return valid, xp.where(valid, target, 0).astype(np.int64)


def _counts(weight, pixel_weight, label):
    """What each pixel counts, (N, H, W)."""
    return weight[label] if pixel_weight is None else weight[label] * pixel_weight
