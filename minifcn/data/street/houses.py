"""House fronts and hedges along the street: columns of the picture that look up a house each.

The fronts stand in two planes, X = walls[0] and X = walls[1]. Perspective then gives each column of the picture one
depth, z = focal * |X| / |x - vanish_x|, and so one house; going up the column only changes the height. In a gap
between two houses the column shows the front of the farther one, which faces the camera.
"""

from typing import NamedTuple

import numpy as np

from ..dataset import Array
from .canvas import Canvas, phase, planes
from .view import BUILDING, TREE, View

_COLORS = np.array(
    [(188, 104, 82), (214, 178, 128), (172, 138, 112), (206, 192, 168), (146, 84, 76), (122, 134, 152), (222, 200, 146),
     (164, 118, 96), (132, 150, 138), (198, 138, 120)], dtype=np.float32,
)  # fmt: skip
_GREENS = np.array([(66, 120, 54), (84, 134, 56), (52, 104, 58)], dtype=np.float32)
_STOREY, _BAY = 3.0, 2.6  # metres between windows, up and along
_MOST = 20  # houses on a side, at most; house numbers are 0.. on the left, 20.. on the right, 40 at the end, -1 none


class Columns(NamedTuple):
    """What each of the w columns of the picture shows; all arrays are (w,)."""

    z: Array  # depth
    along: Array  # metres along the front
    house: Array  # number of the house, -1 where there is none
    facing: Array  # bool: the front faces the camera, rather than the street


def paint_houses(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """Two rows of houses with gaps, often one house across the far end, and now and then a hedge for a row."""
    columns = _line_up(view, rng)
    house = columns.house
    hedge = np.zeros(2 * _MOST + 1, dtype=bool)
    storeys = np.zeros(2 * _MOST + 1)
    for side in (0, 1):
        row = slice(side * _MOST, (side + 1) * _MOST)
        hedge[row] = rng.random(_MOST) < (0.85 if rng.random() < 0.2 else 0.1)
        storeys[row] = rng.integers(1, 4, size=_MOST) + rng.integers(0, 2)
    storeys[-1] = rng.integers(2, 5)
    tops = np.where(hedge, rng.uniform(1.9, 3.2, size=hedge.shape), storeys * _STOREY + 1.2).astype(np.float32)
    paints = np.where(hedge[:, None], _GREENS[rng.integers(3)], _COLORS[rng.integers(len(_COLORS), size=hedge.shape)])
    paints *= rng.uniform(0.85, 1.1, size=(len(hedge), 1)).astype(np.float32)

    y = np.arange(view.h, dtype=np.float32)[:, None] + 0.5 - view.horizon  # (h, 1)
    up = view.height - y * (columns.z / view.focal)  # (h, w): metres above the ground
    top = tops[house]  # (w,)
    top = np.where(hedge[house], top + 0.15 * np.sin(4 * columns.along), top)  # hedges are not cut straight
    solid = (up >= 0) & (up <= top) & (house >= 0)

    image = (paints[house].T * _side_light(view, columns))[:, None] * _relief(up, top)  # (3, h, w)
    _paint_openings(image, view, columns, up, top, hedge[house])
    haze = np.clip((columns.z - 12) / 110, 0, 0.55)  # (w,)
    image += haze * (planes(view.mood.horizon) - image)
    np.copyto(canvas.image, image, where=solid)
    canvas.label[solid] = np.broadcast_to(np.where(hedge[house], TREE, BUILDING), solid.shape)[solid]


def _line_up(view: View, rng: np.random.Generator) -> Columns:
    """Puts the houses of each side one behind the other, and finds the one that each column shows."""
    x = np.arange(view.w, dtype=np.float32) + 0.5 - view.vanish_x  # (w,)
    z, along = np.empty_like(x), np.empty_like(x)
    house, facing = np.full(view.w, -1), np.zeros(view.w, dtype=bool)
    end = rng.uniform(30, 46)
    for side, here in enumerate((x < 0, x >= 0)):
        distance = np.maximum(np.abs(x[here]), 0.25)  # pixels from the middle
        depth = view.focal * abs(view.walls[side]) / distance
        starts, ends = [], []
        at = rng.uniform(3, 9)
        while at < end:  # far houses are longer, or they would be slivers in the picture
            starts.append(at)
            ends.append(at * rng.uniform(1.35, 1.75))
            at = ends[-1] * (rng.uniform(1.1, 1.4) if rng.random() < 0.4 else 1)
        number = np.searchsorted(np.array(ends, np.float32), depth)  # the first house that ends behind this depth ...
        present = number < len(ends)
        start = np.array(starts, np.float32)[np.minimum(number, len(ends) - 1)]
        gap = present & (depth < start)  # ... and if it begins behind it too, this is a gap, and one sees its front
        depth = np.where(gap, start, depth)
        z[here], facing[here], house[here] = depth, gap, np.where(present, number + _MOST * side, -1)
        along[here] = np.where(gap, distance * depth / view.focal, depth)
    if rng.random() < 0.6:  # a house across the end of the street
        far = house < 0
        z[far], along[far], facing[far], house[far] = end, x[far] * end / view.focal, True, 2 * _MOST
    return Columns(z, along, house, facing)


def _side_light(view: View, columns: Columns) -> Array:
    """(w,): fronts on the sun's side lie in the shade."""
    on_the_left = columns.house < _MOST
    shaded = on_the_left == (view.sun < 0)
    return np.where(columns.facing, 0.96, np.where(shaded, 0.8, 1.02)).astype(np.float32)


def _relief(up: Array, top: Array) -> Array:
    """(h, w): a light cornice along the roof, and less light towards the ground."""
    return np.where(up > top - 0.45, np.float32(1.12), np.float32(0.9) + np.float32(0.025) * np.clip(up, 0, 4))


def _paint_openings(image: Array, view: View, columns: Columns, up: Array, top: Array, hedge: Array) -> None:
    """Windows in the upper storeys, doors and shops in the lowest; too small to see, they melt into the wall."""
    z, along, house, facing = columns
    metre = np.where(facing, view.focal / z, view.focal * abs(view.walls[1]) / z**2)  # pixels, along the front
    seen = np.where(hedge, 0, np.clip(1.2 * metre - 0.7, 0, 0.9))  # (w,)
    storey, bay = phase(up, _STOREY), phase(along, _BAY)
    window = (storey > 0.9) & (storey < 2.4) & (up > _STOREY) & (up < top - 1) & (bay > 0.7) & (bay < 1.9)
    glass = planes((92, 112, 136))
    if view.mood.lit:  # a hash of storey, bay and house says who is at home
        code = np.floor(up / _STOREY) * 13 + np.floor(along / _BAY) * 7 + house * 5
        home = phase(code * code, 11) < 5.5
        glass = np.where(home, planes((255, 214, 130)), planes((62, 68, 96)))
    image += window * seen.astype(np.float32) * (glass - image)

    shop = (up > 0.3) & (up < 2.5) & (bay > 0.35) & (bay < 2.3) & (house % 3 != 0) & ~hedge & (1.2 * metre > 1.5)
    image *= np.where(shop, np.float32(0.64), np.float32(1))
