"""How much a layer computes: multiplications with a weight, each of which comes with an addition.

Only convolutions, transposed convolutions and linear layers multiply by weights; everything else is counted as nothing,
as is usual, for beside them it takes few operations. Padding counts like pixels. A FLOP is one multiplication or one
addition, so a layer of M multiply-adds is one of 2*M FLOPs. Fast kernels may do with fewer: Winograd's multiply less,
and a bilinear upsampling has mostly zeros in its weight.
"""

from functools import singledispatch
from math import prod

from .. import layers
from ..graph import Graph
from ..layers.base import Layer
from ..shapes import Shape, follow, output_shapes


@singledispatch
def multiply_adds(layer: Layer, *given: Shape) -> int:
    """Multiply-adds of one forward pass of a layer for inputs of the shapes `given`, the batch included."""
    return 0


@multiply_adds.register
def _conv(layer: layers.Conv2d, given: Shape) -> int:
    """Each number of the output is a sum of C/groups * KH * KW products."""
    (wanted,) = output_shapes(layer, given)
    return prod(wanted) * prod(layer.weight.data.shape[1:])


@multiply_adds.register
def _conv_relu(layer: layers.ConvReLU, given: Shape) -> int:
    return _conv(layer.conv, given)


@multiply_adds.register
def _conv_transpose(layer: layers.ConvTranspose2d, given: Shape) -> int:
    """Each number of the input is spread over O/groups * KH * KW places."""
    return prod(given) * prod(layer.weight.data.shape[1:])


@multiply_adds.register
def _linear(layer: layers.Linear, given: Shape) -> int:
    return given[0] * layer.weight.data.size


@multiply_adds.register
def _graph(graph: Graph, *given: Shape) -> int:
    shapes = follow(graph, given)
    return sum(multiply_adds(node.layer, *(shapes[name] for name in node.inputs)) for node in graph.nodes)
