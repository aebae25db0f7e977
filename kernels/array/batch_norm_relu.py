"""Batch normalisation and ReLU in one pass, forward and backward.

A ReLU behind the normalisation throws away what is negative, and its gradient needs only to know what was. So the
normalised map y tells where the gradient passes, and neither the map between the two nor its gradient is stored.
"""

from .batch_norm import batch_norm_frozen_grad, batch_norm_grad, batch_norm_normalize
from .relu import relu, relu_grad


def batch_norm_relu(x, mean, inv_std, weight, bias):
    """x (N, C, H, W), the others (C,) -> y (N, C, H, W), none below zero."""
    return relu(batch_norm_normalize(x, mean, inv_std, weight, bias))


def batch_norm_relu_grad(gy, y, x, mean, inv_std, weight):
    """gy, the forward output y, x (N, C, H, W), the others (C,) -> gx, gweight (C,), gbias (C,); statistics of x."""
    return batch_norm_grad(relu_grad(gy, y), x, mean, inv_std, weight)


def batch_norm_relu_frozen_grad(gy, y, x, mean, inv_std, weight):
    """The same with mean and inv_std as constants."""
    return batch_norm_frozen_grad(relu_grad(gy, y), x, mean, inv_std, weight)
