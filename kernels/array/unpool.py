"""Unpooling with the planes laid end to end, so that one flat index names a pixel of the whole batch."""

import numpy as np

from .. import array_module
from ._planes import end_to_end


def scatter(gy, indices, h, w):
    """gy and indices (N, C, OH, OW) -> gx (N, C, h, w); values with the same index are added.

    A histogram does this: each value is a weight that falls into the bin of its pixel. On the CPU the additions happen
    in the order of the outputs; on a GPU in any order, but in float64 too, even for float32 input. There it is not the
    histogram, which first asks the GPU for the largest bin and waits for the answer.
    """
    xp = array_module(gy)
    images, channels, oh, ow = gy.shape
    bins = end_to_end(xp, indices.reshape(images * channels, oh, ow), h * w)
    count = images * channels * h * w
    if xp is np:
        sums = np.bincount(bins, weights=gy.reshape(-1), minlength=count)
    else:
        sums = xp.zeros(count, np.float64)
        xp.add.at(sums, bins, gy.reshape(-1).astype(np.float64))
    return sums.astype(gy.dtype, copy=False).reshape(images, channels, h, w)


def gather(x, indices):
    """x (N, C, H, W) and indices (N, C, OH, OW) -> y (N, C, OH, OW)."""
    xp = array_module(x)
    images, channels, h, w = x.shape
    places = end_to_end(xp, indices.reshape(images * channels, *indices.shape[2:]), h * w)
    return xp.take(x.reshape(-1), places).reshape(indices.shape)
