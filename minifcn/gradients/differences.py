"""Numerical gradients: move a number up, move it down, and see by how much the outcome differs.

The outcome is sum(gy * y) for fixed random gy, so that its gradient is what a backward pass computes from gy:

    d outcome / d x[i]  =  sum(gy * (y(x + eps at i) - y(x - eps at i))) / (2 eps)  +  O(eps^2)

ReLU and max-pooling have kinks, where there is no derivative, and a probe that steps over one measures nonsense. Such a
probe is noticed by comparing *patterns* (which ReLUs are open, which pixels won) and thrown away, never tolerated.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .subjects import Subject, on_device

Array = np.ndarray
ATTEMPTS = 30  # directions to try before giving up
FINEST = 32  # a probe that crossed a kink is repeated with a smaller step, down to eps / FINEST
COARSER = (10, 100, 1000, 10000)  # times eps: steps for slopes so small that rounding drowns them


@dataclass
class Probes:
    """The elements of one tensor that were probed: places (n, ndim), slopes (n,), and how many crossed a kink."""

    places: Array
    slopes: Array
    kinks: int


class Prober:
    """Central differences of sum(gy * y) around the subject's present state, which every probe restores."""

    def __init__(self, subject: Subject, gys: Sequence[Any], eps: float) -> None:
        self.subject, self.gys, self.eps = subject, gys, eps
        subject.forward()
        self._base = copy.deepcopy(subject.patterns()) if subject.patterns else None

    def elements(self, name: str, samples: int | None, rng: np.random.Generator) -> Probes:
        """Slopes along every element of a tensor, in order; or along `samples` of them, drawn at random."""
        array = self.subject.tensors[name]
        order = np.arange(array.size) if samples is None else rng.permutation(array.size)
        probes = self._probes(array, order, samples, self.eps)
        if samples is None or len(probes.places):
            return probes
        closer = self._probes(array, order, samples, self.eps / FINEST)  # as every one crossed a kink
        return Probes(closer.places, closer.slopes, probes.kinks + closer.kinks)

    def _probes(self, array: Array, order: Array, samples: int | None, eps: float) -> Probes:
        """`elements` with one step, in the given order of elements."""
        places: list[Any] = []
        slopes: list[float] = []
        kinks = 0
        for number in order:
            if len(places) == (array.size if samples is None else samples):
                break
            place = np.unravel_index(number, array.shape)
            slope = self._slope([(array, place, 1.0)], eps)
            if slope is None and samples is None:  # this very element is wanted: look closer
                slope = self._slope([(array, place, 1.0)], eps / FINEST)
            if slope is None:
                kinks += 1
            else:
                places.append(place)
                slopes.append(slope)
        return Probes(np.array(places, int).reshape(-1, array.ndim), np.array(slopes, float), kinks)

    def refine(self, name: str, probes: Probes, wanted: Array, allowed: float) -> None:
        """Probe again, with larger steps, where a slope is further than `allowed` from the one `wanted` (n,).

        Rounding leaves noise of about 1e-16 |y| / eps in every slope, too much for a gradient that is millions of
        times smaller than others, or zero. A right gradient is met at some step, a wrong one at none: then the first
        slope stays, and the rest of the tensor is not looked at any more.
        """
        array, errors = self.subject.tensors[name], np.abs(probes.slopes - wanted)
        for k in np.argsort(-errors):
            if not errors[k] > allowed:
                return
            for factor in COARSER:
                slope = self._slope([(array, tuple(probes.places[k]), 1.0)], factor * self.eps)
                if slope is not None and abs(slope - wanted[k]) <= allowed:
                    probes.slopes[k] = slope
                    break
            else:
                return

    def direction(self, rng: np.random.Generator) -> tuple[dict[str, Array], float | None, int]:
        """A random direction through all tensors at once, the slope along it, and how many were thrown away before."""
        for attempt in range(ATTEMPTS):
            along = {name: rng.standard_normal(array.shape) for name, array in self.subject.tensors.items()}
            moves = [(array, ..., on_device(along[name], array)) for name, array in self.subject.tensors.items()]
            slope = self._slope(moves, self.eps / min(2 ** attempt, FINEST))
            if slope is not None:
                return along, slope, attempt
        return along, None, ATTEMPTS

    def _slope(self, moves: list[tuple[Array, Any, Any]], eps: float) -> float | None:
        """The slope along `moves` (array, place, how far), or None if either probe crossed a kink."""
        saved = [array[place].copy() for array, place, _ in moves]
        outputs = []
        try:
            for sign in (1, -1):
                for (array, place, along), old in zip(moves, saved, strict=True):
                    array[place] = old + sign * eps * along
                # Copied, because an output may be a view of the very input that the next probe writes into.
                ys = self.subject.forward()
                outputs.append([None if gy is None else y.copy() for gy, y in zip(self.gys, ys, strict=True)])
                if self.subject.patterns and not same(self.subject.patterns(), self._base):
                    return None
        finally:
            for (array, place, _), old in zip(moves, saved, strict=True):
                array[place] = old
        # The outputs are subtracted one by one, before the sum: what the probe did not touch cancels exactly.
        with np.errstate(invalid="ignore"):
            return sum(
                float((gy * (up - down)).sum())
                for gy, up, down in zip(self.gys, *outputs, strict=True) if gy is not None
            ) / (2 * eps)


def same(a: Any, b: Any) -> bool:
    """Equality of arrays, however they are nested in tuples, lists and dictionaries."""
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return isinstance(b, (tuple, list)) and len(a) == len(b) and all(map(same, a, b))
    if getattr(a, "shape", None) != getattr(b, "shape", None):
        return False
    equal = a == b
    return bool(equal.all()) if hasattr(equal, "all") else bool(equal)
