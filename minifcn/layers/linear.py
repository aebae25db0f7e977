"""A linear layer: what a classifier ends in before it is made convolutional."""

from typing import Any

import numpy as np

from .. import init, ops
from ..ops.check import Array
from .base import Layer, Parameter, weighted_backward


class Linear(Layer):
    """x (N, in_features) -> (N, out_features); see `minifcn.ops.linear`.

    Args:
        in_features, out_features: lengths of a row before and after.
        bias: whether to add one number for each output.
        weight_init, bias_init: from `minifcn.init`.
        rng: int or numpy Generator that the initialisers draw from.
        dtype: float32 or float64.

    Raises ValueError for a length below 1.
    """

    shown = ("in_features", "out_features")

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *,
        weight_init: init.Initialiser = init.he, bias_init: init.Initialiser = init.zero,
        rng: int | np.random.Generator = 0, dtype: Any = np.float32,
    ) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1:
            raise ValueError(f"Linear: expected in_features and out_features of at least 1, got {in_features} and "
                             f"{out_features}. Pass the lengths of a row before and after.")
        self.in_features, self.out_features = in_features, out_features
        rng, dtype = np.random.default_rng(rng), np.dtype(dtype)
        self.weight = Parameter(init.make(weight_init, (out_features, in_features), rng, dtype))
        self.bias = Parameter(init.make(bias_init, (out_features,), rng, dtype)) if bias else None

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.linear(x, self.weight.data, self.bias.data if self.bias else None)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return weighted_backward(self, ops.linear_backward, cache, needs, gy)
