"""The loss as a layer: the op `softmax_cross_entropy` and its settings. It stands outside the Graph.

    loss = criterion.forward(scores, labels)
    gscores, _ = criterion.backward()
    net.backward(gscores)
"""

from typing import Any

import numpy as np

from .. import ops
from ..kernels import array_module
from ..ops.check import Array
from ..ops.softmax_cross_entropy import check_settings
from .base import Layer, first_needed


class SoftmaxCrossEntropy(Layer):
    """Scores (N, C, H, W), labels (N, H, W) and perhaps pixel weights (N, H, W) -> a 0-d array.

    See `minifcn.ops.softmax_cross_entropy`.

    Args:
        weight: one number for each class, any sequence of them, or None. It takes on the dtype and device of the
            scores.
        ignore_index, reduction: as in the op.

    Raises TypeError or ValueError for settings that do not exist.
    """

    shown = ("ignore_index", "reduction")

    def __init__(self, weight: Any = None, ignore_index: int = 255, reduction: str = "mean") -> None:
        super().__init__()
        check_settings("SoftmaxCrossEntropy", ignore_index, reduction)
        self.weight = None if weight is None else np.array(weight, np.float64)
        self.ignore_index, self.reduction = ignore_index, reduction
        self._kept: Any = None  # the weights that were copied to a GPU, to which and in which dtype, and the copy

    def _forward(self, x: Array, target: Array, pixel_weight: Array | None = None) -> tuple[Array, tuple]:
        weight = None if self.weight is None else self._weight_beside(x)
        y, cache = ops.softmax_cross_entropy(
            x, target, weight=weight, pixel_weight=pixel_weight, ignore_index=self.ignore_index,
            reduction=self.reduction,
        )
        return y, (cache, pixel_weight is not None)

    def _weight_beside(self, x: Any) -> Array:
        """The weights as an array beside x. On a GPU they are kept there: they would be copied at every step."""
        xp = array_module(x)
        if xp is np:
            return np.asarray(self.weight, dtype=x.dtype)
        given, key = self.weight, (x.device.id, x.dtype)
        if self._kept is None or self._kept[0] is not given or self._kept[1] != key:
            self._kept = given, key, xp.asarray(given, dtype=x.dtype)
        return self._kept[2]

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Any = 1.0) -> tuple[Array | None, ...]:
        """(gx, None), or (gx, None, None): labels and pixel weights are not differentiable.

        gy is 1 if left out, the gradient of the loss by itself.
        """
        cache_of_op, by_pixel = cache
        gx = ops.softmax_cross_entropy_backward(gy, cache_of_op, needs=(first_needed(needs),))
        return (gx, None, None) if by_pixel else (gx, None)
