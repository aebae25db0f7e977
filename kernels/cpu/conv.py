"""Conv: has no loop of its own yet, so the pass of `array` runs."""

from ..array.conv import conv2d, conv2d_grad_input, conv2d_grad_weight

__all__ = ["conv2d", "conv2d_grad_input", "conv2d_grad_weight"]
