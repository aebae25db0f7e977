"""Batch normalisation as a layer: the op `batch_norm`, its two parameters and its two running averages."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..ops.batch_norm import check_settings
from ..ops.check import Array
from .base import Layer, Parameter, weighted_backward


class BatchNorm2d(Layer):
    """x (N, num_features, H, W) -> y of the same shape; see `minifcn.ops.batch_norm`.

    Args:
        num_features: channels.
        eps, momentum: as in the op.
        dtype: float32 or float64.

    Attributes:
        weight, bias: Parameters (num_features,), at first 1 and 0.
        running_mean, running_var: buffers (num_features,), at first 0 and 1; every forward in training updates them.

    Raises ValueError for settings out of range.
    """

    shown = ("num_features", "eps", "momentum")
    buffer_names = ("running_mean", "running_var")

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, *, dtype: Any = np.float32) -> None:
        super().__init__()
        check_settings("BatchNorm2d", momentum, eps)
        if num_features < 1:
            raise ValueError(f"BatchNorm2d: expected num_features of at least 1, got {num_features}. "
                             f"It is the number of channels of the input.")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, dtype))
        self.bias = Parameter(np.zeros(num_features, dtype))
        self.running_mean = np.zeros(num_features, dtype)
        self.running_var = np.ones(num_features, dtype)

    def apply(self, op: Callable[..., tuple[Array, tuple]], x: Array) -> tuple[Array, tuple]:
        """`ops.batch_norm`, or an op fused with it, with what this layer owns: its output and cache."""
        return op(
            x, self.weight.data, self.bias.data, running_mean=self.running_mean, running_var=self.running_var,
            training=self.training, momentum=self.momentum, eps=self.eps,
        )

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return self.apply(ops.batch_norm, x)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return weighted_backward(self, ops.batch_norm_backward, cache, needs, gy)
