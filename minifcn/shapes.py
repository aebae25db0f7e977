"""The shape of every value of a network, by arithmetic alone: nothing is computed and no weight is read.

    shapes_of(net, (500, 500))["pool5"]            # (1, 512, 22, 22)

Sizes come from the very functions that the ops ask, so there is one definition of them, and an input that is too small
is refused in the words of the op. What a layer does to a shape is said once for each kind of layer, below.
"""

from collections.abc import Sequence
from functools import singledispatch
from math import prod

from . import layers
from .graph import Graph
from .layers._dilated_avg_pool import DilatedAvgPool2d
from .layers._legal_size import LegalSize
from .layers.base import Layer
from .ops.add import common_shape
from .ops.concat import joined_shape
from .ops.conv_transpose import size_of_output
from .ops.crop import check_rectangle
from .ops.geometry import pair, windows
from .ops.pad_channels import widened
from .ops.pool_windows import pool_windows

Shape = tuple[int, ...]


def shapes_of(graph: Graph, size: tuple[int, int], batch: int = 1) -> dict[str, Shape]:
    """The shape of every input and of every value that a node computes, in the order of the nodes.

    Args:
        graph: any network. Each of its inputs gets as many channels as the first layer behind it reads.
        size: (H, W) of the inputs.
        batch: how many images.

    A record of pooled places ("pool1.record") is given the shape of what was pooled. Raises ValueError, naming the
    layer, where an input is too small or does not fit, and for layers of an unknown kind.
    """
    return follow(graph, [(batch, input_channels(graph, name), *size) for name in graph.inputs])


def complaint(graph: Graph, size: tuple[int, int]) -> str | None:
    """Why an image of (H, W) is not taken, naming the layer; None if it is."""
    try:
        shapes_of(graph, size)
    except ValueError as error:
        return str(error)
    return None


def input_channels(graph: Graph, name: str) -> int:
    """How many channels the first convolution behind an input reads; 3, a photograph's, if there is none."""
    behind = {name}
    for node in graph.nodes:
        if node.inputs[0] in behind:
            if isinstance(node.layer, Graph):
                return input_channels(node.layer, node.layer.inputs[0])
            channels = getattr(node.layer, "in_channels", None) or getattr(node.layer, "num_features", None)
            if channels:
                return channels
            behind.add(node.name)
    return 3


@singledispatch
def output_shapes(layer: Layer, *shapes: Shape) -> tuple[Shape, ...]:
    """The shape of each output of a layer, for the shapes of its inputs; by kind of layer.

    For a layer of your own: `@output_shapes.register`. Raises ValueError for inputs that do not fit or a layer without
    such a rule.
    """
    raise ValueError(f"output_shapes: expected a layer whose output shape is known, got {type(layer).__name__}. Say "
                     f"what it does to a shape with @minifcn.shapes.output_shapes.register.")


# Number by number: the shape stays.

def _same(layer: Layer, shape: Shape) -> tuple[Shape, ...]:
    return (shape,)


for kind in (layers.BatchNorm2d, layers.BatchNormReLU, layers.Dropout, layers.LeakyReLU, layers.LocalResponseNorm,
             layers.PReLU, layers.ReLU, layers.Scale, layers.Sigmoid, layers.Softmax):
    output_shapes.register(kind, _same)


@output_shapes.register
def _legal_size(layer: LegalSize, shape: Shape) -> tuple[Shape, ...]:
    layer.check(_size(shape))
    return (shape,)


# Windows that slide.

@output_shapes.register
def _conv(layer: layers.Conv2d, shape: Shape) -> tuple[Shape, ...]:
    _check_channels(layer, shape, layer.in_channels)
    view = windows("conv2d", _size(shape), layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return ((shape[0], layer.out_channels, view.oh, view.ow),)


@output_shapes.register
def _conv_relu(layer: layers.ConvReLU, shape: Shape) -> tuple[Shape, ...]:
    return _conv(layer.conv, shape)


@output_shapes.register
def _conv_transpose(layer: layers.ConvTranspose2d, shape: Shape) -> tuple[Shape, ...]:
    _check_channels(layer, shape, layer.in_channels)
    size = size_of_output("conv_transpose2d", _size(shape), layer.kernel_size, layer.stride, layer.padding,
                          layer.dilation, layer.output_padding, layer.output_size)
    return ((shape[0], layer.out_channels, *size),)


@output_shapes.register
def _max_pool(layer: layers.MaxPool2d, shape: Shape) -> tuple[Shape, ...]:
    _, view = pool_windows("max_pool2d", _size(shape), layer.kernel_size, layer.stride, layer.padding, layer.dilation,
                           layer.ceil_mode)
    y = (*shape[:2], view.oh, view.ow)
    return (y, shape) if layer.return_indices else (y,)


@output_shapes.register
def _max_unpool(layer: layers.MaxUnpool2d, shape: Shape, pooled: Shape) -> tuple[Shape, ...]:
    return ((*shape[:2], *pooled[2:]),)


@output_shapes.register
def _avg_pool(layer: layers.AvgPool2d, shape: Shape) -> tuple[Shape, ...]:
    _, view = pool_windows("avg_pool2d", _size(shape), layer.kernel_size, layer.stride, layer.padding, 1,
                           layer.ceil_mode)
    return ((*shape[:2], view.oh, view.ow),)


@output_shapes.register
def _dilated_avg_pool(layer: DilatedAvgPool2d, shape: Shape) -> tuple[Shape, ...]:
    view = windows("avg_pool2d", _size(shape), layer.kernel_size, layer.stride, layer.reach, layer.dilation)
    return ((*shape[:2], view.oh, view.ow),)


# Sizes that are asked for.

@output_shapes.register
def _adaptive(layer: layers.AdaptiveAvgPool2d, shape: Shape) -> tuple[Shape, ...]:
    return ((*shape[:2], *layer.output_size),)


@output_shapes.register
def _resize(layer: layers.ResizeBilinear, shape: Shape, like: Shape | None = None) -> tuple[Shape, ...]:
    size = _size(like) if like else pair("resize_bilinear", "output_size", layer.output_size, 1)
    return ((*shape[:2], *size),)


@output_shapes.register
def _crop(layer: layers.Crop, shape: Shape, like: Shape | None = None) -> tuple[Shape, ...]:
    size = _size(like) if like else pair("crop", "size", layer.size, 1)
    check_rectangle("crop", _size(shape), layer.offset, size)
    return ((*shape[:2], *size),)


@output_shapes.register
def _pad(layer: layers.Pad, shape: Shape) -> tuple[Shape, ...]:
    top, bottom, left, right = layer.padding
    return ((*shape[:2], top + shape[2] + bottom, left + shape[3] + right),)


@output_shapes.register
def _pad_channels(layer: layers.PadChannels, shape: Shape) -> tuple[Shape, ...]:
    return ((shape[0], widened("pad_channels", shape[1], layer.out_channels), *_size(shape)),)


# Several inputs, rows of numbers, and networks inside networks.

@output_shapes.register
def _add(layer: layers.Add, *shapes: Shape) -> tuple[Shape, ...]:
    return (common_shape("add", list(shapes)),)


@output_shapes.register
def _concat(layer: layers.Concat, *shapes: Shape) -> tuple[Shape, ...]:
    return (joined_shape("concat", list(shapes), layer.axis % len(shapes[0])),)


@output_shapes.register
def _flatten(layer: layers.Flatten, shape: Shape) -> tuple[Shape, ...]:
    return ((shape[0], prod(shape[1:])),)


@output_shapes.register
def _linear(layer: layers.Linear, shape: Shape) -> tuple[Shape, ...]:
    if len(shape) != 2 or shape[1] != layer.in_features:
        raise ValueError(f"linear: expected rows of {layer.in_features} numbers, got an input of shape {shape}. "
                         f"Use the image size that the classifier was made for.")
    return ((shape[0], layer.out_features),)


@output_shapes.register
def _graph(graph: Graph, *shapes: Shape) -> tuple[Shape, ...]:
    found = follow(graph, shapes)
    return tuple(found[name] for name in graph.outputs)


def follow(graph: Graph, inputs: Sequence[Shape]) -> dict[str, Shape]:
    """The shapes of a network's inputs, and from them those of its values."""
    shapes = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        try:
            found = output_shapes(node.layer, *(shapes[name] for name in node.inputs))
        except ValueError as error:
            raise ValueError(f"layer {node.name!r}: {error}") from error
        shapes |= zip(node.values, found, strict=True)
    return shapes


def _size(shape: Shape) -> tuple[int, int]:
    """(H, W). Raises ValueError for what is no map."""
    if len(shape) != 4:
        raise ValueError(f"expected maps (N, C, H, W), got shape {shape}. Put such layers before Linear ones.")
    return shape[2], shape[3]


def _check_channels(layer: Layer, shape: Shape, channels: int) -> None:
    if shape[1] != channels:
        raise ValueError(f"{type(layer).__name__}: expected an input of {channels} channels (N, C, H, W), got shape "
                         f"{shape}. Give it what it was built for.")
