"""Images of a size that a network does not take, made larger for it: `--pad`.

Rows are added at the bottom and columns at the right, up to the next size that it takes. Their pixels are 0, the mean
colour where pixels are standardised; their labels are void, so nobody learns from them, and scores there are cut off.
"""

import numpy as np

from .arrays import array_module
from .graph import Graph
from .ops.check import Array
from .shapes import complaint

SEARCHED = 64  # rows, and columns, that are added at most: twice the coarsest stride of the published networks

Size = tuple[int, int]


def size_taken(graph: Graph, size: Size) -> Size:
    """The least (H, W) that the network takes and that holds an image of `size`.

    Raises ValueError, with the reason for the last one, if none within SEARCHED pixels is.
    """
    reason = None
    for rows in range(size[0], size[0] + SEARCHED):
        for columns in range(size[1], size[1] + SEARCHED):
            reason = complaint(graph, (rows, columns))
            if reason is None:
                return rows, columns
    raise ValueError(f"pad: expected a network that takes some image up to {SEARCHED - 1} pixels larger than "
                     f"{size[0]}x{size[1]}, got none. The last one: {reason}")


def enlarged(x: Array, size: Size, value: int = 0) -> Array:
    """x (..., H, W) with rows and columns of `value` behind it -> (..., *size); x itself if it has that size."""
    h, w = x.shape[-2:]
    if (h, w) == tuple(size):
        return x
    sides = [(0, 0)] * (x.ndim - 2) + [(0, size[0] - h), (0, size[1] - w)]
    return array_module(x).pad(x, sides, constant_values=np.asarray(value, x.dtype))
