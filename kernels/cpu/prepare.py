"""Prepare: has no loop of its own yet, so the pass of `array` runs."""

from ..array.prepare import (
    conv2d_prepared,
    conv2d_relu_prepared,
    conv_transpose2d_prepared,
    prepare_conv2d,
    prepare_conv_transpose2d,
)

__all__ = [
    "conv2d_prepared",
    "conv2d_relu_prepared",
    "conv_transpose2d_prepared",
    "prepare_conv2d",
    "prepare_conv_transpose2d",
]
