"""Conv relu: has no loop of its own yet, so the pass of `array` runs."""

from ..array.conv_relu import conv2d_relu

__all__ = ["conv2d_relu"]
