"""The passes in CUDA C++, each .cu file beside its launcher. A pass that has none yet is the one of `array`."""

from ..array import *  # noqa: F403  every pass that is not overridden below
from ..array import __all__ as __all__
from .conv import conv2d, conv2d_grad_input, conv2d_grad_weight
from .conv_relu import conv2d_relu
from .prepare import (
    conv2d_prepared,
    conv2d_relu_prepared,
    conv_transpose2d_prepared,
    prepare_conv2d,
    prepare_conv_transpose2d,
)
from .relu import relu, relu_grad
