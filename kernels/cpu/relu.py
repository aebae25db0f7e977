"""Relu: has no loop of its own yet, so the pass of `array` runs."""

from ..array.relu import relu, relu_grad

__all__ = ["relu", "relu_grad"]
