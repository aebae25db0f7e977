"""Where the scores of a network lie on its image: labels for the scores, and scores for the pixels.

Most networks end in one score for each pixel, and then there is nothing to do. One that pads nothing scores the centre
of its image alone, and one that does not upsample every eighth pixel, say. Its coordinate map, scale*r + shift for row
r of the image, says which: score p lies at row (p - shift)/scale. Training takes the nearest label, which is a crop
where the scale is 1; prediction interpolates between the scores.
"""

from fractions import Fraction

import numpy as np

from .arrays import array_module
from .coordinates import Maps, coordinate_map
from .graph import Graph
from .layers.base import Affine
from .ops.check import Array

Size = tuple[int, int]
HALF = Fraction(1, 2)


def labels_for(graph: Graph, output: str, labels: Array, size: Size) -> Array:
    """labels (N, H, W) of the images -> (N, *size), those at the places of an output's scores, rows and columns `size`.

    `labels` itself, not a copy, where there is a score for each pixel.
    """
    image = labels.shape[1:]
    if image == tuple(size):
        return labels
    xp, maps = array_module(labels), output_map(graph, output, image, size)
    rows, columns = (xp.asarray(_nearest(maps[axis], image[axis], size[axis])) for axis in (0, 1))
    return labels[:, rows[:, None], columns]


def scores_for(graph: Graph, output: str, scores: Array, image: Size, size: Size) -> Array:
    """scores (N, K, h, w) of an output, for images of `image` -> (N, K, *size), on that picture's pixels in `size`.

    Linear between the scores along each axis; beyond the outermost ones their value goes on.
    """
    xp, maps = array_module(scores), output_map(graph, output, image, scores.shape[2:])
    rows, columns = (
        xp.asarray(_weights(maps[axis], scores.shape[2 + axis], image[axis], size[axis]).astype(scores.dtype))
        for axis in (0, 1)
    )
    return rows @ scores @ columns.T  # (OH, h) @ (N, K, h, w) @ (w, OW)


def output_map(graph: Graph, output: str, image: Size, size: Size) -> Maps:
    """(scale, shift) for rows and for columns, from the pixels of an image to an output's scores of `size`.

    The network's coordinate map, if its layers have one that fits these sizes. Else, behind a ResizeBilinear or a
    MaxUnpool2d, the scores are taken to be spread evenly over the whole image.
    """
    try:
        known = coordinate_map(graph, output, graph.inputs[0])
    except ValueError:
        known = None
    rows, columns = (
        known[axis] if known and _fits(known[axis], image[axis], size[axis]) else _spread(image[axis], size[axis])
        for axis in (0, 1)
    )
    return rows, columns


def _fits(affine: Affine, length: int, count: int) -> bool:
    """Whether all `count` scores lie on the image's `length` rows, or less than one step beside them."""
    first, last = _place(affine, 0), _place(affine, count - 1)
    step = 1 / affine[0]
    return -step < first and last < length - 1 + step


def _spread(length: int, count: int) -> Affine:
    """As in bilinear resizing: pixels are squares, and the outer edges of image and scores match."""
    scale = Fraction(count, length)
    return scale, (scale - 1) / 2


def _place(affine: Affine, score: int) -> Fraction:
    scale, shift = affine
    return (score - shift) / scale


def _nearest(affine: Affine, length: int, count: int) -> np.ndarray:
    """(count,) rows of the image, each nearest to a score; the later one of two, as where labels are resized."""
    step, start = 1 / affine[0], _place(affine, 0) + HALF
    whole = step.denominator * start.denominator  # in whole numbers, so that no rounding moves a boundary
    rows = (np.arange(count) * int(step * whole) + int(start * whole)) // whole
    return rows.clip(0, length - 1)


def _weights(affine: Affine, count: int, length: int, wanted: int) -> np.ndarray:
    """(wanted, count): how much of each score each of `wanted` pixels takes, which divide `length` rows evenly."""
    rows = (np.arange(wanted) + 0.5) * length / wanted - 0.5  # of the image
    places = (float(affine[0]) * rows + float(affine[1])).clip(0, count - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(count)))
