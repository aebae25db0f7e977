"""Local response norm: has no loop of its own yet, so the pass of `array` runs."""

from ..array.local_response_norm import local_response_norm, local_response_norm_grad

__all__ = ["local_response_norm", "local_response_norm_grad"]
