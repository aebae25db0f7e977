"""Optimisers: how a gradient becomes a step. How large it is at which iteration: `minifcn.policies`.

    optimizer = SGD(net.parameters(), lr=1e-3)
    policy = Poly(lr=1e-3, power=0.9, max_iterations=1000)
    for iteration in range(1000):
        optimizer.zero_grad()
        ...                                       # forward, loss, backward: each Parameter gets its `grad`
        optimizer.step(policy(iteration))

A parameter's `lr_mult` and `decay_mult` multiply the learning rate and the weight decay for it alone, as in Caffe's
network files: there biases learn twice as fast and do not decay.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .kernels import array_module, kernels_for
from .layers.base import Array, Parameter
from .policies import Fixed, Poly, Step

__all__ = ["SGD", "Adam", "Fixed", "Optimizer", "Poly", "Step"]

Arrays = list[Any]
Rates = list[float]


class Optimizer:
    """What SGD and Adam share: the parameters, and some arrays of the same shapes that they remember from step to step.

    Subclasses name those arrays in `slots` and write `_update`. Make an optimiser when the network has its dtype and is
    on its device, because the arrays are made alike.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Mapping[str, Parameter], lr: float, weight_decay: float) -> None:
        who = type(self).__name__
        if not parameters:
            raise ValueError(f"{who}: expected at least one parameter, got none. Pass net.parameters().")
        _check(who, "lr", lr, "above 0", lr > 0)
        _check(who, "weight_decay", weight_decay, "of at least 0", weight_decay >= 0)
        self.parameters, self.lr, self.weight_decay = dict(parameters), float(lr), float(weight_decay)
        # Zeros that nobody has written to take no memory, so frozen parameters may have theirs too.
        self._memory = {
            f"{slot}.{name}": array_module(p.data).zeros(p.data.shape, p.data.dtype)
            for slot in self.slots for name, p in self.parameters.items()
        }

    def step(self, lr: float | None = None) -> None:
        """Move every parameter that trains (lr_mult not 0) and has a gradient; `lr` counts for this step only.

        Nothing has moved if it raises: ValueError for an lr below 0 or not finite, or for a gradient that does not fit
        its parameter; RuntimeError for parameters that are read-only.
        """
        who = f"{type(self).__name__}.step"
        lr = self.lr if lr is None else float(lr)
        _check(who, "lr", lr, "of at least 0", lr >= 0)  # the last iterations of a policy may come down to 0
        moving = {name: p for name, p in self.parameters.items() if p.trains and p.grad is not None}
        for name, p in moving.items():
            _check_ready(who, name, p)
            _check_alike(who, name, p, [self._memory[f"{slot}.{name}"] for slot in self.slots])
        self._begin_step()
        for dtype in dict.fromkeys(p.data.dtype for p in moving.values()):  # of nearly every network there is but one
            alike = {name: p for name, p in moving.items() if p.data.dtype == dtype}
            memory = [[self._memory[f"{slot}.{name}"] for name in alike] for slot in self.slots]
            self._update([p.data for p in alike.values()], [p.grad for p in alike.values()], memory,
                         [lr * float(p.lr_mult) for p in alike.values()],
                         [self.weight_decay * float(p.decay_mult) for p in alike.values()])

    def zero_grad(self) -> None:
        """Forget all gradients, before the next backward adds to them."""
        for p in self.parameters.values():
            p.grad = None

    def state(self) -> dict[str, Array]:
        """Copies of all that the next step depends on beside the parameters: "slot.parameter" -> array."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on, bit for bit, where `state()` was taken.

        Raises ValueError for other names, shapes or dtypes than this optimiser's, and then nothing has changed.
        """
        who, own = f"{type(self).__name__}.load", self._arrays()
        odd = sorted(own.keys() ^ state.keys())
        if odd:
            place = "missing" if odd[0] in own else "unknown here"
            raise ValueError(f"{who}: expected the {len(own)} arrays of this optimiser, got {len(state)}; {odd[0]!r} "
                             f"is {place} ({len(odd)} such). Load it into the optimiser and network that saved it.")
        for name, array in own.items():
            if (state[name].shape, state[name].dtype) != (array.shape, array.dtype):
                raise ValueError(f"{who}: expected {name!r} as {array.dtype} of shape {array.shape}, got "
                                 f"{state[name].dtype} of shape {state[name].shape}. Load it into the network that "
                                 f"saved it.")
        self._restore(state)

    def _arrays(self) -> dict[str, Array]:
        """What `state` copies and `load` expects."""
        return self._memory

    def _begin_step(self) -> None:
        """Called once a step, before the parameters."""

    def _update(self, parameters: Arrays, gradients: Arrays, memory: list[Arrays], lrs: Rates, decays: Rates) -> None:
        """Change `parameters` and `memory` in place: all of one dtype, `memory` with a list for each of the slots.

        All in one call, because a call takes longer than to change the few numbers of most parameters.
        """
        raise NotImplementedError(f"{type(self).__name__}: write _update(self, parameters, gradients, memory, lrs, "
                                  f"decays)")

    def _restore(self, state: Mapping[str, Array]) -> None:
        for name, array in self._memory.items():
            array[...] = array_module(array).asarray(state[name])  # a checkpoint's arrays are NumPy's


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, in Caffe's form, which all published networks here were trained with:

        v = momentum * v + lr * (gradient + weight_decay * w);    w = w - v

    PyTorch keeps the learning rate outside (v = momentum * v + gradient; w = w - lr * v). The two make the same steps
    as long as lr stays the same. When lr drops, what is left in v here still moves at the old rate for some steps.

    Args:
        parameters: name -> Parameter, from `net.parameters()`.
        lr: learning rate, above 0.
        momentum: share of the last step that goes into the next, from 0 to below 1.
        weight_decay: pulls every number towards 0, at least 0; the gradient of weight_decay/2 * |w|^2.

    Raises ValueError for settings out of range.
    """

    slots = ("velocity",)

    def __init__(
        self, parameters: Mapping[str, Parameter], lr: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        _check("SGD", "momentum", momentum, "from 0 to below 1", 0 <= momentum < 1)
        self.momentum = float(momentum)

    def _update(self, parameters: Arrays, gradients: Arrays, memory: list[Arrays], lrs: Rates, decays: Rates) -> None:
        kernels_for(parameters[0]).sgd_update(parameters, gradients, *memory, lrs, self.momentum, decays)


class Adam(Optimizer):
    """Adam (Kingma, Ba 2015, algorithm 1): each number's step is scaled by the usual size of its own gradient.

    Weight decay is added to the gradient, as in the paper's time and in torch.optim.Adam (not AdamW). Steps are counted
    once for all parameters, so one that gets its first gradient late starts with larger steps than in PyTorch.

    Args:
        parameters: name -> Parameter, from `net.parameters()`.
        lr: learning rate, above 0; about the largest change of any number in one step.
        betas: how much of the running means of the gradient and of its square is kept, each from 0 to below 1.
        eps: added to the divisor, above 0.
        weight_decay: at least 0.

    Raises ValueError for settings out of range.
    """

    slots = ("first", "second")

    def __init__(
        self, parameters: Mapping[str, Parameter], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        _check("Adam", "betas", betas, "from 0 to below 1", all(0 <= beta < 1 for beta in betas))
        _check("Adam", "eps", eps, "above 0", eps > 0)
        self.betas, self.eps = (float(betas[0]), float(betas[1])), float(eps)
        self.steps = 0  # made so far

    def _arrays(self) -> dict[str, Array]:
        return super()._arrays() | {"step": np.array([self.steps], np.int64)}

    def _begin_step(self) -> None:
        self.steps += 1

    def _update(self, parameters: Arrays, gradients: Arrays, memory: list[Arrays], lrs: Rates, decays: Rates) -> None:
        kernels_for(parameters[0]).adam_update(
            parameters, gradients, *memory, lrs, *self.betas, self.eps, decays, self.steps)

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.steps = int(state["step"][0])


def _check(who: str, name: str, value: object, wanted: str, fits: bool) -> None:
    """`fits`, and all numbers are finite. Raises ValueError otherwise."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    if not fits or not all(math.isfinite(v) for v in values):
        raise ValueError(f"{who}: expected {name} {wanted}, got {value}. Choose another value.")


def _check_ready(who: str, name: str, p: Parameter) -> None:
    if (p.grad.shape, p.grad.dtype) != (p.data.shape, p.data.dtype):  # type: ignore[union-attr]
        raise ValueError(f"{who}: expected the gradient of {name!r} as {p.data.dtype} of shape {p.data.shape}, got "
                         f"{p.grad.dtype} of shape {p.grad.shape}. "  # type: ignore[union-attr]
                         f"Look at the backward of its layer.")
    if p.prepared is not None or not getattr(p.data.flags, "writeable", True):  # CuPy's arrays have no such flag
        raise RuntimeError(f"{who}: expected parameters that can be changed, got {name!r}, which is read-only. "
                           f"Call unfreeze() on the network before training.")


def _check_alike(who: str, name: str, p: Parameter, memory: list[Array]) -> None:
    if any(array.dtype != p.data.dtype for array in memory):
        raise ValueError(f"{who}: expected {name!r} as {memory[0].dtype}, as it was when the optimiser was made, got "
                         f"{p.data.dtype}. Make the optimiser after the network is converted.")
