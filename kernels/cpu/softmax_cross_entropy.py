"""Softmax cross entropy: has no loop of its own yet, so the pass of `array` runs."""

from ..array.softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_grad

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_grad"]
