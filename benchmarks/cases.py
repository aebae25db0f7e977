"""What a row measures: one pass of one op in both libraries, on the same numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from .clock import Leg
from .inputs import MAIN_MEMORY, Place

EXACT = "float64"  # the key of a leg that computes the same in double precision, for the error


def has_peer() -> bool:
    """Whether PyTorch is installed. Without it only our own times are measured."""
    return find_spec("torch") is not None


class Dimensions:
    """The paper's sizes, or smaller ones for tests and for the slow `reference` loops; and where the arrays lie."""

    def __init__(self, batch: int = 1, scale: float = 1.0, place: Place = MAIN_MEMORY) -> None:
        self.batch, self.scale, self.place = batch, scale, place

    def channels(self, number: int) -> int:
        """Scaled, but the three channels of a picture stay three; even, so that two groups divide it."""
        return number if number <= 3 or self.scale == 1 else max(4, 2 * round(number * self.scale / 2))

    def size(self, number: int, least: int = 4) -> int:
        return number if self.scale == 1 else max(least, round(number * self.scale))


@dataclass
class Case:
    """Both sides of a row, made anew each time that they are asked for.

    Attributes:
        ours: makes our leg.
        peers: makers of PyTorch's legs by setting: "default", "channels_last", "fused", and EXACT for the error.
        flops: float operations of the direct algorithm for one call; 0 where memory is the limit instead.
        traffic: bytes that must be read and written at least; 0 where arithmetic is the limit.
        moved: the same where arithmetic is the limit on a CPU; a GPU computes faster, and may wait for memory there.
        compared: makers of the legs whose results are compared, where those that are timed draw random numbers.
    """

    ours: Callable[[], Leg]
    peers: dict[str, Callable[[], Leg]] = field(default_factory=dict)
    flops: float = 0.0
    traffic: float = 0.0
    moved: float = 0.0
    compared: dict[str, Callable[[], Leg]] = field(default_factory=dict)


def count_flops(case: Case) -> float:
    """Of a whole network: PyTorch counts those of its own convolutions while it runs them once."""
    if case.traffic or "default" not in case.peers:
        return 0.0
    from torch.utils.flop_counter import FlopCounterMode

    leg = case.peers["default"]()
    with FlopCounterMode(display=False) as counter:
        leg.run(leg.before(0))
    return float(counter.get_total_flops())


@dataclass
class Pass:
    """One op: forward, backward or both, on inputs that are handed out in turn.

    Attributes:
        ours: ours(*input, *parameters) -> (y, cache).
        backward: backward(gy, cache, needs) -> gradients.
        peer: the name of a function in peer_functions.py, called with the same arrays -> y. A name, so that PyTorch
            is imported only where it is measured.
        options: keywords of both functions.
        inputs: tuples of arrays; the first of each is the one that has a gradient.
        parameters: arrays that stay the same from call to call.
        gys: gradients of the result, handed out in turn.
        needs: whether the gradient of the first input, and of each parameter, is wanted.
        layouts: PyTorch's layouts to measure.
    """

    ours: Callable[..., tuple]
    backward: Callable[..., Any] | None
    peer: str
    inputs: Sequence[tuple[np.ndarray, ...]]
    parameters: tuple[np.ndarray, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    gys: Sequence[np.ndarray] = ()
    needs: tuple[bool, ...] = ()
    layouts: tuple[str, ...] = ("default", "channels_last")

    def case(self, phase: str, flops: float = 0.0, traffic: float = 0.0, moved: float = 0.0) -> Case:
        """The legs of a phase: "forward", "backward" (after a recorded forward) or "both" (a loss and its gradient)."""
        ours = {"forward": self._forward, "backward": self._backward, "both": self._both}[phase]
        peers = {}
        if has_peer():
            peers = {layout: self._peer(phase, layout) for layout in self.layouts}
            peers[EXACT] = self._peer(phase, "default", exact=True)
        return Case(ours, peers, flops, traffic, moved)

    def _input(self, call: int) -> tuple:
        return self.inputs[call % len(self.inputs)]

    def _forward(self) -> Leg:
        return Leg(lambda x: self.ours(*x, *self.parameters)[0], self._input)

    def _backward(self) -> Leg:
        assert self.backward is not None
        backward = self.backward

        def record(call: int) -> tuple:
            _, cache = self.ours(*self._input(call), *self.parameters)
            return self.gys[call % len(self.gys)], cache

        return Leg(lambda recorded: backward(*recorded, needs=self.needs), record)

    def _both(self) -> Leg:
        assert self.backward is not None
        backward = self.backward

        def run(x: tuple) -> tuple:
            loss, cache = self.ours(*x)
            return loss, backward(1.0, cache)

        return Leg(run, self._input)

    def _peer(self, phase: str, layout: str, exact: bool = False) -> Callable[[], Leg]:
        def make() -> Leg:
            import torch

            from . import peer_functions, peers

            named, options = getattr(peer_functions, self.peer), self.options
            function = (lambda *arrays: named(*arrays, **options)) if options else named
            dtype = torch.float64 if exact else None
            if phase == "forward":
                return peers.forward_leg(function, self.inputs, self.parameters, layout, dtype)
            if phase == "both":
                return peers.both_leg(function, self.inputs, layout, dtype)
            return peers.backward_leg(function, self.inputs, self.parameters, self.gys, self.needs, layout, dtype)

        return make
