"""What stands where in a street scene, decided before anything is painted.

Poles are the class that is hardest to see, so they come first, and nothing may hide a part of one: a car or a tree that
would is moved. Everything else may overlap, and the painter goes from far to near.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .canvas import Canvas
from .objects import paint_car, paint_tree
from .poles import paint_pole
from .view import View

POLE_WIDTH = 8  # pixels, at least
_ATTEMPTS = 8


class Thing(NamedTuple):
    """Something to paint, how far away it is, and the columns of the picture that it takes."""

    z: float
    left: float
    right: float
    paint: Callable[[Canvas, np.random.Generator], None]


def place_things(view: View, rng: np.random.Generator) -> list[Thing]:
    """One or two poles, one to three cars, up to four trees: from far to near."""
    poles = list(_poles(view, rng))
    cars: list[Thing] = []
    for _ in range(rng.integers(1, 4)):
        cars += _first_fit(partial(_car, view, rng), poles, cars)
    trees: list[Thing] = []
    for side in (0, 0, 1, 1):
        if rng.random() < 0.6:
            trees += _first_fit(partial(_tree, view, rng, side), poles, ())
    return sorted(poles + cars + trees, key=lambda thing: -thing.z)


def _first_fit(propose: Callable[[], Thing], poles: Sequence[Thing], apart: Sequence[Thing]) -> list[Thing]:
    """The first proposal, of a few, that hides no pole and stands off from the things in `apart`; or nothing."""
    for _ in range(_ATTEMPTS):
        thing = propose()
        hides = any(thing.z < pole.z and _overlap(thing, pole) for pole in poles)
        crowds = any(abs(thing.z - other.z) < 5.5 and _overlap(thing, other) for other in apart)
        if not hides and not crowds:
            return [thing]
    return []


def _overlap(a: Thing, b: Thing) -> bool:
    return a.left < b.right + 2 and b.left < a.right + 2


def _poles(view: View, rng: np.random.Generator) -> Iterator[Thing]:
    """A pole on one side of the street, usually on both, on the paving just beyond the kerb."""
    first = int(rng.integers(2))
    for side in (first, 1 - first):
        if side != first and rng.random() > 0.7:
            continue
        X = view.road[side] + (0.55 if side else -0.55)
        room = (view.w - view.vanish_x if side else view.vanish_x) - 9 * view.unit  # pixels to the frame
        nearest = max(7.0, view.focal * abs(X) / room)
        z = nearest * rng.uniform(1.0, 1.6)
        width = max(POLE_WIDTH, round(view.unit * min(11, 100 / z)))
        x, ground = view.project(X, 0, z)
        top = max(1, round(view.project(X, rng.uniform(4.6, 6.2), z)[1]))
        left = min(max(round(x - width / 2), 1), view.w - width - 1)
        reach = 9 * max(1, round(view.unit))
        paint = partial(paint_pole, view=view, x=left, ground=round(ground), top=top, width=width)
        yield Thing(z, left - reach, left + width + reach, paint)


def _car(view: View, rng: np.random.Generator) -> Thing:
    """A car in its lane, or parked at the kerb."""
    side = int(rng.integers(2))
    kerb, middle = view.road[side], sum(view.road) / 2
    X = (kerb + middle) / 2 + rng.uniform(-0.25, 0.25) if rng.random() < 0.65 else kerb - np.sign(kerb) * 1.1
    z = rng.uniform(5.5, 12)
    corners = [view.project(X + dx, 0, depth)[0] for dx in (-0.95, 0.95) for depth in (z, z + 4)]
    return Thing(z, min(corners), max(corners), partial(paint_car, view=view, X=X, z=z))


def _tree(view: View, rng: np.random.Generator, side: int) -> Thing:
    """A tree on the paving, between the kerb and the house fronts."""
    sign = 1 if side else -1
    X = sign * rng.uniform(abs(view.road[side]) + 1.0, abs(view.walls[side]) - 0.3)
    z = rng.uniform(7, 15)
    x, _ = view.project(X, 0, z)
    radius = 2.2 * view.focal / z
    return Thing(z, x - radius, x + radius, partial(paint_tree, view=view, X=X, z=z))
