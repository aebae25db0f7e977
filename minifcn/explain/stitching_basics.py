"""The smallest case of shift-and-stitch, number by number, and two ways that look the same and are not."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import ops
from ..graph import Graph
from ..layers import Conv2d, MaxPool2d
from ..ops.check import Array
from ..prediction import evaluation_mode
from ..rarefaction import WINDOWS, rarefy, with_settings
from .stitching import prepared, relative_difference, shift_and_stitch

SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1))
IMAGE = ((3, 1, 4, 1, 5), (9, 2, 6, 5, 3), (5, 8, 9, 7, 9), (3, 2, 3, 8, 4), (6, 2, 6, 4, 3))
FILTER = ((1, 2), (0, -1))


class SmallestCase(NamedTuple):
    """A 5x5 image, a 2x2 max-pooling of stride 2 and a 2x2 filter; every field is a matrix.

    Attributes:
        image: (5, 5).
        coarse: the pooled maps (2, 2) at SHIFTS.
        stitched, pooled: the four interlaced, and the pooling at stride 1: both (4, 4), equal.
        filtered: the filter on each coarse map, interlaced: (2, 2).
        spaced: the filter with its taps 2 apart on `pooled`: (2, 2), equal to `filtered`.
        kept: the filter as it was on `pooled`: (3, 3), another result.
    """

    image: Array
    coarse: tuple[Array, ...]
    stitched: Array
    pooled: Array
    filtered: Array
    spaced: Array
    kept: Array


def smallest_case() -> SmallestCase:
    """Computed by the library's own layers, as any network is."""
    image = np.array(IMAGE, np.float64)[None, None]
    pool = Graph()
    pool.add("pool", MaxPool2d(2), "data")
    net = Graph()
    conv = Conv2d(1, 1, 2, bias=False, dtype=np.float64)
    conv.weight.data[0, 0] = FILTER
    net.add("conv", conv, net.add("pool", MaxPool2d(2), "data"))
    coarse = tuple(pool.forward(image[:, :, y:, x:].copy(), record=False)[0, 0] for y, x in SHIFTS)
    pooled = rarefy(pool).forward(image, record=False)
    return SmallestCase(
        image[0, 0], coarse, shift_and_stitch(pool, image)[0, 0], pooled[0, 0], shift_and_stitch(net, image)[0, 0],
        rarefy(net).forward(image, record=False)[0, 0], conv.forward(pooled, record=False)[0, 0],
    )


def tell(case: SmallestCase) -> str:
    """The smallest case as text."""
    beside = [("image", case.image), *((f"shift {s}", m) for s, m in zip(SHIFTS, case.coarse, strict=True)),
              ("interlaced", case.stitched)]
    after = [("each filtered, interlaced", case.filtered), ("taps 2 apart", case.spaced), ("filter kept", case.kept)]
    same = "the same" if np.array_equal(case.stitched, case.pooled) else "NOT the same"
    return "\n".join([
        "The smallest case: a 5x5 image, max-pooling 2x2 of stride 2. Shifts (0,0), (0,1), (1,0), (1,1) give",
        "four coarse maps; interlaced they are the pooling at every pixel, which stride 1 gives at once "
        f"({same}):", "", _side_by_side(beside), "",
        f"Then a filter {FILTER[0]} {FILTER[1]}. On the map of every pixel its taps must stand 2 apart;",
        "kept as it is, it sees other pixels, and the result is another one:", "", _side_by_side(after),
    ])


def _side_by_side(named: Sequence[tuple[str, Array]]) -> str:
    """Matrices of whole numbers in columns, each below its name."""
    columns = []
    for name, matrix in named:
        lines = [name, *("".join(f"{round(number):3d}" for number in row) for row in matrix)]
        width = max(map(len, lines))
        columns.append([line.ljust(width) for line in lines])
    height = max(map(len, columns))
    rows = ((column[i] if i < len(column) else " " * len(column[0]) for column in columns) for i in range(height))
    return "\n".join("  " + "    ".join(row).rstrip() for row in rows)


def what_is_not_the_same(net: Graph, image: Array) -> dict[str, float]:
    """How far, relative to the largest score, two shorter ways come from the stitched scores of a network.

    "strides removed, filters kept": every layer at stride 1, its taps where they were. Source: Long et al. 2015,
    section 3.2: the original filter "only sees a reduced portion of its (now upsampled) input".
    "coarse scores upsampled": one run, its scores enlarged bilinearly.
    Arguments as `shift_and_stitch` takes them.
    """
    body, canvas, (stride, size) = prepared(net, image)
    stitched = shift_and_stitch(net, image)
    with evaluation_mode(body):
        kept = _without_strides(body).forward(canvas, record=False)[:, :, : size[0], : size[1]]
        coarse = body.forward(canvas, record=False)  # (N, K, h, w)
    # Coarse pixel p is pixel f*p of the dense map: with corners aligned, on a grid of f*(h - 1) + 1 rows.
    grid = tuple(stride[axis] * (coarse.shape[axis + 2] - 1) + 1 for axis in (0, 1))
    upsampled, _ = ops.resize_bilinear(coarse, output_size=grid, align_corners=True)
    found = {"strides removed, filters kept": kept, "coarse scores upsampled": upsampled}
    return {name: relative_difference(y, stitched[:, :, : y.shape[2], : y.shape[3]]) for name, y in found.items()}


def _without_strides(graph: Graph) -> Graph:
    """The wrong way: strides removed, and nothing else."""
    wrong = Graph(graph.inputs)
    for node in graph.needed_nodes():
        layer = node.layer
        if isinstance(layer, Graph):
            layer = _without_strides(layer)
        elif type(layer) in WINDOWS:
            layer = with_settings(layer, stride=(1, 1))
        wrong.add(node.name, layer, *node.inputs)
    wrong.outputs = graph.outputs
    return wrong
