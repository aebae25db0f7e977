"""Max-unpooling as a layer: SegNet's way up, the counterpart of one particular `MaxPool2d`."""

from typing import Any

from .. import ops
from ..ops.check import Array
from ..ops.geometry import pair
from .base import Layer, first_needed
from .max_pool import PoolRecord


class MaxUnpool2d(Layer):
    """x (N, C, OH, OW) and the record of a pooling -> (N, C, H, W), the size that was pooled.

        y, record = MaxPool2d(2, return_indices=True).forward(x)
        z = MaxUnpool2d().forward(y, record)            # as large as x

    See `minifcn.ops.max_unpool2d`: repeated indices are added. It has no coordinate map of its own: its pixels are
    those of the map that was pooled, which `minifcn.coordinates` follows the record to.

    Args:
        output_size: (H, W), only for indices that come without a record.
    """

    shown = ("output_size",)

    def __init__(self, output_size: Any = None) -> None:
        super().__init__()
        self.output_size = None if output_size is None else pair("MaxUnpool2d", "output_size", output_size, 1)

    def forward(  # type: ignore[override]
        self, x: Array, places: PoolRecord | Array, output_size: Any = None, *, record: bool | None = None,
    ) -> Array:
        """Unpool. `places` is a PoolRecord, or an array of indices together with output_size.

        Raises ValueError for indices without a size, and for a size that contradicts the record's: an index counts
        rows of one certain width, so with another width every value would land elsewhere.
        """
        return super().forward(x, places, output_size, record=record)

    __call__ = forward  # type: ignore[assignment]

    def _forward(self, x: Array, places: PoolRecord | Array, output_size: Any) -> tuple[Array, tuple]:
        size = self.output_size if output_size is None else pair("MaxUnpool2d", "output_size", output_size, 1)
        if isinstance(places, PoolRecord):
            recorded = tuple(places.size)
            if size is not None and size != recorded:
                raise ValueError(f"MaxUnpool2d: expected the size that was pooled {recorded}, got output_size {size}. "
                                 f"Leave output_size out, and crop or pad the result.")
            return ops.max_unpool2d(x, places.indices, output_size=recorded, trusted=places.trusted)
        if size is None:
            raise ValueError("MaxUnpool2d: expected a PoolRecord, or indices with output_size, got bare indices. Use "
                             "MaxPool2d(..., return_indices=True) and pass on its record, or give output_size=(H, W).")
        return ops.max_unpool2d(x, places, output_size=size)

    def _backward(self, cache: tuple, needs: tuple[bool, ...] | None, gy: Array) -> tuple[Array | None, None]:
        return ops.max_unpool2d_backward(gy, cache, needs=(first_needed(needs),)), None  # places have no gradient
