"""The network as data: named layers and the names of what they read, the way the papers' own network files put it.

    net = Graph()                                         # its input is called "data"
    net.add("conv1", Conv2d(3, 8, 3, rng=0), "data")
    net.add("relu1", ReLU(), "conv1")

Forward visits the nodes in the order in which they were added; backward visits them in reverse, adds up the gradients
where a value was read more than once, and stops where nothing below trains. Because the network is data, everything
else can read it: shape tables, receptive fields, crop offsets, drawings. A Graph is itself a Layer, so graphs nest.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from .arrays import array_module, to_device
from .layers.base import Parameter
from .ops.check import Array
from .wiring import Node, Wiring


class Graph(Wiring):
    """Named layers connected by value names: `inputs`, `outputs` and `nodes` are those of `Wiring`.

    Attributes:
        architecture: how `minifcn.models.build` made it ({"model": name, ...}), None for a Graph made by hand.
    """

    architecture: dict[str, Any] | None = None

    # Running it.

    def forward(self, *xs: Any, record: bool | None = None) -> Any:
        """The outputs (bare if there is one) for one array per input.

        Raises RuntimeError at a recorded forward if an earlier one was never backed out: call `discard` to forget it.
        """
        record = self.training if record is None else record
        if record and self._has_open_caches():
            raise RuntimeError("Graph.forward: expected every recorded forward to be backed out before the next, got "
                               "one that is still open. Call backward, or discard() to forget it.")
        try:
            return self.run(*xs, record=record)
        except BaseException:
            if record:
                self.discard()  # half a forward can never be backed out
            raise

    __call__ = forward

    def run(self, *xs: Any, record: bool) -> Any:
        """`forward` without the check for open forwards: for a Graph inside a Graph, which may be applied twice."""
        results = {}
        for name, value in self.walk(*xs, record=record):
            if name in self.outputs:
                results[name] = value
            del value  # else the loop variable would keep each array alive while the next is computed
        for name, x in zip(self.inputs, xs, strict=True):
            results.setdefault(name, x)  # an input may be an output
        ys = tuple(results[name] for name in self.outputs)
        return ys if len(ys) > 1 else ys[0]

    def walk(self, *xs: Any, record: bool = False) -> Iterator[tuple[str, Any]]:
        """Run forward one node at a time and yield (name, value) as they come: to watch, to step, to find a NaN.

        Values are freed after their last use.
        """
        if len(xs) != len(self.inputs):
            raise ValueError(f"Graph.forward: expected {len(self.inputs)} arrays ({', '.join(self.inputs)}), "
                             f"got {len(xs)}. Pass one for each input.")
        if not self.outputs:
            raise ValueError("Graph.forward: expected at least one node, got none. Add layers with add(...).")
        nodes = self.needed_nodes()
        readers = Counter(value for node in nodes for value in node.inputs)
        values = dict(zip(self.inputs, xs, strict=True))
        for node in nodes:
            ys = _apply(node, [values[name] for name in node.inputs], record)
            for name in node.inputs:
                readers[name] -= 1
                if not readers[name]:
                    values.pop(name, None)
            for name, y in zip(node.values, ys, strict=True):
                if readers[name]:
                    values[name] = y
            names = node.values
            for index in range(len(names)):
                yield names[index], ys[index]
            del y, ys  # the loop variables, too, would keep arrays alive while the next node runs
        if record:
            self._caches.append(nodes)

    def backward(self, *gys: Any, needs: tuple[bool, ...] | None = None) -> Any:
        """Gradients of the inputs (bare if there is one), None where not needed; fills `grad` of every parameter.

        Args:
            gys: one gradient for each output, None for an output that the loss does not see.
            needs: one bool for each input. Training passes (False,): nobody wants the gradient of the photograph.

        Raises RuntimeError if no recorded forward is left.
        """
        given = list(gys)
        del gys  # this call would keep them alive to its end
        return self.back_out(given, needs)

    def back_out(self, gys: list[Any], needs: tuple[bool, ...] | None) -> Any:
        """`backward`, which empties the list, so that each gradient is freed when it has been used."""
        if len(gys) != len(self.outputs):
            raise ValueError(f"Graph.backward: expected {len(self.outputs)} gradients ({', '.join(self.outputs)}), "
                             f"got {len(gys)}. Pass one for each output; None is allowed.")
        owed = self.owed(self.needed_nodes(), needs)
        nodes = self._last_cache()
        gradients: dict[str, Array] = {}
        for name in self.outputs:
            _add(gradients, name, gys.pop(0))
        for node in reversed(nodes):
            _back_out(node, gradients, owed)
        gx = tuple(gradients.get(name) if name in owed else None for name in self.inputs)
        return gx if len(gx) > 1 else gx[0]

    def discard(self) -> None:
        super().discard()
        for node in self.nodes:
            node.layer.discard()

    def discard_last(self) -> None:
        for node in self._last_cache():
            node.layer.discard_last()

    # What it is made of.

    def parameters(self) -> dict[str, Parameter]:
        """Dotted name -> Parameter in order of definition; one that several nodes share appears once."""
        found: dict[int, tuple[str, Parameter]] = {}
        for node in self.nodes:
            for name, parameter in node.layer.parameters().items():
                found.setdefault(id(parameter), (f"{node.name}.{name}", parameter))
        return dict(found.values())

    def buffers(self) -> dict[str, Array]:
        return {f"{n.name}.{name}": array for n in self.nodes for name, array in n.layer.buffers().items()}

    def state(self) -> dict[str, Array]:
        """Dotted name -> the network's own arrays, parameters first, then buffers. Copy them to keep a snapshot."""
        return {name: p.data for name, p in self.parameters().items()} | self.buffers()

    def load(self, state: dict[str, Array]) -> None:
        """Copy the numbers of `state` into the network's arrays. Nothing is changed if anything does not fit.

        Raises ValueError naming the arrays that are missing, unknown, or of another shape or dtype; RuntimeError for a
        frozen network.
        """
        frozen = next((name for name, p in self.parameters().items() if p.prepared is not None), None)
        if frozen is not None:
            raise RuntimeError(f"Graph.load: expected a network that can be changed, got {frozen!r}, which is frozen. "
                               f"Call unfreeze() first, and freeze() again after.")
        own = self.state()
        faults = [f"{name} is missing" for name in own if name not in state]
        faults += [f"{name} is unknown" for name in state if name not in own]
        for name in own.keys() & state.keys():
            if own[name].shape != state[name].shape or own[name].dtype != state[name].dtype:
                faults.append(f"{name} is {state[name].shape} {state[name].dtype} instead of "
                              f"{own[name].shape} {own[name].dtype}")
        if faults:
            raise ValueError(f"Graph.load: expected the arrays of this network, got a state in which "
                             f"{'; '.join(sorted(faults)[:5])}{' ...' if len(faults) > 5 else ''} "
                             f"({len(faults)} faults). Build the network that the state was saved from.")
        for name, array in own.items():
            array[...] = array_module(array).asarray(state[name])  # a checkpoint's arrays are NumPy's

    def train(self, mode: bool = True) -> "Graph":
        super().train(mode)
        for node in self.nodes:
            node.layer.train(mode)
        return self

    def reseed(self, seeds: np.random.SeedSequence) -> None:
        for node in self.nodes:
            node.layer.reseed(seeds)

    def freeze(self) -> "Graph":
        """Make the weights read-only, for inference: a write to one raises. Returns the Graph.

        Since they cannot change, what fast kernels make of a weight beforehand is made once for each input size, at the
        first forward, and kept beside it. That takes memory: up to a few times that of the weights.
        """
        for parameter in self.parameters().values():
            parameter.freeze()
        return self

    def unfreeze(self) -> "Graph":
        """Undo `freeze`, and drop what was prepared."""
        for parameter in self.parameters().values():
            parameter.unfreeze()
        return self

    def to(self, *, dtype: Any = None, device: str | None = None) -> "Graph":
        """Convert parameters and buffers to another dtype or device, gradients dropped; returns the Graph."""
        for node in self.nodes:
            if isinstance(node.layer, Graph):
                node.layer.to(dtype=dtype, device=device)
                continue
            for parameter in node.layer.parameters().values():
                parameter.replace(_converted(parameter.data, dtype, device))
            for name, array in node.layer.buffers().items():
                node.layer.set_buffer(name, _converted(array, dtype, device))
        return self

    def _has_open_caches(self) -> bool:
        layers = [node.layer for node in self.nodes]
        return bool(self._caches) or any(
            layer._has_open_caches() if isinstance(layer, Graph) else layer._caches for layer in layers
        )


def _apply(node: Node, xs: list[Any], record: bool) -> tuple[Any, ...]:
    """One node's outputs as a tuple; an error says at which layer it happened."""
    forward = node.layer.run if isinstance(node.layer, Graph) else node.layer.forward
    try:
        y = forward(*xs, record=record)
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError  # a subclass may want other arguments
        raise kind(f"layer {node.name!r}: {error}") from error
    return y if len(node.values) > 1 else (y,)


def _back_out(node: Node, gradients: dict[str, Array], owed: set[str]) -> None:
    """Gradients of one node's outputs out, of its inputs in. A function, so that no name holds on to them after it."""
    gys = [gradients.pop(name, None) for name in node.values]
    if node.name not in owed or all(gy is None for gy in gys):
        node.layer.discard_last()
        return
    gxs = node.layer.back_out(gys, tuple(name in owed for name in node.inputs))
    for name, gx in zip(node.inputs, gxs if isinstance(gxs, tuple) else (gxs,), strict=True):
        _add(gradients, name, gx)


def _add(gradients: dict[str, Array], name: str, gradient: Array | None) -> None:
    """A value that was read twice gets the sum of what comes back. Not in place: the two may be the same array."""
    if gradient is not None:
        gradients[name] = gradients[name] + gradient if name in gradients else gradient


def _converted(array: Array, dtype: Any, device: str | None) -> Array:
    array = array if dtype is None else array.astype(dtype)
    return array if device is None else to_device(array, device)
