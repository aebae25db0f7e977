"""Batch norm relu: has no loop of its own yet, so the pass of `array` runs."""

from ..array.batch_norm_relu import batch_norm_relu, batch_norm_relu_frozen_grad, batch_norm_relu_grad

__all__ = ["batch_norm_relu", "batch_norm_relu_frozen_grad", "batch_norm_relu_grad"]
