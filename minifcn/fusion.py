"""Fusion: two layers in one pass over memory, where the map between them is read by nobody else.

    fused = fuse(net)          # conv -> relu, and batch_norm -> relu, become one node each

A map of a large image does not fit into the processor's caches, so each layer that reads and writes it again costs
about as much as the arithmetic of a small convolution. The fused Graph computes the same numbers from the same
Parameters: train it, and the original is trained. Everything that shows the network to people, or stores it, goes on
using the original, which is as the paper has it.
"""

from collections import Counter
from typing import Any

import numpy as np

from .graph import Graph
from .layers import BatchNorm2d, BatchNormReLU, Conv2d, ConvReLU, Layer, Parameter, ReLU
from .ops.check import Array
from .wiring import Node

# (type of the first layer, of its only reader) -> what does the work of both. A subclass may do anything, so it must
# be exactly these types.
PAIRS: dict[tuple[type, type], Any] = {(Conv2d, ReLU): ConvReLU, (BatchNorm2d, ReLU): BatchNormReLU}


class FusedGraph(Graph):
    """A Graph that does the work of another one: with fewer nodes, the same values, and layers in common.

    Parameters and buffers have the names and the order of the original, so checkpoints and optimisers see no
    difference. A fused node bears the name of the last layer in it, since that is the value that others read.

    Attributes:
        original: the Graph that it was made from, with the structure that it had then.
    """

    def __init__(self, original: Graph) -> None:
        super().__init__(original.inputs)
        self.original, self.architecture = original, original.architecture
        self.training = original.training

    def parameters(self) -> dict[str, Parameter]:
        return self.original.parameters()

    def buffers(self) -> dict[str, Array]:
        return self.original.buffers()

    def reseed(self, seeds: np.random.SeedSequence) -> None:
        self.original.reseed(seeds)  # the same layers, in the original's order

    def to(self, *, dtype: Any = None, device: str | None = None) -> "FusedGraph":
        self.original.to(dtype=dtype, device=device)
        return self


def fuse(graph: Graph) -> Graph:
    """A Graph that computes the same with fewer passes over memory, sharing every Parameter and buffer of `graph`.

    Fused are a convolution or a batch norm and the ReLU behind it, in nested Graphs too, where nobody else reads what
    is between them, both layers are minifcn's own (not subclasses) and the first one is applied only once. A subclass
    of Graph is left as it is.
    """
    return _fused(graph, _applications(graph), {})


def unfused(graph: Graph) -> Graph:
    """The Graph that a fused one does the work of; any other Graph as it is."""
    return graph.original if isinstance(graph, FusedGraph) else graph


def _fused(graph: Graph, applications: Counter, done: dict[int, Graph]) -> Graph:
    """`graph` with its nodes fused; a Graph that is placed several times stays one."""
    if type(graph) is not Graph:
        return graph
    if id(graph) in done:
        return done[id(graph)]
    followers = _followers(graph, applications)
    swallowed = {follower.name for follower in followers.values()}
    fused = done[id(graph)] = FusedGraph(graph)
    for node in graph.nodes:
        if node.name in followers:
            # In the first one's place: there a gradient meets the others of its input in the same order as before.
            relu = followers[node.name]
            fused.add(relu.name, PAIRS[type(node.layer), type(relu.layer)](node.layer), *node.inputs)
        elif node.name not in swallowed:
            layer = _fused(node.layer, applications, done) if isinstance(node.layer, Graph) else node.layer
            fused.add(node.name, layer, *node.inputs)
    fused.outputs = graph.outputs
    return fused


def _followers(graph: Graph, applications: Counter) -> dict[str, Node]:
    """Name of a node that can be fused -> the node that it can be fused with."""
    readers = Counter(value for node in graph.nodes for value in node.inputs)
    nodes = {node.name: node for node in graph.nodes}
    followers = {}
    for follower in graph.nodes:
        first = nodes.get(follower.inputs[0])
        if first is None or (type(first.layer), type(follower.layer)) not in PAIRS:
            continue
        between_them = readers[first.name] == 1 and first.name not in graph.outputs
        if between_them and all(applications[id(p)] == 1 for p in first.layer.parameters().values()):
            followers[first.name] = follower
    return followers


def _applications(layer: Layer) -> Counter:
    """id of a Parameter -> how often it is applied in the network: in several layers, or in one that is used again."""
    if isinstance(layer, Graph):
        return sum((_applications(node.layer) for node in layer.nodes), Counter())
    return Counter(id(parameter) for parameter in layer.parameters().values())
