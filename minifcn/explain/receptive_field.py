"""Which pixels of the image does this score see? Receptive fields, followed backwards through the network.

Row q of a layer's output reads an interval of rows of its input: a window of extent e, stride s and padding p reads
s*q - p to s*q - p + e - 1, a transposed convolution those rows whose blocks cover q, a ReLU row q alone. Backwards from
a value to the image these intervals grow, and where several paths meet, the hull of them counts. An upsampled pixel
sees more or less of the image, depending on where it falls between two coarse ones; the field given is the largest.

Source: Long, Shelhamer, Darrell 2015, section 3.1 (receptive fields), table 1 (404, 355 and 907 pixels).
"""

from functools import singledispatch

import numpy as np

from .. import layers
from ..graph import Graph
from ..layers._dilated_avg_pool import DilatedAvgPool2d
from ..layers.base import Layer
from ..ops.geometry import extent
from ..shapes import Shape, follow, shapes_of
from ..wiring import Node

Rows = tuple[np.ndarray, np.ndarray]  # for each pixel of a value, the first and last row (or column) that it sees


def receptive_fields(graph: Graph, size: tuple[int, int]) -> dict[str, dict[str, tuple[int, int]]]:
    """For every value and every input that it depends on: how many (rows, columns) of the input one pixel sees.

    Rows that lie in the padding count as well, so the field of a layer does not depend on the size of the image, apart
    from layers that look at all of it (linear, adaptive pooling) or stretch it (resizing).

    Args:
        graph: any network of layers that `minifcn.shapes` knows.
        size: (H, W) of the inputs.

    Raises ValueError for a size that the network cannot take.
    """
    shapes, fields = shapes_of(graph, size), {name: {name: (1, 1)} for name in graph.inputs}
    for node in graph.nodes:
        for value in node.values:
            if _is_pointwise(node, shapes):
                fields[value] = fields[node.inputs[0]]
                continue
            rows, columns = (field_of(graph, shapes, value, axis) for axis in (0, 1))
            seen = [name for name in graph.inputs if name in rows]
            fields[value] = {name: (_widest(rows[name]), _widest(columns[name])) for name in seen}
    return fields


def field_of(graph: Graph, shapes: dict[str, Shape], value: str, axis: int) -> dict[str, Rows]:
    """What the pixels of `value` see of each value before it, along axis 0 (rows) or 1 (columns).

    `shapes` are those of `minifcn.shapes.shapes_of`. Returns value -> (first, last), each as long as the axis.
    """
    pixels = np.arange(_length(shapes[value], axis))
    return _walk_back(graph, shapes, value, axis, (pixels, pixels))


def _walk_back(graph: Graph, shapes: dict[str, Shape], value: str, axis: int, rows: Rows) -> dict[str, Rows]:
    seen = {value: rows}
    for node in reversed(graph.nodes):
        for output in node.values:
            if output not in seen:
                continue
            for name, below in zip(node.inputs, _below(graph, node, output, shapes, axis, seen[output]), strict=True):
                if below is not None:
                    first, last = seen.get(name, below)
                    seen[name] = np.minimum(first, below[0]), np.maximum(last, below[1])
    return seen


def _below(
    graph: Graph, node: Node, output: str, shapes: dict[str, Shape], axis: int, rows: Rows
) -> list[Rows | None]:
    """What rows of one output of a node read of each of its inputs; None for an input that lends its size only."""
    given, wanted = [shapes[name] for name in node.inputs], shapes[output]
    if isinstance(node.layer, Graph):
        inside = node.layer.outputs[node.values.index(output)]
        seen = _walk_back(node.layer, follow(node.layer, given), inside, axis, rows)
        return [seen.get(name) for name in node.layer.inputs]
    if len(given[0]) > len(wanted):  # an image made a row of numbers: each of them may be any pixel
        return [_all_of(rows, _length(given[0], axis))] * len(given)
    if isinstance(node.layer, layers.MaxUnpool2d):
        return [_covering(_pooling_of(graph, node.inputs[1]), axis, rows), None]
    below = rows_read(node.layer, axis, rows, given[0], wanted)
    only_first = isinstance(node.layer, (layers.Crop, layers.ResizeBilinear))
    return [below, *([None if only_first else below] * (len(given) - 1))]


@singledispatch
def rows_read(layer: Layer, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    """The rows of a layer's input, of shape `given`, that these rows of its output, of shape `wanted`, read."""
    return rows  # number by number


def _window(layer: layers.Conv2d, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    reach, stride, before = _geometry(layer, axis)
    return rows[0] * stride - before, rows[1] * stride - before + reach - 1


for kind in (layers.Conv2d, layers.MaxPool2d, layers.AvgPool2d, DilatedAvgPool2d):
    rows_read.register(kind, _window)


@rows_read.register
def _conv_relu(layer: layers.ConvReLU, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    return _window(layer.conv, axis, rows, given, wanted)


@rows_read.register
def _conv_transpose(layer: layers.ConvTranspose2d, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    return _covering(layer, axis, rows)


@rows_read.register
def _crop(layer: layers.Crop, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    return rows[0] + layer.offset[axis], rows[1] + layer.offset[axis]


@rows_read.register
def _pad(layer: layers.Pad, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    before = (layer.padding.top, layer.padding.left)[axis]
    return rows[0] - before, rows[1] - before


@rows_read.register
def _resize(layer: layers.ResizeBilinear, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    size, output = _length(given, axis), _length(wanted, axis)
    if layer.align_corners:
        places = [row * (size - 1) / max(1, output - 1) for row in rows]
    else:
        places = [np.maximum((row + 0.5) * size / output - 0.5, 0) for row in rows]
    first, last = np.floor(places[0]).astype(int), np.ceil(places[1]).astype(int)
    return first, np.minimum(last, size - 1)


@rows_read.register
def _adaptive(layer: layers.AdaptiveAvgPool2d, axis: int, rows: Rows, given: Shape, wanted: Shape) -> Rows:
    size, output = _length(given, axis), _length(wanted, axis)
    return rows[0] * size // output, -(-(rows[1] + 1) * size // output) - 1


def _covering(layer: layers.ConvTranspose2d | layers.MaxPool2d, axis: int, rows: Rows) -> Rows:
    """The windows that cover these rows: what a transposed convolution adds up, and an unpooling fills from."""
    reach, stride, before = _geometry(layer, axis)
    return -(-(rows[0] + before - (reach - 1)) // stride), (rows[1] + before) // stride


def _geometry(layer: layers.Conv2d | layers.ConvTranspose2d | layers.MaxPool2d, axis: int) -> tuple[int, int, int]:
    """Extent, stride and leading padding along an axis."""
    dilation = getattr(layer, "dilation", (1, 1))[axis]
    return extent(layer.kernel_size[axis], dilation), layer.stride[axis], layer.padding[2 * axis]


def _pooling_of(graph: Graph, record: str) -> layers.MaxPool2d:
    """The pooling whose places an unpooling was given. Raises ValueError where they come from elsewhere."""
    for node in graph.nodes:
        if record in node.values and isinstance(node.layer, layers.MaxPool2d):
            return node.layer
    raise ValueError(f"receptive_fields: expected {record!r} to be the record of a MaxPool2d of this network, got "
                     f"places from elsewhere. Nothing says what an unpooling sees then.")


def _is_pointwise(node: Node, shapes: dict[str, Shape]) -> bool:
    """Whether the output's field is the input's: one input, one rule, and that is the plain one."""
    plain = rows_read.dispatch(type(node.layer)) is rows_read.dispatch(Layer)
    kept = shapes[node.inputs[0]] == shapes[node.name]
    return len(node.inputs) == 1 and plain and kept and not isinstance(node.layer, Graph)


def _widest(rows: Rows) -> int:
    return int((rows[1] - rows[0]).max()) + 1


def _all_of(rows: Rows, length: int) -> Rows:
    return np.zeros_like(rows[0]), np.full_like(rows[1], length - 1)


def _length(shape: Shape, axis: int) -> int:
    """Rows or columns; a row of numbers has one of each."""
    return shape[2 + axis] if len(shape) == 4 else 1
