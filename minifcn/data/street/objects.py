"""Cars and trees of a street scene, each painted from a few simple shapes."""

import numpy as np

from ..dataset import Array
from .canvas import Canvas, Color, Point, planes
from .view import CAR, TREE, View

_CAR_COLORS = np.array(
    [(196, 38, 44), (30, 74, 150), (232, 232, 230), (40, 42, 48), (236, 176, 40), (70, 140, 150), (150, 154, 160),
     (222, 104, 40)], dtype=np.float32,
)  # fmt: skip
_GREENS = np.array([(58, 122, 48), (82, 140, 52), (44, 104, 62), (116, 146, 52), (190, 128, 44)], dtype=np.float32)
_HOW_OFTEN = (0.3, 0.25, 0.25, 0.13, 0.07)  # autumn is rare
_GLASS = np.array((52, 66, 84), dtype=np.float32)
Corner = tuple[float, float, float]  # of a car: metres across from its middle, up, and behind its near end
_HALF, _LENGTH, _WAIST = 0.92, 4.0, 0.95  # a car in metres: half its width, its length, the height of its bonnet


def paint_shadow(canvas: Canvas, view: View, X: float, z: float, radius: float) -> None:
    """A soft dark spot on the ground."""
    x, y = view.project(X, 0, z)
    rx = radius * view.focal / z
    rows, columns, py, px = canvas.box(x - rx, y - rx / 3, x + rx, y + rx / 3)
    fall = 1 - ((px - x) / rx) ** 2 - (3 * (py - y) / rx) ** 2
    canvas.blend(rows, columns, np.clip(fall, 0, 0.5), (30, 30, 38), None)


def paint_car(canvas: Canvas, rng: np.random.Generator, view: View, X: float, z: float) -> None:
    """A car seen from behind (right lane) or from the front (left lane), a saloon or a van; its near end is at z.

    Painted from back to front, so that near parts cover far ones: shadow, side, bonnet, cabin, near face.
    """
    away = X > 0
    color = _CAR_COLORS[rng.integers(len(_CAR_COLORS))] * rng.uniform(0.85, 1.05)
    top, lean = (1.5, 0.55) if rng.random() < 0.75 else (1.95, 0.25)  # height, and how far the windscreens lean
    near, far = (0.3, 3.0) if away else (1.1, 3.7)  # where the cabin begins and ends
    inner = 0.8 * _HALF  # half the width of the roof

    def quad(*corners: Corner) -> list[Point]:
        return [view.project(X + across, up, z + behind) for across, up, behind in corners]

    def slab(front: Corner, back: Corner) -> list[Point]:
        """A surface across the car, by the right ends of its front edge and of its back edge."""
        return quad((-front[0], *front[1:]), front, back, (-back[0], *back[1:]))

    paint_shadow(canvas, view, X, z + 0.8, 1.7)
    if abs(X) > _HALF:  # the side towards the middle of the street shows
        side = -_HALF if X > 0 else _HALF
        _paint_side(canvas, view, X, z, side, color)
        roof = side * inner / _HALF
        glass = quad((side, _WAIST, near), (side, _WAIST, far), (roof, top, far - lean), (roof, top, near + lean))
        canvas.polygon(glass, _GLASS, CAR)
    canvas.polygon(slab((_HALF, _WAIST, 0), (_HALF, _WAIST, _LENGTH)), color, CAR)
    canvas.polygon(slab((inner, top, near + lean), (inner, top, far - lean)), color * 1.12, CAR)
    canvas.polygon(slab((0.94 * _HALF, _WAIST, near), (inner, top, near + lean)), color * 0.9, CAR)
    screen = slab((0.8 * _HALF, _WAIST + 0.06, near + 0.06), (0.7 * _HALF, top - 0.1, near + 0.85 * lean))
    canvas.polygon(screen, _GLASS if away else _GLASS + 22, CAR)
    _paint_face(canvas, view, X, z, color, away)


def _paint_side(canvas: Canvas, view: View, X: float, z: float, side: float, color: Array) -> None:
    """The flank of a car, in the shade, with two wheels that perspective makes narrow."""
    points = [(0.25, 0.0), (0.25, _LENGTH), (_WAIST, _LENGTH), (_WAIST, 0.0)]  # up, behind
    canvas.polygon([view.project(X + side, up, z + behind) for up, behind in points], color * 0.72, CAR)
    for behind in (0.75, _LENGTH - 0.8):
        x, y = view.project(X + side, 0.32, z + behind)
        radius = 0.34 * view.focal / (z + behind)
        canvas.ellipse(x, y, max(0.6, radius * abs(X + side) / (z + behind)), radius, (24, 24, 28), CAR)


def _paint_face(canvas: Canvas, view: View, X: float, z: float, color: Array, away: bool) -> None:
    """The upright near end: wheels, body, bumper, number plate, lights."""
    scale = view.focal / z  # pixels a metre
    x, ground = view.project(X, 0, z)

    def plate(x0: float, y0: float, x1: float, y1: float, paint: Color) -> None:
        canvas.rectangle(x + x0 * scale, ground - y1 * scale, x + x1 * scale, ground - y0 * scale, paint, CAR)

    plate(-0.85, 0.0, -0.52, 0.4, (22, 22, 26))
    plate(0.52, 0.0, 0.85, 0.4, (22, 22, 26))
    plate(-0.92, 0.22, 0.92, 0.95, color * 0.94)
    plate(-0.92, 0.22, 0.92, 0.42, color * 0.6)
    if not away:
        plate(-0.42, 0.5, 0.42, 0.7, (40, 42, 46))  # the grille
    plate(-0.26, 0.42 if away else 0.26, 0.26, 0.58 if away else 0.4, (236, 232, 214))
    lamp = (232, 42, 36) if away else (255, 250, 222)
    plate(-0.9, 0.6, -0.55, 0.82, lamp)
    plate(0.55, 0.6, 0.9, 0.82, lamp)


def paint_tree(canvas: Canvas, rng: np.random.Generator, view: View, X: float, z: float) -> None:
    """A trunk and a crown: round leafy balls, or the tiers of a fir. All of it is class tree."""
    scale = view.focal / z
    x, ground = view.project(X, 0, z)
    paint_shadow(canvas, view, X, z, 1.5)
    half = max(3.5 * view.unit, 0.3 * scale)
    fork = ground - 2.6 * scale
    canvas.rectangle(x - half, fork, x + half, ground, (96, 70, 50), TREE)
    away_from_sun = x - view.sun * half / 2
    canvas.rectangle(away_from_sun - half / 2, fork, away_from_sun + half / 2, ground, (70, 50, 38), None)
    green = _GREENS[rng.choice(5, p=_HOW_OFTEN)]
    if rng.random() < 0.25:  # a fir
        for base, width, height in ((1.1, 1.8, 3.0), (2.5, 1.5, 2.6), (3.9, 1.1, 2.4)):
            corner = ground - base * scale
            points = [(x - width * scale, corner), (x + width * scale, corner), (x, corner - height * scale)]
            canvas.polygon(points, green * (0.62 + base / 12), TREE)
        return
    center = ground - rng.uniform(3.5, 4.2) * scale
    _paint_crown(canvas, rng, view, x, center, rng.uniform(1.6, 2.0) * scale, green)


def _paint_crown(
    canvas: Canvas, rng: np.random.Generator, view: View, x: float, y: float, radius: float, green: Array
) -> None:
    """Seven overlapping balls; each pixel is lit like the ball that bulges out most there."""
    rows, columns, py, px = canvas.box(x - 1.2 * radius, y - 1.1 * radius, x + 1.2 * radius, y + 1.1 * radius)
    bulge = np.zeros((len(py), len(px)), dtype=np.float32)
    light = np.zeros_like(bulge)
    places = rng.uniform(-1, 1, size=(7, 2)) * (0.55, 0.5) * radius
    for dx, dy in places:
        r = radius * 0.62
        ax, ay = (px - x - dx) / r, (py - y - dy) / r
        ball = 1 - ax * ax - ay * ay
        nearer = ball > bulge
        bulge = np.where(nearer, ball, bulge)
        light = np.where(nearer, 0.82 - 0.25 * ay + 0.15 * view.sun * ax + 0.2 * ball, light)
    leaves = light + rng.normal(0, 0.09, size=light.shape)
    cover = np.clip(bulge * radius * 0.29 + 0.5, 0, 1) * (bulge > 0)
    canvas.blend(rows, columns, cover, leaves * planes(green), TREE)
