"""Batch normalisation and ReLU in one pass, forward and backward: the loops of batch_norm with a ReLU inside them.

Forward costs no more than the normalisation alone. Backward reads y in place of a gradient stored in between: 16 bytes
a number instead of 24.
"""

from .batch_norm import gradient, normalize


def batch_norm_relu(x, mean, inv_std, weight, bias):
    """x (N, C, H, W), the others (C,) -> y (N, C, H, W), none below zero."""
    return normalize(x, mean, inv_std, weight, bias, True)


def batch_norm_relu_grad(gy, y, x, mean, inv_std, weight):
    """gy, the forward output y, x (N, C, H, W), the others (C,) -> gx, gweight (C,), gbias (C,); statistics of x."""
    return gradient(gy, y, x, mean, inv_std, weight, False)


def batch_norm_relu_frozen_grad(gy, y, x, mean, inv_std, weight):
    """The same with mean and inv_std as constants."""
    return gradient(gy, y, x, mean, inv_std, weight, True)
