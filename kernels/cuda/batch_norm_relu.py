"""Batch normalisation and ReLU in one pass, forward and backward: neither the map between the two nor its gradient is
stored, and the sign of y says where the gradient passes."""

from . import _batch_norm
from ._program import Program

_CU = Program("batch_norm_relu")


def batch_norm_relu(x, mean, inv_std, weight, bias):
    """x (N, C, H, W), the others (C,) -> y (N, C, H, W), none below zero."""
    return _batch_norm.normalize(_CU, x, mean, inv_std, weight, bias)


def batch_norm_relu_grad(gy, y, x, mean, inv_std, weight):
    """gy, the forward output y, x (N, C, H, W), the others (C,) -> gx, gweight (C,), gbias (C,); statistics of x."""
    return _batch_norm.gradient(_CU, gy, y, x, mean, inv_std, weight)


def batch_norm_relu_frozen_grad(gy, y, x, mean, inv_std, weight):
    """The same with mean and inv_std as constants."""
    return _batch_norm.frozen_gradient(_CU, gy, y, x, mean, inv_std, weight)
