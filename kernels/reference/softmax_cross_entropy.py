"""Softmax cross-entropy over pixels, loop by loop.

At a pixel with scores x[0..C-1] and label t, the softmax gives class c the probability exp(x[c]) / sum of exp(x), and
the loss is minus the logarithm of the probability of t, times what the pixel counts:

    loss = weight[t] * pixel_weight * (log_sum_exp - x[t])          log_sum_exp = log(sum over c of exp(x[c]))

exp overflows from about 88 in float32, so the largest score is subtracted first, which changes no probability.
Pixels with label ignore_index count nowhere, whatever their scores. Sums over pixels are kept in float64.
"""

import numpy as np


def softmax_cross_entropy(x, target, weight, pixel_weight, ignore_index):
    """x (N, C, H, W), target (N, H, W) integers, weight (C,), pixel_weight (N, H, W) or None
    -> total, weight_total, valid, log_sum_exp (N, H, W).

    total: the sum of the losses of the valid pixels; weight_total: of what they count; valid: how many there are.
    """
    images, classes, h, w = x.shape
    log_sum_exp = np.empty((images, h, w), x.dtype)
    total, weight_total, valid = np.float64(0), np.float64(0), 0
    for n in range(images):
        for p in range(h):
            for q in range(w):
                top = x[n, 0, p, q]
                for c in range(1, classes):
                    top = max(top, x[n, c, p, q])
                exponentials = np.float64(0)
                for c in range(classes):
                    exponentials += np.exp(x[n, c, p, q] - top)
                log_sum_exp[n, p, q] = top + np.log(exponentials)
                t = target[n, p, q]
                if t != ignore_index:
                    counts = weight[t] if pixel_weight is None else weight[t] * pixel_weight[n, p, q]
                    # Not log_sum_exp - x[t]: where the network is sure of t, that difference is far below top.
                    total += counts * (np.log(exponentials) - (x[n, t, p, q] - top))
                    weight_total += counts
                    valid += 1
    return x.dtype.type(total), x.dtype.type(weight_total), valid, log_sum_exp


def softmax_cross_entropy_grad(x, target, weight, pixel_weight, log_sum_exp, ignore_index, scale):
    """The gradient of scale * total: gx (N, C, H, W) = scale * weight * (probability - 1 if c == t), else 0.

    The weight is weight[t], times pixel_weight if that is not None. A pixel pulls up the score of its label and pushes
    down all others, by how probable it thought them.
    """
    images, classes, h, w = x.shape
    gx = np.zeros(x.shape, x.dtype)
    for n in range(images):
        for p in range(h):
            for q in range(w):
                t = target[n, p, q]
                if t != ignore_index:
                    counts = weight[t] if pixel_weight is None else weight[t] * pixel_weight[n, p, q]
                    for c in range(classes):
                        probability = np.exp(x[n, c, p, q] - log_sum_exp[n, p, q])
                        gx[n, c, p, q] = scale * counts * (probability - (1 if c == t else 0))
    return gx
