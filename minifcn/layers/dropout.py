"""Dropout as layers: the ops `dropout` and `spatial_dropout`, and the random numbers that they draw from."""

import numpy as np

from .. import ops
from ..ops.check import Array
from ..ops.dropout import check_probability
from .base import Layer


class Dropout(Layer):
    """Sets single numbers to zero in training; passes everything in evaluation; see `minifcn.ops.dropout`.

    Args:
        p: probability of being dropped.
        rng: int or numpy Generator that the masks are drawn from; `reseed` starts it anew. Layers that are given the
            same int draw the same masks: give each its own, or all of them one Generator.

    Raises ValueError for p out of range.
    """

    shown = ("p",)

    def __init__(self, p: float = 0.5, *, rng: int | np.random.Generator = 0) -> None:
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p, self.rng = p, np.random.default_rng(rng)

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.dropout(x, p=self.p, rng=self.rng, training=self.training)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.dropout_backward(gy, cache, needs=needs)


class SpatialDropout(Dropout):
    """Sets whole channels of x (N, C, H, W) to zero in training; otherwise as `Dropout`."""

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.spatial_dropout(x, p=self.p, rng=self.rng, training=self.training)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.spatial_dropout_backward(gy, cache, needs=needs)
