"""Local response normalisation as a layer: the op `local_response_norm` and its settings."""

from .. import ops
from ..ops.check import Array
from ..ops.local_response_norm import check_settings
from .base import Layer


class LocalResponseNorm(Layer):
    """x (N, C, H, W) -> y of the same shape; see `minifcn.ops.local_response_norm`.

    Args:
        size, alpha, beta, k: as in the op.

    Raises ValueError for settings out of range.
    """

    shown = ("size", "alpha", "beta", "k")

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        check_settings("LocalResponseNorm", size, alpha, k)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def _forward(self, x: Array) -> tuple[Array, tuple]:
        return ops.local_response_norm(x, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return ops.local_response_norm_backward(gy, cache, needs=needs)
