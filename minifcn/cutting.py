"""Part of a network as a network: what comes before a value, and what comes after it. The layers are the same objects.

    trunk = up_to(net, "score_fr")            # from the image to the coarse scores
    head = after(net, "score_fr")             # from there to the end
    head.forward(trunk.forward(x)) is net.forward(x)
"""

from collections.abc import Callable

from .graph import Graph
from .layers import ConvTranspose2d, Layer, MaxUnpool2d, ResizeBilinear
from .layers._legal_size import LegalSize
from .wiring import Node

UPSAMPLINGS = (ConvTranspose2d, MaxUnpool2d, ResizeBilinear)


def up_to(graph: Graph, *values: str) -> Graph:
    """The part of `graph` that `values` are computed by: its outputs are `values`, its inputs those that they need.

    Raises ValueError for a value that the graph does not have.
    """
    whole = Graph(graph.inputs)
    whole.nodes, whole.outputs = graph.nodes, values  # the outputs' setter looks for the names
    nodes = whole.needed_nodes()
    read = {name for node in nodes for name in node.inputs} | set(values)
    return _made_of(graph, tuple(name for name in graph.inputs if name in read), nodes, values)


def after(graph: Graph, value: str) -> Graph:
    """The part of `graph` that is computed from `value` alone: its input is `value`, its outputs are the graph's.

    Raises ValueError for a value that the graph does not have, or if the outputs need more than this one value.
    """
    if value not in graph.known_values():
        raise ValueError(f"after: expected a value of this graph ({', '.join(graph.known_values())}), got {value!r}. "
                         f"Choose one of these.")
    nodes, needed = [], set(graph.outputs)
    for node in reversed(graph.needed_nodes()):
        if needed.intersection(node.values) and value not in node.values:
            needed = needed.difference(node.values).union(node.inputs)
            nodes.append(node)
    if needed != {value}:
        raise ValueError(f"after: expected a value that everything behind it is computed from, got {value!r}: the "
                         f"outputs need {', '.join(sorted(needed - {value}))} too. Cut where there is one path only.")
    return _made_of(graph, (value,), nodes[::-1], graph.outputs)


def steady_and_changing(graph: Graph, changes: Callable[[Layer], bool]) -> tuple[Graph, Graph]:
    """The part of `graph` that computes the same at every forward, and the part behind a layer that `changes`.

    The outputs of the first are the inputs of the second, in order:

        values = steady.forward(*xs)         # once
        y = changing.forward(*values)        # again and again; bare `values` if it is one
    """
    steady, changing = [], []
    moving: set[str] = set()  # values that may be others next time
    for node in graph.needed_nodes():
        if changes(node.layer) or moving.intersection(node.inputs):
            moving.update(node.values)
            changing.append(node)
        else:
            steady.append(node)
    read = [name for node in changing for name in node.inputs] + list(graph.outputs)
    between = tuple(dict.fromkeys(name for name in read if name not in moving))
    return _made_of(graph, graph.inputs, steady, between), _made_of(graph, between, changing, graph.outputs)


def scores_of(graph: Graph) -> Graph:
    """The trunk of a segmentation network up to its scores: what its first upsampling reads.

    For FCN-8s that is `score_fr`. A network that upsamples nothing is all trunk. Sizes that are legal only for what
    comes behind are not asked of the trunk: U-Net's takes every image that is large enough.
    """
    for node in graph.needed_nodes():
        if isinstance(node.layer, UPSAMPLINGS):
            return _of_any_size(up_to(graph, node.inputs[0]))
    return graph


def _of_any_size(graph: Graph) -> Graph:
    """Without the gates that let only certain sizes in: who reads one reads what it passes on."""
    passed = {node.name: node.inputs[0] for node in graph.nodes if isinstance(node.layer, LegalSize)}
    nodes = [Node(node.name, node.layer, tuple(passed.get(name, name) for name in node.inputs))
             for node in graph.nodes if node.name not in passed]
    return _made_of(graph, graph.inputs, nodes, graph.outputs) if passed else graph


def _made_of(graph: Graph, inputs: tuple[str, ...], nodes: list[Node], outputs: tuple[str, ...]) -> Graph:
    part = Graph(inputs)
    part.training = graph.training
    for node in nodes:
        part.add(node.name, node.layer, *node.inputs)
    part.outputs = outputs
    return part
