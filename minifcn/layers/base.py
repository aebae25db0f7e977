"""What every layer is: a thin, stateful shell around one op, and the parameters that the shell owns.

A layer remembers what its op's backward needs on a *stack*, not in a single slot, so that the same layer can be applied
several times and backed out in reverse:

    y1 = layer.forward(x1, record=True)
    y2 = layer.forward(x2, record=True)
    gx2 = layer.backward(gy2)
    gx1 = layer.backward(gy1)
"""

import inspect
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..ops.check import Array

Affine = tuple[Fraction, Fraction]  # (scale, shift): input coordinate -> output coordinate along one axis
IDENTITY: Affine = (Fraction(1), Fraction(0))


class Parameter:
    """A learned array, its gradient, and Caffe's two multipliers.

    Attributes:
        data: the numbers.
        grad: the sum of the gradients since it was last set to None; None before the first.
        lr_mult: times the learning rate. 0 means: not trained, and its gradient is not computed.
        decay_mult: times the weight decay.
        prepared: while the numbers are read-only, the forms of them that layers prepared for fast kernels; else None.
    """

    def __init__(self, data: Array, lr_mult: float = 1.0, decay_mult: float = 1.0) -> None:
        self.data = data
        self.grad: Array | None = None
        self.lr_mult = lr_mult
        self.decay_mult = decay_mult
        self.prepared: dict[Any, Any] | None = None
        self._locked: Array | None = None  # what `freeze` made read-only and `unfreeze` makes writeable again

    @property
    def trains(self) -> bool:
        return self.lr_mult != 0

    def replace(self, data: Array) -> None:
        """Other numbers, of another dtype or device perhaps: the gradient is dropped, and what was prepared."""
        frozen = self.prepared is not None
        self.unfreeze()
        self.data, self.grad = data, None
        if frozen:
            self.freeze()

    def freeze(self) -> None:
        """Make the numbers read-only, so that what is prepared from them cannot go stale. See `Graph.freeze`."""
        if self.prepared is None:
            self.prepared = {}
            if isinstance(self.data, np.ndarray) and self.data.flags.writeable:  # CuPy's arrays have no such flag
                self._locked = self.data
                self._locked.flags.writeable = False

    def unfreeze(self) -> None:
        """Undo `freeze`, and drop what was prepared."""
        self.prepared = None
        if self._locked is not None:
            self._locked.flags.writeable = True
            self._locked = None

    def accumulate(self, gradient: Array | None) -> None:
        """Adopt the first gradient, add every later one to it. None is no contribution."""
        if gradient is None:
            return
        if self.grad is None:
            self.grad = gradient
        else:
            self.grad += gradient

    def __repr__(self) -> str:
        plain = (self.lr_mult, self.decay_mult) == (1, 1)
        extra = "" if plain else f", lr x{self.lr_mult:g}, decay x{self.decay_mult:g}"
        return f"Parameter({'x'.join(map(str, self.data.shape))} {self.data.dtype}{extra})"


class Layer:
    """A function with a handwritten derivative. Subclasses write `_forward` and `_backward`.

    Attributes:
        training: what dropout and batch norm go by; also the default of `record`.
    """

    shown: tuple[str, ...] = ()  # attributes that repr prints, named as in the constructor
    buffer_names: tuple[str, ...] = ()  # arrays that are saved with the network but not learned
    extra_outputs: tuple[str, ...] = ()  # names of the outputs behind the first; a Graph calls them "node.name"

    def __init__(self) -> None:
        self.training = True
        self._caches: list[Any] = []

    # What a subclass writes.

    def _forward(self, *xs: Any) -> tuple[Any, Any]:
        """The output and the cache that `_backward` wants."""
        raise NotImplementedError(f"{type(self).__name__}: write _forward(self, *xs) -> (y, cache)")

    def _backward(self, cache: Any, needs: tuple[bool, ...] | None, *gys: Any) -> Any:
        """The gradient of each input (bare if there is one); add the parameters' with `Parameter.accumulate`."""
        raise NotImplementedError(f"{type(self).__name__}: write _backward(self, cache, needs, *gys) -> gx")

    def coordinate_map(self) -> tuple[Affine, Affine]:
        """Where input row and column r land in the output, (scale, shift) for each axis: scale*r + shift."""
        return IDENTITY, IDENTITY

    # What everybody calls.

    def forward(self, *xs: Any, record: bool | None = None) -> Any:
        """Apply the layer. With `record` (default: `training`) the next `backward` belongs to this application."""
        y, cache = self._forward(*xs)
        if self.training if record is None else record:
            self._caches.append(cache)
        return y

    __call__ = forward

    def backward(self, *gys: Any, needs: tuple[bool, ...] | None = None) -> Any:
        """Back out the last recorded forward that is still open: gradients of its inputs, bare if there is one.

        Adds the gradients of the parameters to their `grad`. `needs` has one bool for each input; None means all.
        Raises RuntimeError if no recorded forward is left.
        """
        return self._backward(self._last_cache(), needs, *gys)

    def back_out(self, gys: list[Any], needs: tuple[bool, ...] | None) -> Any:
        """`backward` for a Graph, which gives its gradients away: who takes one out of the list may be done with it.

        An argument is kept alive by the caller until the call is over; for a layer that needs another map of the same
        size after it has used gy, as a fused one does, that would be one map more than it needs.
        """
        return self.backward(*gys, needs=needs)

    def discard_last(self) -> None:
        """Forget the last recorded forward, for which nobody will ask the gradient."""
        self._last_cache()

    def discard(self) -> None:
        """Forget all recorded forwards, after an interrupt for example."""
        self._caches.clear()

    def parameters(self) -> dict[str, Parameter]:
        """Name -> Parameter, in order of definition."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}

    def buffers(self) -> dict[str, Array]:
        """Name -> array that belongs to the layer's state but is not learned."""
        return {name: getattr(self, name) for name in self.buffer_names}

    def set_buffer(self, name: str, array: Array) -> None:
        """Put another array in the place of a buffer."""
        setattr(self, name, array)

    def train(self, mode: bool = True) -> "Layer":
        """Training mode (or, with False, evaluation mode); returns the layer."""
        self.training = mode
        return self

    def eval(self) -> "Layer":
        """Evaluation mode: dropout passes everything, batch norm uses its running statistics."""
        return self.train(False)

    def reseed(self, seeds: np.random.SeedSequence) -> None:
        """Start the layer's random numbers, if it has any, anew from a child of `seeds`."""
        if hasattr(self, "rng"):
            self.rng = np.random.default_rng(seeds.spawn(1)[0])

    def _last_cache(self) -> Any:
        if not self._caches:
            raise RuntimeError(f"{type(self).__name__}.backward: expected a recorded forward that is still open, "
                               f"got none. Call forward(..., record=True) first; each forward allows one backward.")
        return self._caches.pop()

    def __repr__(self) -> str:
        """The constructor's call, without what is as by default."""
        defaults = inspect.signature(type(self)).parameters
        shown = {name: _plain(getattr(self, name)) for name in self.shown}
        given = [f"{name}={value!r}" for name, value in shown.items() if value != _plain(defaults[name].default)]
        return f"{type(self).__name__}({', '.join(given)})"


def _plain(value: Any) -> Any:
    """(3, 3) as 3: the way it was probably written."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def weighted_backward(
    layer: Any, op_backward: Callable[..., tuple], cache: tuple, needs: tuple[bool, ...] | None, gy: Array
) -> Array | None:
    """Back out an op of (x, weight, bias) for a layer with these two parameters (bias may be None); returns gx.

    Gradients of parameters that do not train are not computed.
    """
    bias_trains = layer.bias is not None and layer.bias.trains
    gx, gweight, gbias = op_backward(gy, cache, needs=(first_needed(needs), layer.weight.trains, bias_trains))
    layer.weight.accumulate(gweight)
    if layer.bias is not None:
        layer.bias.accumulate(gbias)
    return gx


def first_needed(needs: tuple[bool, ...] | None) -> bool:
    """Whether a layer of one input owes its gradient."""
    return needs is None or needs[0]
