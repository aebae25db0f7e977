"""A layer that stands in for another one: its own way to compute, the other's parameters, buffers and mode."""

from typing import Any

from ..ops.check import Array
from .base import Affine, Layer, Parameter


class Around(Layer):
    """What fused layers share. The layer inside stays the owner of everything, so training one trains the other."""

    def __init__(self, inside: Any) -> None:
        self._inside, training = inside, inside.training
        super().__init__()
        self.training = training  # as it was found

    @property
    def training(self) -> bool:
        return self._inside.training

    @training.setter
    def training(self, mode: bool) -> None:
        self._inside.training = mode

    def parameters(self) -> dict[str, Parameter]:
        return self._inside.parameters()

    def buffers(self) -> dict[str, Array]:
        return self._inside.buffers()

    def set_buffer(self, name: str, array: Array) -> None:
        self._inside.set_buffer(name, array)

    def coordinate_map(self) -> tuple[Affine, Affine]:
        return self._inside.coordinate_map()
