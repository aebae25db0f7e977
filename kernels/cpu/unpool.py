"""Unpool: has no loop of its own yet, so the pass of `array` runs."""

from ..array.unpool import gather, scatter

__all__ = ["gather", "scatter"]
