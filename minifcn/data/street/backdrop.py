"""Sky and ground of a street scene, computed for all pixels at once.

No shapes are drawn on the ground. Perspective is inverted instead: which point of the ground does the camera see in
this pixel? Markings and paving are then simple patterns in metres.
"""

import numpy as np

from ..dataset import Array
from .canvas import Canvas, phase, planes
from .view import PAVEMENT, ROAD, SKY, View


def paint_sky(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """A gradient, clouds, and the sun where it shines."""
    down = np.clip((np.arange(view.h, dtype=np.float32) + 0.5) / view.horizon, 0, 1)[:, None]
    zenith, horizon = planes(view.mood.zenith), planes(view.mood.horizon)
    canvas.image[:] = zenith + (horizon - zenith) * down  # (3, h, w)
    canvas.label[:] = SKY
    if view.mood.sunny and rng.random() < 0.7:
        x, y = view.vanish_x + view.sun * view.unit * rng.uniform(8, 34), view.horizon * rng.uniform(0.15, 0.6)
        canvas.ellipse(x, y, 24 * view.unit, 24 * view.unit, (255, 244, 214), None, soft=34 * view.unit)
        canvas.ellipse(x, y, 4.5 * view.unit, 4.5 * view.unit, (255, 250, 226), None)
    for _ in range(rng.integers(1, 5)):
        _paint_cloud(canvas, view, rng)


def _paint_cloud(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """Four soft puffs side by side, the bright side up."""
    u = view.unit
    x, y = rng.uniform(0, view.w), view.horizon * rng.uniform(0.05, 0.7)
    rx, ry = rng.uniform(8, 15) * u, rng.uniform(3, 6) * u
    rows, columns, py, px = canvas.box(x - 2.2 * rx, y - 2 * ry, x + 2.2 * rx, y + 1.5 * ry)
    cover = np.zeros((len(py), len(px)), dtype=np.float32)
    for dx, dy in zip((-1.1, -0.4, 0.4, 1.1), rng.uniform(-0.7, 0.2, size=4), strict=True):
        cover = np.maximum(cover, 1 - ((px - x - dx * rx) / rx) ** 2 - ((py - y - dy * ry) / ry) ** 2)
    white = (252, 250, 246) if view.mood.sunny else (228, 230, 233)
    canvas.blend(rows, columns, np.minimum(cover * 1.6, 0.85), white, None)


def paint_ground(canvas: Canvas, view: View, rng: np.random.Generator) -> None:
    """Road with markings between two kerbs, paving beyond, all below the horizon."""
    top = int(np.ceil(view.horizon))
    y = np.arange(top, view.h, dtype=np.float32)[:, None] + 0.5 - view.horizon  # (h', 1), > 0
    z = view.focal * view.height / y  # (h', 1): a row of the picture is a depth on the ground
    across = (np.arange(view.w, dtype=np.float32) + 0.5 - view.vanish_x) * z / view.focal  # (h', w)
    metre = view.focal / z  # pixels

    left, right = view.road
    beyond = np.maximum(left - across, across - right)  # metres from the kerb, negative on the road
    on_road = beyond < 0
    asphalt = planes((86, 88, 96)) * np.float32(rng.uniform(0.75, 1.2))
    slabs = planes((196, 184, 166)) * np.float32(rng.uniform(0.88, 1.08)) + planes(rng.uniform(-8, 8, size=3))
    joints = (phase(z, 1.5) < 0.12) | (phase(across, 1.5) < 0.1)
    paving = np.where(joints & (metre > 5), np.float32(0.86), np.float32(1))  # too fine to show far away
    paving = np.where(beyond < 0.22, np.float32(1.14), paving)  # the kerbstone
    image = np.where(on_road, asphalt, slabs * paving)  # (3, h', w)

    def stripe(center: float, half: float) -> Array:
        """How much of each pixel lies within `half` metres of a line along the street."""
        return np.clip((half - np.abs(across - center)) * metre + 0.5, 0, np.minimum(1, 2 * half * metre))

    middle = (left + right) / 2 + rng.uniform(-0.3, 0.3)
    dashes = (phase(z + rng.uniform(0, 5), 5) < 2.6) | (rng.random() < 0.15)
    paint = stripe(middle, 0.09) * dashes
    if rng.random() < 0.6:
        paint = np.maximum(paint, np.maximum(stripe(left + 0.35, 0.07), stripe(right - 0.35, 0.07)))
    if rng.random() < 0.35:  # a zebra crossing
        start = rng.uniform(6.5, 14)
        bars = (phase(across - left, 1) < 0.55) & (across > left + 0.3) & (across < right - 0.3)
        paint = np.where((z > start) & (z < start + 3), bars, paint)
    image += (paint * on_road * np.float32(0.85)) * (np.float32(226) - image)
    if view.mood.sunny:  # houses on the sun's side throw their shadow on the street
        edge = view.sun * rng.uniform(0.5, 4.5)
        image *= np.where(across * view.sun > edge * view.sun, np.float32(0.74), np.float32(1))
    canvas.image[:, top:] = image
    canvas.label[top:] = np.where(on_road, ROAD, PAVEMENT)
