"""Batch normalisation and ReLU as one layer: what `minifcn.fuse` puts in the place of the two."""

from .. import ops
from ..ops.check import Array
from ._around import Around
from .base import weighted_backward
from .batch_norm import BatchNorm2d


class BatchNormReLU(Around):
    """max(norm(x), 0) without storing norm(x); see `minifcn.ops.batch_norm_relu`.

    Args:
        norm: the layer whose parameters, running statistics and mode it uses. They stay the very same: to train one is
            to train both.
    """

    shown = ("norm",)

    def __init__(self, norm: BatchNorm2d) -> None:
        super().__init__(norm)
        self.norm = norm

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return self.norm.apply(ops.batch_norm_relu, x)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return weighted_backward(self.norm, ops.batch_norm_relu_backward, cache, needs, gy)
