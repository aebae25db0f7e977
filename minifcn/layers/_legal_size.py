"""A gate at the entrance of a network that takes certain sizes only: it says so before anything is computed.

A network without padding may run on other sizes too, but then a pooling drops a row or invents one, and the crops of
the skips are no longer centred. Not a layer for users: `minifcn.models` puts it where a paper asks for such sizes.
"""

from ..ops.check import Array, check_array
from .base import Layer, first_needed


class LegalSize(Layer):
    """Passes x (N, C, H, W) on as it is; H and W must be `least`, `least` + `step`, `least` + 2*`step`, and so on.

    Raises ValueError for another size, naming the nearest.
    """

    shown = ("least", "step")

    def __init__(self, least: int, step: int) -> None:
        super().__init__()
        self.least, self.step = least, step

    def _forward(self, x: Array) -> tuple[Array, None]:
        check_array("LegalSize", "x", x, "N C H W")
        self.check(x.shape[2:])
        return x, None

    def _backward(self, cache: None, needs: tuple[bool, ...] | None, gy: Array) -> Array | None:
        return gy if first_needed(needs) else None

    def check(self, size: tuple[int, int]) -> None:
        """Raises ValueError unless an image may have this (H, W)."""
        h, w = (self.nearest(side) for side in size)
        if (h, w) != tuple(size):
            first, second, third = (self.least + k * self.step for k in range(3))
            raise ValueError(f"LegalSize: expected an image with rows and columns among {first}, {second}, {third} and "
                             f"so on, got {size[0]}x{size[1]}. Resize or crop it to {h}x{w}, the nearest, or have "
                             f"pixels added (--pad).")

    def nearest(self, side: int) -> int:
        """The legal number of rows, or columns, nearest to `side`; the larger of two that are equally near."""
        return self.least + max(0, (side - self.least + self.step // 2) // self.step) * self.step
