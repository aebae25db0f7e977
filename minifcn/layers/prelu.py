"""The parametric rectified linear unit as a layer: ENet uses one wherever others have a ReLU."""

from typing import Any

import numpy as np

from .. import ops
from ..ops.check import Array
from .base import Layer, Parameter, first_needed


class PReLU(Layer):
    """x (N, C, ...) where it is positive, weight * x elsewhere; see `minifcn.ops.prelu`.

    Args:
        num_parameters: the number of channels C, or 1 for one slope that all channels share.
        init: the slope to begin with.
        dtype: float32 or float64.

    Raises ValueError for a num_parameters below 1.
    """

    shown = ("num_parameters",)

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = np.float32) -> None:
        super().__init__()
        if num_parameters < 1:
            raise ValueError(f"PReLU: expected num_parameters of at least 1, got {num_parameters}. "
                             f"Pass 1 or the number of channels.")
        self.num_parameters = num_parameters
        self.weight = Parameter(np.full(num_parameters, init, dtype))  # (C,) or (1,)

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.prelu(x, self.weight.data)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        gx, gweight = ops.prelu_backward(gy, cache, needs=(first_needed(needs), self.weight.trains))
        self.weight.accumulate(gweight)
        return gx
