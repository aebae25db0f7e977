"""Scores for images of any size from a network that scores only the centre of what it sees, tile by tile.

A network without padding loses a margin on each side, 92 pixels in U-Net: what it would have to see for the scores
there lies outside the image. So the image is extended by its mirror image, tiles of a size that the network takes are
laid so that the centres which it scores cover the image, and the scores are put together. No tile knows of another:
they only share what they see.

The result is that of one forward pass over all of the extended image, if every tile begins at a multiple of the
network's coarsest stride, 16 in U-Net: only then do its poolings fall on the same pixels. So a tile of 572x572, of
which 388x388 are scored, is followed by the next after 384 rows, not 388 as one would think, and there is no seam.

Source: Ronneberger, Fischer, Brox 2015 (arXiv 1505.04597), sections 1 and 2, figure 2.
"""

from collections.abc import Callable
from math import lcm
from typing import NamedTuple

import numpy as np

from .arrays import array_module
from .coordinates import Maps, alignment, compose, placed_on, producers
from .graph import Graph
from .layers.base import IDENTITY
from .ops.check import Array
from .shapes import shapes_of

MOST = 700  # rows and columns of a tile, unless told or unless the margin leaves too little of it
SEARCHED = 256  # sizes that are tried, from the wanted one up, for one that the network takes

Size = tuple[int, int]


class Margin(NamedTuple):
    """Rows and columns that the scores lack at the top and left; and what tiles must begin at multiples of."""

    before: Size
    period: Size


class Tiling(NamedTuple):
    """How an image is cut: the size of a tile, from one to the next, and what is not scored at the top and left."""

    tile: Size
    step: Size
    before: Size


def margin_of(graph: Graph) -> Margin | None:
    """What the first output lacks, ((92, 92), (16, 16)) for U-Net; None for other networks.

    Which are those that score every pixel, or have scores that do not lie on pixels.
    """
    if not graph.outputs:
        return None
    try:
        beyond = alignment(graph, graph.outputs[0], graph.inputs[0])
    except ValueError:  # another resolution, or one that depends on the image
        return None
    if max(beyond) > 0 or beyond == (0, 0):
        return None
    return Margin((-beyond[0], -beyond[1]), _period(graph))


def tiling_for(graph: Graph, margin: Margin, image: Size, tile: Size | None = None) -> Tiling:
    """How to cut images of (H, W) for a network with this margin.

    Args:
        tile: the size to use. Unless given, the image is cut into as few tiles of up to about MOST rows and columns as
            cover it, and these are no larger than needed: what two tiles both see is computed twice.

    Raises ValueError for a tile that the network does not take or scores too little of, or if none is found.
    """
    if tile is None:
        rows, columns = (_fitting(graph, margin.before[a], margin.period[a], image[a]) for a in (0, 1))
        tile = rows, columns
    scored, period = scored_of(graph, tile), margin.period
    rows, columns = (scored[a] if scored[a] >= image[a] else scored[a] // period[a] * period[a] for a in (0, 1))
    if min(rows, columns) == 0:
        raise ValueError(f"overlap_tile: expected a tile of which at least {period[0]}x{period[1]} pixels are scored, "
                         f"the network's coarsest stride, got {tile[0]}x{tile[1]} with {scored[0]}x{scored[1]}. "
                         f"Use a larger tile.")
    return Tiling(tile, (rows, columns), margin.before)


def scored_of(graph: Graph, tile: Size) -> Size:
    """Rows and columns of the scores of a tile. Raises ValueError for a tile that the network does not take."""
    try:
        return shapes_of(graph, tile)[graph.outputs[0]][2:]  # type: ignore[return-value]
    except ValueError as error:
        raise ValueError(f"overlap_tile: expected a tile that this network takes, got {tile[0]}x{tile[1]}: "
                         f"{error}") from error


def scores_by_tiles(run: Callable[..., Array], xs: tuple[Array, ...], tiling: Tiling) -> Array:
    """The scores (N, K, H, W) of images.

    Args:
        run: from tiles (N, C, *tiling.tile), one for each of the network's inputs, to their scores (N, K, h, w), at
            least tiling.step.
        xs: the images, (N, C, H, W) for each input.
    """
    (h, w), (th, tw), (sh, sw) = xs[0].shape[2:], tiling.tile, tiling.step
    rows, columns = (_mirrored((h, w)[a], tiling.before[a], tiling.tile[a], tiling.step[a]) for a in (0, 1))
    whole = None
    for top in range(0, h, sh):
        for left in range(0, w, sw):
            part = run(*(_seen(x, rows[top : top + th], columns[left : left + tw]) for x in xs))
            if whole is None:
                whole = array_module(part).empty((*part.shape[:2], h, w), part.dtype)
            whole[:, :, top : top + sh, left : left + sw] = part[:, :, : min(sh, h - top), : min(sw, w - left)]
    assert whole is not None  # an image has pixels
    return whole


def _period(graph: Graph) -> Size:
    """An image moved by so many rows and columns meets every stride of the network where it met it before."""
    maps: dict[str, Maps] = dict.fromkeys(graph.inputs, (IDENTITY, IDENTITY))
    nodes = producers(graph)
    for node in graph.needed_nodes():
        value, own = placed_on(node, nodes)
        below = maps[value]
        maps |= dict.fromkeys(node.values, (compose(own[0], below[0]), compose(own[1], below[1])))
    rows, columns = (lcm(*(both[axis][0].denominator for both in maps.values())) for axis in (0, 1))
    return rows, columns


def _fitting(graph: Graph, margin: int, period: int, length: int) -> int:
    """Rows, or columns, of a tile: the least legal one that covers `length`, or an equal share of it."""
    wanted = _share(length, period, max(MOST - 2 * margin, MOST // 2)) + 2 * margin
    for side in range(wanted, wanted + SEARCHED):
        try:
            scored_of(graph, (side, side))
        except ValueError as error:
            reason = error
        else:
            return side
    raise ValueError(f"overlap_tile: expected a network that takes some square of {wanted} to {side} pixels, got none. "
                     f"The last one: {reason}")


def _share(length: int, period: int, most: int) -> int:
    """All of `length` if `most` allows it, else as little as so few tiles need, a multiple of `period`."""
    if length <= most:
        return length
    count = -(-length // max(period, most // period * period))
    return -(-length // (count * period)) * period


def _mirrored(length: int, before: int, tile: int, step: int) -> np.ndarray:
    """Which row of the image each row of the extended one shows: before, ..., 1, 0, 1, ..., up to the last tile's end.

    It runs to and fro as often as it must, about the outermost rows and without repeating them.
    """
    last = (length - 1) // step * step  # where the last tile begins
    period = max(1, 2 * (length - 1))
    place = np.arange(-before, last + tile - before) % period
    return np.minimum(place, period - place)


def _seen(x: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    """A tile of x (N, C, H, W)."""
    xp = array_module(x)
    return xp.ascontiguousarray(x[:, :, xp.asarray(rows)[:, None], xp.asarray(columns)])
