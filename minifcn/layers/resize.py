"""Bilinear resizing as a layer: upsampling that has nothing to learn."""

from typing import Any

from .. import ops
from ..ops.check import Array
from ._like import chosen_size
from .base import Affine, Layer, first_needed


class ResizeBilinear(Layer):
    """x (N, C, H, W) -> (N, C, OH, OW); see `minifcn.ops.resize_bilinear`.

    forward(x) resizes to `output_size`. Without one, forward(x, like) resizes to the height and width of a second
    input, which gets no gradient: backward then returns (gx, None).

    Args:
        output_size: (OH, OW) in pixels, an int for both, or None.
        align_corners: whether the outermost pixels' centres, and not their outer edges, are kept in place.
    """

    shown = ("output_size", "align_corners")

    def __init__(self, output_size: Any = None, align_corners: bool = False) -> None:
        super().__init__()
        self.output_size, self.align_corners = output_size, align_corners

    def _forward(self, x: Array, like: Array | None = None) -> tuple[Array, tuple]:
        size = chosen_size("ResizeBilinear", "output_size", self.output_size, like)
        y, cache = ops.resize_bilinear(x, output_size=size, align_corners=self.align_corners)
        return y, (cache, like is not None)

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, gy: Array) -> Any:
        op_cache, has_like = cache
        gx = ops.resize_bilinear_backward(gy, op_cache, needs=(first_needed(needs),))
        return (gx, None) if has_like else gx

    def coordinate_map(self) -> tuple[Affine, Affine]:
        """Raises ValueError: resizing H rows to OH sends row r to (r + 1/2)*OH/H - 1/2, or to r*(OH - 1)/(H - 1) if
        corners are aligned, and H is known only when an image comes."""
        raise ValueError("ResizeBilinear.coordinate_map: expected a layer whose map is the same for every image, got "
                         "one that needs the sizes of its input and output. Upsample by a ConvTranspose2d with "
                         "init.bilinear where coordinates have to be followed.")
