"""Flattening as a layer: what a classifier does before its first fully connected layer."""

from typing import Any

from .. import ops
from ..ops.check import Array
from .base import Affine, Layer, first_needed


class Flatten(Layer):
    """x (N, C, H, W) -> (N, C*H*W); see `minifcn.ops.flatten`."""

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.flatten(x)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.flatten_backward(gy, cache, needs=(first_needed(needs),))

    def coordinate_map(self) -> tuple[Affine, Affine]:
        """Raises ValueError: a row of numbers has no places any more."""
        raise ValueError("Flatten.coordinate_map: expected a layer behind which there are still rows and columns, got "
                         "one that makes a single row of everything. Use minifcn.convolutionalize first.")
