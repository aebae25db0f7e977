"""Batch norm: has no loop of its own yet, so the pass of `array` runs."""

from ..array.batch_norm import batch_norm_frozen_grad, batch_norm_grad, batch_norm_normalize, batch_norm_statistics

__all__ = ["batch_norm_frozen_grad", "batch_norm_grad", "batch_norm_normalize", "batch_norm_statistics"]
