"""Who reads what: the nodes of a network and the names of the values between them."""

from collections.abc import Iterator
from typing import NamedTuple

from .layers.base import Layer
from .ops.check import wanted


class Node(NamedTuple):
    """One layer under its name, and the names of the values that it reads."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The names of what it computes: its own, and "name.extra" for each further output."""
        return (self.name, *(f"{self.name}.{extra}" for extra in self.layer.extra_outputs))


class Wiring(Layer):
    """The structure of a Graph, without running it.

    Attributes:
        inputs: names of the arrays that forward takes.
        outputs: names of the values that forward returns; the last node's unless set.
        nodes: in order of definition.
    """

    def __init__(self, inputs: tuple[str, ...] | str = ("data",)) -> None:
        super().__init__()
        self.inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        self.nodes: list[Node] = []
        self._outputs: tuple[str, ...] = ()

    def add(self, name: str, layer: Layer, *inputs: str) -> str:
        """Append a node; returns its name, so that the next one can be given it.

        Raises ValueError for a name that is taken or has a dot, or for an input that does not exist yet.
        """
        if not name or "." in name or name in self.known_values():
            raise ValueError(f"Graph.add: expected a new name without a dot, got {name!r}. Choose another name.")
        for value in inputs:
            if value not in self.known_values():
                raise ValueError(f"Graph.add: expected inputs of {name!r} among {', '.join(self.known_values())}, "
                                 f"got {value!r}. Add the node that computes it first.")
        if not inputs:
            raise ValueError(f"Graph.add: expected the names of what {name!r} reads, got none. Name at least one.")
        self.nodes.append(Node(name, layer, inputs))
        return name

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs or tuple(node.name for node in self.nodes[-1:])

    @outputs.setter
    def outputs(self, names: tuple[str, ...] | str) -> None:
        names = (names,) if isinstance(names, str) else tuple(names)
        for name in names:
            if name not in self.known_values():
                raise ValueError(f"Graph.outputs: expected names among {', '.join(self.known_values())}, got {name!r}. "
                                 f"Choose some of these.")
        self._outputs = names
        self.extra_outputs = names[1:]  # what another Graph, in which this one is a node, calls "node.name"

    def __getitem__(self, name: str) -> Layer:
        for node in self.nodes:
            if node.name == name:
                return node.layer
        raise KeyError(f"Graph: expected one of {', '.join(node.name for node in self.nodes)}, got {name!r}")

    def __repr__(self) -> str:
        width = max((len(node.name) for node in self.nodes), default=0)
        lines = [f"  {node.name:{width}}  {node.layer}  <- {', '.join(node.inputs)}" for node in self.nodes]
        return "\n".join([f"{type(self).__name__}({', '.join(self.inputs)} -> {', '.join(self.outputs)})", *lines])

    def layers(self) -> Iterator[Layer]:
        """All layers, each once; a Graph among them comes before what is in it."""
        for layer in dict.fromkeys(node.layer for node in self.nodes):
            yield layer
            if isinstance(layer, Wiring):
                yield from layer.layers()

    # What follows from the names.

    def known_values(self) -> tuple[str, ...]:
        return (*self.inputs, *(name for node in self.nodes for name in node.values))

    def needed_nodes(self) -> list[Node]:
        """The nodes that the outputs depend on, in order."""
        needed, nodes = set(self.outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.values):
                needed.update(node.inputs)
                nodes.append(node)
        return nodes[::-1]

    def owed(self, nodes: list[Node], needs: tuple[bool, ...] | None) -> set[str]:
        """The values whose gradients somebody wants: those with something that trains, or a wanted input, below."""
        needs = wanted("Graph.backward", needs, len(self.inputs))
        owed = {name for name, need in zip(self.inputs, needs, strict=True) if need}
        for node in nodes:
            if owed.intersection(node.inputs) or any(p.trains for p in node.layer.parameters().values()):
                owed.update(node.values)
        return owed
