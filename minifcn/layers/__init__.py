"""Layers: thin classes around one op each, with the parameters and the memory that the op has not."""

from .adaptive_avg_pool import AdaptiveAvgPool2d
from .add import Add
from .avg_pool import AvgPool2d
from .base import Layer, Parameter
from .batch_norm import BatchNorm2d
from .batch_norm_relu import BatchNormReLU
from .concat import Concat
from .conv import Conv2d
from .conv_relu import ConvReLU
from .conv_transpose import ConvTranspose2d
from .crop import Crop
from .dropout import Dropout, SpatialDropout
from .flatten import Flatten
from .leaky_relu import LeakyReLU
from .linear import Linear
from .local_response_norm import LocalResponseNorm
from .max_pool import MaxPool2d, PoolRecord
from .max_unpool import MaxUnpool2d
from .pad import Pad
from .pad_channels import PadChannels
from .prelu import PReLU
from .relu import ReLU
from .resize import ResizeBilinear
from .scale import Scale
from .sigmoid import Sigmoid
from .softmax import Softmax
from .softmax_cross_entropy import SoftmaxCrossEntropy

__all__ = [
    "AdaptiveAvgPool2d",
    "Add",
    "AvgPool2d",
    "BatchNorm2d",
    "BatchNormReLU",
    "Concat",
    "Conv2d",
    "ConvReLU",
    "ConvTranspose2d",
    "Crop",
    "Dropout",
    "Flatten",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "MaxUnpool2d",
    "PReLU",
    "Pad",
    "PadChannels",
    "Parameter",
    "PoolRecord",
    "ReLU",
    "ResizeBilinear",
    "Scale",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "SpatialDropout",
]
