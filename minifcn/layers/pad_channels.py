"""Appended channels as a layer: what lets a skip without weights be added to a wider map."""

from typing import Any

from .. import ops
from ..ops.check import Array
from ..ops.pad_channels import widened
from .base import Layer, first_needed


class PadChannels(Layer):
    """x (N, C, H, W) -> (N, out_channels, H, W), zeros behind the C that there are; see `minifcn.ops.pad_channels`.

    Args:
        out_channels: how many channels there are afterwards, at least C.

    Raises ValueError for out_channels below 1.
    """

    shown = ("out_channels",)

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = widened("PadChannels", 1, out_channels)

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.pad_channels(x, out_channels=self.out_channels)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.pad_channels_backward(gy, cache, needs=(first_needed(needs),))
