"""Channel sums: has no loop of its own yet, so the pass of `array` runs."""

from ..array.channel_sums import channel_sums

__all__ = ["channel_sums"]
