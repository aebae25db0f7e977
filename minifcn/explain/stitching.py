"""Shift-and-stitch: dense scores from a network of stride f, by running it on f*f shifted images; and the margin.

    stitched = shift_and_stitch(net, x)        # f*f coarse runs, interlaced
    dense = rarefied_scores(net, x)            # one run of the network without strides: the same numbers
    rows, columns = margin(net)                # but for so many rows at the top and columns at the left

The image is padded once, as the network's first layer would pad it, to a *canvas*; then the network runs without that
padding on `canvas[y:, x:]` for 0 <= y, x < f. Pixel [p, q] of that run is pixel [f*p + y, f*q + x] of the result.

Is it the same as the rarefied network? A network that pads nothing inside: yes, everywhere, borders included. One that
pads inside, as all published ones do: except in a margin at the top and left, because each shifted run begins later and
puts its zeros where the rarefied network still has pixels. At the bottom and right both end at the same pixel.

Source: Long, Shelhamer, Darrell 2015, arXiv 1411.4038, section 3.2. The margin is not in the paper.
"""

from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..fusion import unfused
from ..graph import Graph
from ..kernels import array_module
from ..layers import Conv2d, Pad
from ..ops.check import Array, check_array
from ..ops.geometry import Padding
from ..prediction import evaluation_mode
from ..progress import Progress
from ..rarefaction import rarefy, spread, steps_of, with_settings
from .bands import forward_in_bands

NO_PADDING = Padding(0, 0, 0, 0)


def shift_and_stitch(net: Graph, image: Array, progress: Progress | None = None) -> Array:
    """Scores at every pixel from f*f runs on shifted images, interlaced. The network is as it is, strides and all.

    Args:
        net: a Graph of one input and one output that can be rarefied: a network up to its coarse scores, see
            `minifcn.cutting.scores_of`. It is run in evaluation mode, and left in the mode it was in.
        image: (N, C, H, W), dtype of the weights.
        progress: told of each run.

    Returns (N, K, H', W'), H' = H + the rows that all paddings add - (receptive field - 1), the same for W'.
    Raises ValueError for an image that is too small, with the least size, and as `rarefy` does.
    """
    body, canvas, ((fy, fx), size) = prepared(net, image)
    stitched = None
    shifts = [(y, x) for y in range(min(fy, size[0])) for x in range(min(fx, size[1]))]  # a later one has no pixel
    if progress is not None:
        progress.start(f"{fy}x{fx} shifts", len(shifts))
    with evaluation_mode(body):
        for number, (y, x) in enumerate(shifts):
            coarse = body.forward(canvas[:, :, y:, x:].copy(), record=False)  # (N, K, h, w)
            if stitched is None:
                stitched = array_module(coarse).empty((*coarse.shape[:2], *size), coarse.dtype)
            place = stitched[:, :, y::fy, x::fx]
            if place.shape != coarse.shape:  # NumPy would repeat a single row
                raise ValueError(f"shift_and_stitch: expected scores {place.shape} at shift {(y, x)}, got "
                                 f"{coarse.shape}. A layer has another size than its settings say.")
            place[...] = coarse
            if progress is not None:
                progress.update(number + 1)
    assert stitched is not None
    return stitched


def rarefied_scores(
    net: Graph, image: Array, rows: int | None = None, progress: Progress | None = None
) -> Array:
    """The same scores from one run of the rarefied network on the canvas.

    `rows`: compute the end of the network in bands of so many rows, to save memory; see `minifcn.explain.bands`.
    Arguments, result and errors otherwise as `shift_and_stitch`.
    """
    body, canvas, _ = prepared(net, image)
    dense = rarefy(body)
    with evaluation_mode(dense):
        if rows is None:
            return dense.forward(canvas, record=False)
        return forward_in_bands(dense, canvas, rows, progress)


def margin(net: Graph) -> tuple[int, int]:
    """In how many (rows, columns) at the top and left the stitched scores differ from the rarefied ones.

    Count the coarse pixels of a shifted run from 0, and let the first m rows of a map be those that differ from the
    rarefied map. Row r of shift y is row d*r + y of the rarefied map, d being the product of the strides so far. What
    has no padding in it is the same in both, so all differences begin where a layer reads a row r < 0: there the
    shifted run has padding, while the rarefied map has real rows if d*r + y >= 0. It can be, since y goes up to f - 1;
    only when all strides are behind, so that d = f, it cannot.

        a layer of stride s that begins p rows before the map:  row r reads from row r*s - p on. All it reads is the
        same if r*s - p >= m, so                                m becomes ceil((m + p) / s)
        m = 0 and all strides behind (d = f)                    m stays 0: both have padding there
        a crop at row o                                         p = -o:  m becomes max(m - o, 0)
        several inputs                                          the largest m

    At the end m coarse rows are f*m rows of the result: 3*32 = 96 for VGG-16's trunk, 0 where nothing pads inside. The
    first padding of the network does not count: the canvas has it. Raises as `rarefy` does.
    """
    body, _, _ = pad_once(net)
    stride = spread(body).spacing
    unmoved = ((1, 1), (0, 0))
    _, coarse = _margins(body, [unmoved] * len(body.inputs), stride)[0]
    return coarse[0] * stride[0], coarse[1] * stride[1]


class Canvas(NamedTuple):
    """The network without its first padding, and that padding."""

    body: Graph
    padding: Padding
    value: float


def pad_once(net: Graph) -> Canvas:
    """Take the first padding out of a network, if a convolution or a Pad layer is all that reads its input.

    All shifted runs then get their part of one padded image, instead of padding of their own in places of their own.
    """
    net = unfused(net)
    readers = [node for node in net.needed_nodes() if set(node.inputs).intersection(net.inputs)]
    if len(readers) != 1 or not _pads_with_a_number(readers[0].layer):
        return Canvas(net, NO_PADDING, 0.0)
    first: Any = readers[0].layer
    body = Graph(net.inputs)
    for node in net.needed_nodes():
        layer = with_settings(first, padding=NO_PADDING) if node is readers[0] else node.layer
        body.add(node.name, layer, *node.inputs)
    body.outputs, body.training = net.outputs, net.training
    return Canvas(body, first.padding, getattr(first, "value", 0.0))


def relative_difference(found: Array, expected: Array) -> float:
    """The largest difference, relative to the largest expected number. 0 for empty arrays."""
    largest = float(np.abs(expected).max(initial=0))
    difference = float(np.abs(found - expected).max(initial=0))
    return difference / largest if largest else difference


def _pads_with_a_number(layer: Any) -> bool:
    return type(layer) is Conv2d or (type(layer) is Pad and layer.mode == "constant")


class Dense(NamedTuple):
    """The network's stride f, and the size of its dense scores, in (rows, columns)."""

    stride: tuple[int, int]
    size: tuple[int, int]


def prepared(net: Graph, image: Array) -> tuple[Graph, Array, Dense]:
    """The network without its first padding, the canvas, and what the result will be."""
    who = "shift_and_stitch"
    check_array(who, "image", image, "N C H W")
    if len(net.inputs) != 1 or len(net.outputs) != 1:
        raise ValueError(f"{who}: expected a network of one input and one output, got {', '.join(net.inputs)} -> "
                         f"{', '.join(net.outputs)}. Cut it with minifcn.cutting.up_to(net, value).")
    body, padding, value = pad_once(net)
    stride, growth = spread(body)
    canvas, _ = ops.pad(image, padding=padding, value=value)  # (N, C, top + H + bottom, left + W + right)
    size = canvas.shape[2] + growth[0], canvas.shape[3] + growth[1]
    if min(size) < 1:
        least = [max(1, image.shape[axis + 2] + 1 - size[axis]) for axis in (0, 1)]
        raise ValueError(f"{who}: expected an image of at least {least[0]}x{least[1]}, the receptive field of the "
                         f"scores without the padding, got {image.shape[2]}x{image.shape[3]}. Enlarge the image.")
    return body, canvas, Dense(stride, size)


Known = tuple[tuple[int, int], tuple[int, int]]  # of a value: d and m


def _margins(graph: Graph, inputs: list[Known], final: tuple[int, int]) -> list[Known]:
    """d and m of a graph's outputs from those of its inputs."""
    graph = unfused(graph)
    known = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.needed_nodes():
        xs = [known[name] for name in node.inputs]
        if isinstance(node.layer, Graph):
            known.update(zip(node.values, _margins(node.layer, xs, final), strict=True))
            continue
        stride, before = steps_of(node.layer)
        d = xs[0][0]
        m = tuple(_step(max(x[1][a] for x in xs), stride[a], before[a], d[a] < final[a]) for a in (0, 1))
        known[node.name] = ((d[0] * stride[0], d[1] * stride[1]), m)  # type: ignore[assignment]
    return [known[name] for name in graph.outputs]


def _step(m: int, stride: int, before: int, strides_follow: bool) -> int:
    if m == 0 and not strides_follow:
        return 0
    return max(0, -(-(m + before) // stride))  # rounded up
