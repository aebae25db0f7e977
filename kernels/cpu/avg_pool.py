"""Avg pool: has no loop of its own yet, so the pass of `array` runs."""

from ..array.avg_pool import avg_pool2d, avg_pool2d_grad

__all__ = ["avg_pool2d", "avg_pool2d_grad"]
