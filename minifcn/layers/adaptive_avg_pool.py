"""Adaptive average pooling as a layer."""

from typing import Any

from .. import ops
from ..ops.check import Array
from ..ops.geometry import pair
from .base import Affine, Layer


class AdaptiveAvgPool2d(Layer):
    """x (N, C, H, W) -> (N, C, OH, OW) for any H and W; see `minifcn.ops.adaptive_avg_pool2d`.

    Args:
        output_size: OH = OW, or (OH, OW).
    """

    shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = pair("AdaptiveAvgPool2d", "output_size", output_size, 1)

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.adaptive_avg_pool2d(x, output_size=self.output_size)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.adaptive_avg_pool2d_backward(gy, cache, needs=needs)

    def coordinate_map(self) -> tuple[Affine, Affine]:
        """Raises ValueError: the windows, and so the map, depend on the size of the input."""
        raise ValueError("AdaptiveAvgPool2d.coordinate_map: expected windows that are the same for every input size, "
                         "got adaptive ones. Use AvgPool2d, or follow another path through the network.")
