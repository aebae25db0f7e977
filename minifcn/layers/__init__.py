"""Layers: thin classes around one op each, with the parameters and the memory that the op has not."""

from .base import Layer, Parameter
from .conv import Conv2d
from .conv_transpose import ConvTranspose2d

__all__ = ["Conv2d", "ConvTranspose2d", "Layer", "Parameter"]
