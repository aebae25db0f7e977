"""Net surgery: a classifier made dense, and weights carried from one network into another.

A fully connected layer is a convolution whose kernel is as large as its input. Read as one, it slides: over a larger
image it scores not one crop but every crop, 32 pixels apart, and what neighbouring crops share is computed only once.

    dense = convolutionalize(classifier, 227)       # same numbers; (N, 3, H, W) -> (N, K, h, w)
    transplant(classifier, build("fcn-alexnet"))    # by name; fc6 (4096, 9216) becomes (4096, 256, 6, 6)

Source: Long, Shelhamer, Darrell 2015, section 3.1 and figure 2; their surgery.py.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from . import init, layers
from .arrays import array_module
from .graph import Graph
from .layers import Layer, Parameter
from .ops.check import Array
from .ops.geometry import pair
from .shapes import Shape, shapes_of
from .wiring import Node

# Layers that treat every number alike: what is true of them for rows is true for maps.
NUMBER_BY_NUMBER = (layers.ReLU, layers.LeakyReLU, layers.Sigmoid, layers.Dropout, layers.Scale, layers.Add)


def convolutionalize(graph: Graph, input_size: Any) -> Graph:
    """The classifier `graph` as a network that scores every crop of a larger image at once.

    Flatten goes, the Linear layer behind it becomes a convolution with the flattened map's size as kernel, every later
    one a 1x1 convolution: the same numbers, read in the order channel, row, column. An average pooling over a whole
    map, adaptive or not, becomes a sliding one of stride 1 with that map's size.

    Args:
        graph: a Graph of one input with Flatten, one or more Linear layers and what stands between them.
        input_size: height and width of the crops that it classifies, or an int for both.

    Returns a Graph with the same names (but for Flatten's) in the same mode. The layers before the head are shared with
    `graph`, and so are the head's numbers: what trains the one trains the other. Raises ValueError naming the layer
    where a graph has no head to convert, or one that is not of this kind, or where input_size does not fit it.

    Source: Long, Shelhamer, Darrell 2015, section 3.1.
    """
    maps = _maps_of(graph, pair("convolutionalize", "input_size", input_size, 1))
    dense = Graph(graph.inputs)
    renamed = {name: name for name in graph.inputs}  # value of `graph` -> value of `dense`
    rows: dict[str, Shape] = {}  # value of `graph` that is rows -> the map that each row is
    for node in graph.nodes:
        layer: Layer
        inputs = tuple(renamed[name] for name in node.inputs)
        shape = rows.get(node.inputs[0])
        if isinstance(node.layer, layers.Flatten):
            renamed[node.name], rows[node.name] = inputs[0], maps[node.inputs[0]]
            continue
        if _is_identity(node, maps):
            renamed[node.name] = inputs[0]
            continue
        if isinstance(node.layer, layers.Linear):
            layer, rows[node.name] = _as_convolution(node, shape), (node.layer.out_features, 1, 1)
        elif shape is not None:
            layer, rows[node.name] = _checked(node, shape), shape
        else:
            layer = _sliding(node, maps.get(node.inputs[0], ()), maps.get(node.name, ()))
        dense.add(node.name, layer, *inputs)
        renamed |= {name: name for name in node.values}
    dense.outputs = tuple(renamed[name] for name in graph.outputs)
    dense.training = graph.training
    return dense


def _maps_of(graph: Graph, size: tuple[int, int]) -> dict[str, Shape]:
    """Value -> (C, H, W) for an image of `size`, as far as there are maps."""
    if len(graph.inputs) != 1 or not any(isinstance(node.layer, layers.Linear) for node in graph.nodes):
        raise ValueError(f"convolutionalize: expected a classifier of one image with Flatten and Linear layers, got "
                         f"inputs {', '.join(graph.inputs)} and layers of other kinds. A network without a fully "
                         f"connected head is convolutional already.")
    try:
        return {name: shape[1:] for name, shape in shapes_of(graph, size).items() if len(shape) == 4}
    except ValueError as error:
        raise ValueError(f"convolutionalize: expected input_size as the classifier takes it, got {size[0]}x{size[1]}: "
                         f"{error}") from error


def _as_convolution(node: Node, shape: Shape | None) -> layers.Conv2d:
    """The Linear layer of `node` as a convolution over maps of `shape` (C, H, W), with the very same numbers."""
    linear: Any = node.layer
    if shape is None:
        raise ValueError(f"convolutionalize: expected {node.name!r} (Linear) to read what Flatten made of a map, got "
                         f"rows from elsewhere ({', '.join(node.inputs)}). Put Flatten before it.")
    channels, h, w = shape
    with init.shapes_only():
        conv = layers.Conv2d(channels, linear.out_features, (h, w), bias=False)
    conv.weight = Parameter(linear.weight.data.reshape(linear.out_features, channels, h, w),
                            linear.weight.lr_mult, linear.weight.decay_mult)
    conv.bias, conv.training = linear.bias, linear.training
    return conv


def _checked(node: Node, shape: Shape) -> Layer:
    """A layer of the head that does for maps what it did for rows. Raises ValueError for others."""
    layer: Any = node.layer
    by_channel = isinstance(layer, layers.PReLU) or (isinstance(layer, layers.Softmax) and layer.axis == 1)
    if isinstance(layer, NUMBER_BY_NUMBER) or (by_channel and shape[1:] == (1, 1)):
        return layer
    raise ValueError(f"convolutionalize: expected layers in the head that treat every number alike, or behind a Linear "
                     f"layer every channel, got {node.name!r} ({type(node.layer).__name__}). Convert this network by "
                     f"hand.")


def _is_identity(node: Node, maps: dict[str, Shape]) -> bool:
    """An adaptive pooling that leaves the classifier's map as it is has nothing to do; on a larger one it would."""
    return isinstance(node.layer, layers.AdaptiveAvgPool2d) and maps[node.name] == maps[node.inputs[0]]


def _sliding(node: Node, before: Shape, after: Shape) -> Layer:
    """A pooling over the whole map `before` as one that slides; every other layer as it is."""
    layer: Any = node.layer
    adaptive = isinstance(layer, layers.AdaptiveAvgPool2d)
    if adaptive and after[1:] != (1, 1):
        raise ValueError(f"convolutionalize: expected an adaptive pooling to one pixel, or to the size that the map "
                         f"has, got {node.name!r} from {before[1]}x{before[2]} to {after[1]}x{after[2]}, whose windows "
                         f"cannot slide. Choose an input_size for which it changes nothing.")
    whole = isinstance(layer, layers.AvgPool2d) and layer.kernel_size == before[1:] and not any(layer.padding)
    return layers.AvgPool2d(before[1:], stride=1).train(layer.training) if adaptive or whole else layer


class Transplant(NamedTuple):
    """What a transplantation did, by dotted names."""

    copied: tuple[str, ...]  # of the target: now the source's numbers
    dropped: tuple[str, ...]  # of the source: the target has no such layer, or it was to be skipped
    untouched: tuple[str, ...]  # of the target: as they were, which for new score layers is zero


def transplant(
    source: Graph | Mapping[str, Array], target: Graph, *, suffix: str = "", skip: Iterable[str] = (),
) -> Transplant:
    """Copy the numbers of every layer of `source` into the layer of the same name in `target`.

    A shape may differ where the numbers and their order agree, as in the paper: a fully connected layer's (O, C*H*W)
    becomes a convolution's (O, C, H, W). Layers without a counterpart are left out: a classifier's fc8, new scores.

    Args:
        source: a network, or its arrays by dotted name ("fc6.weight").
        target: the network to be changed; numbers are converted to its dtype.
        suffix: what a layer is called in `target` behind its name, in a network of several streams ("_color").
        skip: layers of `source` to be left out although `target` has them, scores of other classes for example.

    Nothing is changed if anything does not fit. Raises ValueError if an array has another shape or is missing, if no
    layer has a counterpart, or for a name in `skip` that is none; RuntimeError for a frozen target.

    Source: `transplant` of the authors' surgery.py.
    """
    given = dict(source.state() if isinstance(source, Graph) else source)
    own, names = target.state(), {name: _in_target(name, suffix) for name in given}
    skipped = _names_to_skip(skip, given)
    hit = {_layer(name) for name in own} & {_layer(names[name]) for name in given if _layer(name) not in skipped}
    copied = {names[name]: name for name in given if _layer(names[name]) in hit and _layer(name) not in skipped}
    _check_fit(copied, given, own, hit)
    frozen = next((name for name, p in target.parameters().items() if p.prepared is not None and name in copied), None)
    if frozen is not None:
        raise RuntimeError(f"transplant: expected a target that can be changed, got {frozen!r}, which is frozen. "
                           f"Call unfreeze() first.")
    for name, origin in copied.items():
        own[name][...] = array_module(own[name]).asarray(given[origin]).reshape(own[name].shape)
    return Transplant(tuple(copied), tuple(name for name in given if name not in copied.values()),
                      tuple(name for name in own if name not in copied))


def _check_fit(copied: dict[str, str], given: dict[str, Array], own: dict[str, Array], hit: set[str]) -> None:
    """Raises ValueError unless something is copied, and all of it fits."""
    if not copied:
        raise ValueError(f"transplant: expected layers of the same names in both networks, got {_some(given)} for "
                         f"{_some(own)}. Rename one side, or set suffix.")
    faults = [f"{name} is missing in the source" for name in own if _layer(name) in hit and name not in copied]
    for name, origin in copied.items():
        if name not in own:
            faults.append(f"{origin} has no counterpart, though its layer has one")
        elif not _same_order(given[origin].shape, own[name].shape):
            faults.append(f"{name} is expected to be {own[name].shape}, found {given[origin].shape}")
    if faults:
        raise ValueError(f"transplant: expected arrays that fit the target, got a source in which "
                         f"{'; '.join(faults[:5])}{' ...' if len(faults) > 5 else ''} ({len(faults)} faults; nothing "
                         f"was copied). Name layers that shall not be copied in skip.")


def _same_order(found: Shape, expected: Shape) -> bool:
    """As many numbers, and as many for each output: (O, C*H*W) for (O, C, H, W), Caffe's old (1, 1, 1, O) for (O,)."""
    found, expected = (_without_leading_ones(shape) for shape in (found, expected))
    return math.prod(found) == math.prod(expected) and found[:1] == expected[:1]


def _without_leading_ones(shape: Shape) -> Shape:
    return next((shape[axis:] for axis, size in enumerate(shape) if size != 1), ())


def _names_to_skip(skip: Iterable[str], given: dict[str, Array]) -> set[str]:
    skipped, known = set(skip), {_layer(name) for name in given}
    if not skipped <= known:
        raise ValueError(f"transplant: expected layers of the source in skip ({_some(sorted(known))}), "
                         f"got {', '.join(sorted(skipped - known))}. Correct the name.")
    return skipped


def _layer(name: str) -> str:
    """"fc6.weight" -> "fc6"."""
    return name.rpartition(".")[0]


def _in_target(name: str, suffix: str) -> str:
    layer, _, array = name.rpartition(".")
    return f"{layer}{suffix}.{array}"


def _some(names: Iterable[str]) -> str:
    """The first few of many names."""
    first = list(names)
    return ", ".join(first[:4]) + (", ..." if len(first) > 4 else "")
