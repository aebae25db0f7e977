"""Softmax cross-entropy, a pixel a thread; the losses are added by block and then over the blocks."""

import numpy as np

from ._program import Program, contiguous, empty

_CU = Program("softmax_cross_entropy")
BLOCK = 256  # threads
MOST_BLOCKS = 2048  # a few more than a GPU runs at a time; a thread then takes several pixels


def softmax_cross_entropy(x, target, weight, pixel_weight, ignore_index):
    """x (N, C, H, W), target (N, H, W) integers, weight (C,), pixel_weight (N, H, W) or None
    -> total, weight_total, valid, log_sum_exp (N, H, W)."""
    log_sum_exp = empty(x, target.shape)
    blocks = max(1, min(-(-target.size // BLOCK), MOST_BLOCKS))
    of_blocks = empty(x, (blocks, 3), np.float64)
    _CU.run("softmax_cross_entropy", blocks * BLOCK, contiguous(x), _labels(target), contiguous(weight),
            _or_none(pixel_weight), ignore_index, log_sum_exp, of_blocks, blocks, *_sizes(x))
    totals, valid = empty(x, (2,)), empty(x, (1,), np.int64)  # they stay on the device: reading them would wait for it
    _CU.run("add_losses", BLOCK, totals, valid, of_blocks, blocks)
    return totals[0], totals[1], valid[0], log_sum_exp


def softmax_cross_entropy_grad(x, target, weight, pixel_weight, log_sum_exp, ignore_index, scale):
    """The gradient of scale * total: gx (N, C, H, W) = scale * weight * (probability - 1 if c == t), else 0."""
    gx = empty(x, x.shape)
    _CU.run("softmax_cross_entropy_grad", target.size, contiguous(x), _labels(target), contiguous(weight),
            _or_none(pixel_weight), contiguous(log_sum_exp), ignore_index, float(scale), gx, *_sizes(x))
    return gx


def _labels(target):
    """(N, H, W) of any integers, as int32."""
    return contiguous(target.astype(np.int32, copy=False))


def _or_none(array):
    return None if array is None else contiguous(array)


def _sizes(x):
    """N*H*W, C and H*W."""
    images, classes, h, w = x.shape
    return images * h * w, classes, h * w
