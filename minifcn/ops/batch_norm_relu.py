"""Batch normalisation and ReLU in one: the map between the two is never stored, nor is its gradient.

    y = max(batch_norm(x, weight, bias), 0)

A normalisation does so little work on each number that reading and writing the map is all its cost, so to clip in the
same pass is free. Backward needs x, as batch norm does, and y, whose sign says where the gradient passes. A Graph gets
this op by `minifcn.fuse`.
"""

from ..kernels import kernels_for
from .batch_norm import checked_statistics
from .check import Array, check_gradient, wanted


def batch_norm_relu(
    x: Array, weight: Array, bias: Array, *,
    running_mean: Array, running_var: Array, training: bool, momentum: float = 0.1, eps: float = 1e-5,
) -> tuple[Array, tuple]:
    """Normalise every channel and set what is negative to 0. Arguments and errors are those of `batch_norm`.

    In training the running statistics are changed in place, as there. Returns y (N, C, H, W) and the cache.
    """
    mean, inv_std = checked_statistics(
        "batch_norm_relu", x, weight, bias, running_mean, running_var, training, momentum, eps)
    y = kernels_for(x).batch_norm_relu(x, mean, inv_std, weight, bias)
    return y, (x, y, mean, inv_std, weight, training)


def batch_norm_relu_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple:
    """Gradients of `batch_norm_relu`: (gx, gweight, gbias), None where not needed."""
    op = "batch_norm_relu_backward"
    x, y, mean, inv_std, weight, training = cache
    check_gradient(op, gy, x.shape, x.dtype)
    needs = wanted(op, needs, 3)
    if not any(needs):
        return None, None, None
    kernels = kernels_for(gy)
    grad = kernels.batch_norm_relu_grad if training else kernels.batch_norm_relu_frozen_grad
    gradients = grad(gy, y, x, mean, inv_std, weight)
    return tuple(gradient if need else None for gradient, need in zip(gradients, needs, strict=True))
