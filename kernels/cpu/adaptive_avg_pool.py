"""Adaptive avg pool: has no loop of its own yet, so the pass of `array` runs."""

from ..array.adaptive_avg_pool import adaptive_avg_pool2d, adaptive_avg_pool2d_grad

__all__ = ["adaptive_avg_pool2d", "adaptive_avg_pool2d_grad"]
