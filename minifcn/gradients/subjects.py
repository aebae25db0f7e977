"""What a gradient check can be pointed at, brought into one shape: a layer, or a function with its backward."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels import array_module
from ..layers.base import Parameter

Array = np.ndarray
Patterns = Callable[[], Any] | None


class Subject:
    """Something with a gradient, and how to run it.

    Attributes:
        name: for messages.
        tensors: name -> live float64 array; what is written into it, the next forward sees.
        accumulating: names of the tensors whose gradients add up over several backward passes.
        patterns: see `check_gradients`, or None.
    """

    def __init__(self, name: str, xs: Sequence[Any], names: Sequence[str], patterns: Patterns) -> None:
        if len(names) != len(xs):
            raise ValueError(f"check_gradients: expected {len(xs)} names, one for each input, got {len(names)}. "
                             f"Name the inputs that are not differentiated as well.")
        self.name, self.patterns = name, patterns
        self.xs = [x.copy() if _is_float(x) else x for x in xs]  # copies: probes write into them
        self.inputs = {name: x for name, x in zip(names, self.xs, strict=True) if _is_float(x)}
        self.tensors: dict[str, Array] = dict(self.inputs)
        self.accumulating: tuple[str, ...] = ()

    def forward(self) -> tuple[Any, ...]:
        """The outputs; some may be no floats."""
        raise NotImplementedError

    def gradients(self, gys: Sequence[Any], again: bool = False) -> dict[str, Any]:
        """Name -> gradient or None, given one gy (or None) for each output; with `again`, on top of the last ones."""
        raise NotImplementedError

    def restore(self) -> None:
        """Leave everything as it was found."""

    def _by_name(self, result: Any) -> dict[str, Any]:
        """What backward returned, as name -> gradient. It may skip the inputs that are not differentiated."""
        gradients = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(gradients) == len(self.xs):
            gradients = [g for g, x in zip(gradients, self.xs, strict=True) if _is_float(x)]
        if len(gradients) != len(self.inputs):
            raise ValueError(f"check_gradients: expected backward of {self.name} to return {len(self.xs)} gradients, "
                             f"one for each input, got {len(gradients)}. Return None where an input has none.")
        return dict(zip(self.inputs, gradients, strict=True))


class LayerSubject(Subject):
    """An object with forward(*xs) and backward(*gys), and perhaps parameters(), buffers(), reseed() or rng."""

    def __init__(self, layer: Any, xs: Sequence[Any], names: Sequence[str], patterns: Patterns, seed: int) -> None:
        super().__init__(repr(layer) if hasattr(layer, "parameters") else type(layer).__name__, xs, names, patterns)
        self._layer, self._seed = layer, seed
        self._parameters = {name: p for name, p in parameters_of(layer).items() if getattr(p, "trains", True)}
        self.accumulating = tuple(self._parameters)
        twice = self.inputs.keys() & self._parameters.keys()
        if twice:
            raise ValueError(f"check_gradients: expected names that no parameter has, got {', '.join(sorted(twice))}. "
                             f"Name the inputs differently.")
        self.tensors |= {name: p.data for name, p in self._parameters.items()}
        self._grads = {name: p.grad for name, p in self._parameters.items()}
        self._buffers = {name: array.copy() for name, array in self._live_buffers().items()}
        self._rng = getattr(layer, "rng", None)
        self._records = "record" in inspect.signature(layer.forward).parameters

    def forward(self) -> tuple[Any, ...]:
        return _as_tuple(self._run(record=False))

    def gradients(self, gys: Sequence[Any], again: bool = False) -> dict[str, Any]:
        if not again:
            for parameter in self._parameters.values():
                parameter.grad = None
        self._run(record=True)
        inputs = self._by_name(self._layer.backward(*gys))
        return inputs | {name: p.grad for name, p in self._parameters.items()}

    def restore(self) -> None:
        self._restore_buffers()
        for name, parameter in self._parameters.items():
            parameter.grad = self._grads[name]
        if self._rng is not None:
            self._layer.rng = self._rng

    def _run(self, record: bool) -> Any:
        """One forward from the same state each time: the same running statistics and the same random numbers."""
        self._restore_buffers()
        if hasattr(self._layer, "reseed"):
            self._layer.reseed(np.random.SeedSequence(self._seed))
        elif self._rng is not None:
            self._layer.rng = np.random.default_rng(self._seed)
        return self._layer.forward(*self.xs, **({"record": record} if self._records else {}))

    def _live_buffers(self) -> Mapping[str, Array]:
        return self._layer.buffers() if hasattr(self._layer, "buffers") else {}

    def _restore_buffers(self) -> None:
        for name, array in self._live_buffers().items():
            array[...] = self._buffers[name]


class FunctionSubject(Subject):
    """A function of xs that returns y and a function backward(*gys)."""

    def __init__(
        self, function: Callable[..., Any], xs: Sequence[Any], names: Sequence[str], patterns: Patterns,
    ) -> None:
        super().__init__(getattr(function, "__name__", "function"), xs, names, patterns)
        self._function = function

    def forward(self) -> tuple[Any, ...]:
        return _as_tuple(self._apply()[0])

    def gradients(self, gys: Sequence[Any], again: bool = False) -> dict[str, Any]:
        _, backward = self._apply()
        return self._by_name(backward(*gys))

    def _apply(self) -> tuple[Any, Callable[..., Any]]:
        result = self._function(*self.xs)
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            raise TypeError(f"check_gradients: expected {self.name} to be a layer, or a function that returns y and "
                            f"its backward, got a function without. For a pair of functions use check_op_gradients.")
        return result


def parameters_of(layer: Any) -> dict[str, Any]:
    """Name -> Parameter: what the layer says, or else those among its attributes."""
    if hasattr(layer, "parameters"):
        parameters = layer.parameters()
        if not isinstance(parameters, Mapping):
            raise TypeError(f"check_gradients: expected parameters() to return a dictionary of names and Parameters, "
                            f"got {type(parameters).__name__}. Derive from minifcn.layers.Layer, which does.")
        return dict(parameters)
    return {name: value for name, value in vars(layer).items() if isinstance(value, Parameter)}


def is_float_output(y: Any) -> bool:
    """Whether an output gets a gradient: an array, or a number of NumPy's, of floats."""
    return getattr(getattr(y, "dtype", None), "kind", "") == "f"


def on_host(array: Any) -> Array:
    """An array of any device in NumPy."""
    return array.get() if hasattr(array, "__cuda_array_interface__") else np.asarray(array)


def on_device(values: Any, like: Any) -> Any:
    """A NumPy array on the device of `like`."""
    return array_module(like).asarray(values)


def _is_float(x: Any) -> bool:
    return hasattr(x, "copy") and is_float_output(x)


def _as_tuple(y: Any) -> tuple[Any, ...]:
    """Several outputs are a plain tuple or list; a named tuple (a pooling's record) is one output, without gradient."""
    return tuple(y) if type(y) in (tuple, list) else (y,)
