"""Rarefaction: the same network without its strides, which scores every pixel instead of every f-th (a trous).

    dense = rarefy(net)          # shares the Parameters of net: to train one is to train both

A layer of stride s computes every s-th of the outputs that it could compute. Let it compute them all, and what used to
be neighbours now lie s rows apart. So every later layer must reach d rows where it reached one, d being the product of
the strides removed so far: its taps and its paddings are spaced by d. The weights stay as they are.

    convolution k, stride s, dilation D, padding p       stride 1, dilation D*d, padding p*d;  behind it d is s*d
    pooling, the same                                    the same, its padding made of pixels that never win or count
    pooling that rounds its output size up (ceil_mode)   (s - 1)*d more such rows at the bottom, columns at the right
    ReLU, dropout, normalisation across channels, ...    as it is
    sum, concatenation                                   as it is, if all it reads has one d

Source: Long, Shelhamer, Darrell 2015, arXiv 1411.4038, section 3.2 ("shift-and-stitch is filter rarefaction"): their
f'(i, j) = f(i/s, j/s), where s divides i and j, else 0, is a dilation of s. Paddings and rounding are not in the paper.
"""

import copy
import math
from typing import Any, NamedTuple

from . import layers
from .fusion import unfused
from .graph import Graph
from .layers import Conv2d, Layer
from .layers._dilated_avg_pool import DilatedAvgPool2d
from .ops.geometry import Padding, extent
from .wiring import Node

# Exactly these types: a subclass may do anything.
PIXELWISE = (layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.Sigmoid, layers.BatchNorm2d, layers.LocalResponseNorm,
             layers.Dropout, layers.SpatialDropout, layers.Scale, layers.PadChannels)
JOINING = (layers.Add, layers.Concat)
WINDOWS = (Conv2d, layers.MaxPool2d, layers.AvgPool2d)

MAKE_DENSE = "reads a whole map of one size at once; minifcn.convolutionalize makes a convolution of it"
REASONS: dict[type, str] = {
    layers.ConvTranspose2d: "puts new pixels between the old ones, so there is no coarser lattice to fill up",
    layers.MaxUnpool2d: "puts values back to the places of one certain pooling, and without strides there are others",
    layers.ResizeBilinear: "makes a map of another size, so there is no coarser lattice to fill up",
    layers.AdaptiveAvgPool2d: "has windows that depend on the size of the whole map",
    layers.Flatten: MAKE_DENSE,
    layers.Linear: MAKE_DENSE,
    layers.Crop: "cuts out a fixed size; let it cut to the size of a second input that is spaced alike",
    layers.Pad: "mirrors rows, and rows that lie d apart have their mirror images elsewhere",
    layers.Concat: "joins along rows or columns, not channels",
    layers.Softmax: "goes along rows or columns, not channels",
}


class Spread(NamedTuple):
    """What rarefying makes of a value, in (rows, columns).

    Attributes:
        spacing: d, how far apart in the rarefied map those pixels lie that are neighbours in the network as it is.
            At the output it is the network's stride f.
        growth: how many rows and columns the rarefied map has more than the network's input; mostly it is negative.
    """

    spacing: tuple[int, int]
    growth: tuple[int, int]


AS_IT_COMES = Spread((1, 1), (0, 0))


def rarefy(graph: Graph) -> Graph:
    """The network with all strides removed and its filters spaced out, sharing every Parameter and buffer.

    Args:
        graph: a Graph of convolutions and poolings and of layers that work on each pixel by itself, in nested Graphs
            too. Take a segmentation network's part up to its scores: `minifcn.cutting.scores_of(graph)`.

    Returns a Graph of the same inputs and outputs: for x (N, C, H, W) the scores (N, K, H + growth, W + growth), see
    `spread`. With the network's stride f, every f-th of these pixels is the network's own output:
    rarefy(graph)(x)[:, :, ::f, ::f] equals graph(x). (The others: `minifcn.explain.stitching`.) Parameters keep their
    names. Layers that need no change are the very same objects, with their mode; so back out one network before the
    other is run for a gradient.

    Raises ValueError, naming the layer and the reason, for a graph that cannot be rarefied: with a transposed
    convolution, an unpooling, a resizing, an adaptive pooling, a linear layer, or a sum of maps of different strides.
    """
    return _rarefied(graph, [AS_IT_COMES] * len(graph.inputs), [])[0]


def spread(graph: Graph) -> Spread:
    """The stride and the size of what `rarefy(graph)` returns, for a graph of one output. Raises as `rarefy` does."""
    _, outputs = _rarefied(graph, [AS_IT_COMES] * len(graph.inputs), [])
    if len(outputs) != 1:
        raise ValueError(f"spread: expected a graph of one output, got {len(outputs)} ({', '.join(graph.outputs)}). "
                         f"Cut it with minifcn.cutting.up_to(graph, value).")
    return outputs[0]


def spreads(graph: Graph) -> list[tuple[Layer, Spread]]:
    """Each layer of a graph, those of nested Graphs included, with the spread of what it computes."""
    seen: list[tuple[Layer, Spread]] = []
    _rarefied(graph, [AS_IT_COMES] * len(graph.inputs), seen)
    return seen


def with_settings(layer: Any, **settings: Any) -> Any:
    """The layer with other settings, sharing its Parameters, buffers and mode, but not what it remembers."""
    twin = copy.copy(layer)
    vars(twin).update(settings, _caches=[])
    return twin


def steps_of(layer: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
    """(stride, padding before the first row and column) of a layer: output r reads from row r*stride - before."""
    if type(layer) in WINDOWS:
        return layer.stride, (layer.padding.top, layer.padding.left)  # type: ignore[attr-defined]
    if type(layer) is layers.Pad:
        return (1, 1), (layer.padding.top, layer.padding.left)
    if type(layer) is layers.Crop:
        return (1, 1), (-layer.offset[0], -layer.offset[1])
    return (1, 1), (0, 0)


def _rarefied(
    graph: Graph, inputs: list[Spread], seen: list[tuple[Layer, Spread]]
) -> tuple[Graph, list[Spread]]:
    """`graph`, whose inputs are spread out already, and the spread of its outputs; each layer's is added to `seen`."""
    graph = unfused(graph)
    dense, known = Graph(graph.inputs), dict(zip(graph.inputs, inputs, strict=True))
    dense.training = graph.training
    for node in graph.needed_nodes():
        xs = [_spread_of(node, name, known) for name in node.inputs]
        if isinstance(node.layer, Graph):
            layer, ys = _rarefied(node.layer, xs, seen)
            dense.add(node.name, layer, *node.inputs)
            known.update(zip(node.values, ys, strict=True))
        else:
            known[node.name] = _add_rarefied(dense, graph, node, xs)
            seen.append((node.layer, known[node.name]))
    for name in graph.outputs:
        if name not in known:
            raise ValueError(f"rarefy: expected maps as outputs, got {name!r}, the places of maxima. Without strides a "
                             f"pooling has other places; take another output.")
    dense.outputs = graph.outputs
    return dense, [known[name] for name in graph.outputs]


def _spread_of(node: Node, name: str, known: dict[str, Spread]) -> Spread:
    if name not in known:  # the record of a pooling
        raise _refusal(node, REASONS[layers.MaxUnpool2d])
    return known[name]


def _add_rarefied(dense: Graph, graph: Graph, node: Node, xs: list[Spread]) -> Spread:
    """Add what stands for one layer to `dense`; returns the spread of what it computes."""
    layer: Any = node.layer
    kind = type(layer)
    _check_alike(node, xs)
    spacing, growth = xs[0]
    if kind in (layers.Softmax, layers.Concat) and layer.axis not in (1, -3):
        raise _refusal(node, REASONS[kind])
    if kind in PIXELWISE or kind in JOINING or kind is layers.Softmax:
        dense.add(node.name, layer, *node.inputs)
        return xs[0]
    if kind is layers.Crop and len(xs) == 2:
        offset = _times(layer.offset, spacing)
        dense.add(node.name, with_settings(layer, offset=offset), *node.inputs)
        return xs[1]
    if kind is layers.Pad and (layer.mode == "constant" or spacing == (1, 1)):
        sides = _spaced(layer.padding, spacing)
        dense.add(node.name, with_settings(layer, padding=sides), *node.inputs)
        return Spread(spacing, _grown(growth, sides, (0, 0)))
    if kind in WINDOWS:
        return _add_window(dense, graph, node, xs[0])
    raise _refusal(node, REASONS.get(kind, "is of a type of which nothing is known here"))


def _add_window(dense: Graph, graph: Graph, node: Node, x: Spread) -> Spread:
    """The same for a convolution or a pooling."""
    layer: Any = node.layer
    kernel, stride = layer.kernel_size, layer.stride
    dilation = _times(getattr(layer, "dilation", (1, 1)), x.spacing)
    sides, overhang = _spaced(layer.padding, x.spacing), _times(_overhang(layer), x.spacing)
    reach = tuple(extent(kernel[axis], dilation[axis]) - 1 for axis in (0, 1))
    after = Spread(_times(stride, x.spacing), _grown(x.growth, sides, (overhang[0] - reach[0], overhang[1] - reach[1])))
    source = node.inputs[0]
    if stride == x.spacing == (1, 1):
        dense.add(node.name, layer, source)
    elif type(layer) is Conv2d:
        dense.add(node.name, with_settings(layer, stride=(1, 1), dilation=dilation, padding=sides), source)
    elif type(layer) is layers.AvgPool2d:
        spaced = DilatedAvgPool2d(kernel, dilation, sides, overhang, layer.count_include_pad)
        dense.add(node.name, spaced.train(layer.training), source)
    else:
        around = Padding(sides.top, sides.bottom + overhang[0], sides.left, sides.right + overhang[1])
        if any(around):  # in a layer of its own, because a pooling may be padded by half of its extent at most
            source = dense.add(_new_name(dense, graph, f"{node.name}_pad"), layers.Pad(around, value=-math.inf), source)
        spaced = with_settings(layer, stride=(1, 1), dilation=dilation, padding=Padding(0, 0, 0, 0), ceil_mode=False)
        dense.add(node.name, spaced, source)
    return after


def _overhang(layer: Any) -> tuple[int, int]:
    """How many rows and columns a pooling that rounds up may reach beyond its padding: s - 1.

    Fewer if it could then begin beyond the last pixel: such a window is dropped (see `minifcn.ops.geometry`).
    """
    if not getattr(layer, "ceil_mode", False):
        return 0, 0
    dilation, ends = getattr(layer, "dilation", (1, 1)), (layer.padding.bottom, layer.padding.right)
    rows, columns = (
        min(layer.stride[a] - 1, extent(layer.kernel_size[a], dilation[a]) - 1 - ends[a]) for a in (0, 1)
    )
    return rows, columns


def _check_alike(node: Node, xs: list[Spread]) -> None:
    """What a layer reads together lies on one lattice. Raises ValueError otherwise."""
    described = ", ".join(f"{name!r} {x.spacing}" for name, x in zip(node.inputs, xs, strict=True))
    if len({x.spacing for x in xs}) > 1:
        raise _refusal(node, f"reads maps of different strides: {described}")
    if type(node.layer) in JOINING and len({x.growth for x in xs}) > 1:
        described = ", ".join(f"{name!r} {x.growth}" for name, x in zip(node.inputs, xs, strict=True))
        raise _refusal(node, f"reads maps that have the same size for some images only; without strides their rows and "
                             f"columns, counted from the input's, are {described}")


def _refusal(node: Node, reason: str) -> ValueError:
    return ValueError(f"rarefy: expected strided convolutions, poolings and layers that work on each pixel by itself, "
                      f"got layer {node.name!r}, {node.layer}, which {reason}. Take the part before it: "
                      f"minifcn.cutting.up_to(graph, {node.inputs[0]!r}).")


def _times(pair: Any, spacing: tuple[int, int]) -> tuple[int, int]:
    return pair[0] * spacing[0], pair[1] * spacing[1]


def _spaced(sides: Padding, spacing: tuple[int, int]) -> Padding:
    dy, dx = spacing
    return Padding(sides.top * dy, sides.bottom * dy, sides.left * dx, sides.right * dx)


def _grown(growth: tuple[int, int], sides: Padding, more: tuple[int, int]) -> tuple[int, int]:
    return growth[0] + sides.top + sides.bottom + more[0], growth[1] + sides.left + sides.right + more[1]


def _new_name(dense: Graph, graph: Graph, name: str) -> str:
    while name in dense.known_values() or name in graph.known_values():
        name += "_"
    return name
