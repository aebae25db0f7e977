"""Poles of a street scene: lamp posts and traffic lights, the thinnest things in it.

Every part that is labelled is a rectangle with whole corners, at least 7 pixels wide and high.
"""

import numpy as np

from .canvas import Canvas
from .view import POLE, View


def paint_pole(canvas: Canvas, rng: np.random.Generator, view: View, x: int, ground: int, top: int, width: int) -> None:
    """A shaft from row `top` to row `ground`, `width` columns wide from column `x` on, with a foot and a head."""
    u = max(1, round(view.unit))
    metal = np.array(((62, 70, 72), (48, 74, 66), (92, 96, 102), (72, 60, 58))[rng.integers(4)], np.float32)
    right = x + width
    canvas.rectangle(x, top, right, ground, metal, POLE)
    canvas.rectangle(x - u, ground - 8 * u, right + u, ground, metal * 0.85, POLE)
    bright = right - 3 if view.sun > 0 else x + 1
    canvas.rectangle(bright, top, bright + 2, ground, metal * 1.6, None)
    paint_head = (_paint_traffic_light, _paint_lantern, _paint_arm)[rng.choice(3, p=(0.35, 0.3, 0.35))]
    paint_head(canvas, rng, view, x, right, top, u)


def _paint_traffic_light(
    canvas: Canvas, rng: np.random.Generator, view: View, left: int, right: int, top: int, u: int
) -> None:
    """A dark box with red, amber and green, one of them on."""
    canvas.rectangle(left - 2 * u, top, right + 2 * u, top + 22 * u, (38, 40, 42), POLE)
    on = rng.integers(3)
    for k, color in enumerate(((240, 56, 44), (250, 190, 50), (60, 214, 110))):
        shown = np.array(color) * (1.0 if k == on else 0.35)
        canvas.ellipse((left + right) / 2, top + (4 + 7 * k) * u, 2.6 * u, 2.6 * u, shown, None)


def _paint_lantern(
    canvas: Canvas, rng: np.random.Generator, view: View, left: int, right: int, top: int, u: int
) -> None:
    """An old lantern: a cap, and glass that widens the shaft by a hand on either side."""
    canvas.rectangle(left - 3 * u, top + 2 * u, right + 3 * u, top + 14 * u, (60, 62, 66), POLE)
    canvas.rectangle(left, top - 1, right, top + 2 * u, (60, 62, 66), POLE)
    glow = (255, 232, 150) if view.mood.lit else (244, 238, 208)
    canvas.rectangle(left - 2 * u, top + 5 * u, right + 2 * u, top + 13 * u, glow, None)
    middle = (left + right) / 2
    canvas.rectangle(middle - u / 2, top + 5 * u, middle + u / 2, top + 13 * u, (90, 90, 92), None)
    _paint_glow(canvas, view, middle, top + 9 * u, u)


def _paint_arm(canvas: Canvas, rng: np.random.Generator, view: View, left: int, right: int, top: int, u: int) -> None:
    """A modern lamp that reaches over the road, lit from below."""
    inward = 1 if (left + right) / 2 < view.vanish_x else -1
    start, end = (left, right + 12 * u) if inward > 0 else (left - 12 * u, right)
    canvas.rectangle(start, top, end, top + 7 * u, (84, 88, 92), POLE)
    tip = right + 2 * u if inward > 0 else start + u
    glow = (255, 226, 140) if view.mood.lit else (250, 246, 226)
    canvas.rectangle(tip, top + 4 * u, tip + 9 * u, top + 7 * u, glow, None)
    _paint_glow(canvas, view, tip + 4.5 * u, top + 6 * u, u)


def _paint_glow(canvas: Canvas, view: View, x: float, y: float, u: int) -> None:
    if view.mood.lit:
        canvas.ellipse(x, y, 18 * u, 18 * u, (255, 226, 150), None, soft=32 * u)
