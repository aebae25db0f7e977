"""Max pool: has no loop of its own yet, so the pass of `array` runs."""

from ..array.max_pool import max_pool2d, max_pool2d_grad

__all__ = ["max_pool2d", "max_pool2d_grad"]
