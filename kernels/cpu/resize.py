"""Resize: has no loop of its own yet, so the pass of `array` runs."""

from ..array.resize import resize_bilinear, resize_bilinear_grad

__all__ = ["resize_bilinear", "resize_bilinear_grad"]
