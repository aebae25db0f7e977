"""Every pass vectorised, on NumPy or CuPy alike: whole arrays at a time instead of loops over pixels."""

from .conv import conv2d, conv2d_grad_input, conv2d_grad_weight

__all__ = ["conv2d", "conv2d_grad_input", "conv2d_grad_weight"]
