"""A canvas that holds an image and its labels: each stroke changes both, and whatever comes last lies in front.

Shapes are drawn by coverage: a pixel that a shape covers by 30 % takes 30 % of its colour, so edges look smooth without
drawing anything larger first. The label goes to the shape that covers at least half of the pixel.
"""

import numpy as np

from ..dataset import VOID, Array

Color = Array | tuple[float, float, float]
Point = tuple[float, float]  # (x, y): right and down, in pixels; the centre of the top left pixel is (0.5, 0.5)


class Canvas:
    """`image` (3, H, W) float32 in 0..255, and `label` (H, W) uint8.

    Channels come first: NumPy works along the last axis, and is ten times as fast along a row as along three channels.
    """

    def __init__(self, h: int, w: int) -> None:
        self.image = np.zeros((3, h, w), dtype=np.float32)
        self.label = np.full((h, w), VOID, dtype=np.uint8)
        self._y = np.arange(h, dtype=np.float32)[:, None] + 0.5  # (H, 1), pixel centres
        self._x = np.arange(w, dtype=np.float32) + 0.5  # (W,)

    def box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice, Array, Array]:
        """The part of the canvas around a box: its row and column slices, and pixel centres y (h, 1) and x (w,)."""
        h, w = self.label.shape
        rows = slice(min(max(int(y0 - 1), 0), h), min(max(int(y1 + 2), 0), h))
        columns = slice(min(max(int(x0 - 1), 0), w), min(max(int(x1 + 2), 0), w))
        return rows, columns, self._y[rows], self._x[columns]

    def blend(self, rows: slice, columns: slice, cover: Array, color: Color, class_id: int | None) -> None:
        """Lays `color`, (3,) or (3, h, w), over a part, by `cover` (h, w) in 0..1; class None keeps the labels."""
        part = self.image[:, rows, columns]  # (3, h, w), a view: += paints on the canvas
        part += cover * (planes(color) - part)
        if class_id is not None:
            self.label[rows, columns][cover >= 0.5] = class_id

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, color: Color, class_id: int | None) -> None:
        """The rectangle between two corners; with whole numbers its edges are sharp."""
        rows, columns, y, x = self.box(x0, y0, x1, y1)
        across = _limit(np.minimum(x + 0.5, x1) - np.maximum(x - 0.5, x0))  # (w,)
        down = _limit(np.minimum(y + 0.5, y1) - np.maximum(y - 0.5, y0))  # (h, 1)
        self.blend(rows, columns, down * across, color, class_id)

    def ellipse(
        self, cx: float, cy: float, rx: float, ry: float, color: Color, class_id: int | None, soft: float = 1.0
    ) -> None:
        """An ellipse with an edge `soft` pixels wide; soft = rx fades from the centre out: a glow, or a shadow."""
        rows, columns, y, x = self.box(cx - rx, cy - ry, cx + rx, cy + ry)
        distance = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)  # 1 on the edge
        cover = _limit((1 - distance) * (min(rx, ry) / soft) + 0.5 * (soft == 1))
        self.blend(rows, columns, cover, color, class_id)

    def polygon(self, points: list[Point], color: Color, class_id: int | None) -> None:
        """A convex polygon, its corners in clockwise or anticlockwise order: the pixels inside of all edges."""
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        rows, columns, y, x = self.box(min(xs), min(ys), max(xs), max(ys))
        turn = sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(points)))  # its sign: the order of corners
        inside = np.full((len(y), len(x)), np.inf, dtype=np.float32)
        for i in range(len(points)):
            ex, ey = xs[i] - xs[i - 1], ys[i] - ys[i - 1]
            length = (ex * ex + ey * ey) ** 0.5 or 1.0
            sign = (1 if turn > 0 else -1) / length
            np.minimum(inside, sign * ex * (y - ys[i]) - sign * ey * (x - xs[i]), out=inside)  # distance to this edge
        self.blend(rows, columns, _limit(inside + 0.5), color, class_id)


def planes(color: Color) -> Array:
    """(3,) -> (3, 1, 1) float32, which spreads over (3, h, w); an array of three axes stays as it is."""
    array = np.asarray(color, dtype=np.float32)
    return array if array.ndim == 3 else array[:, None, None]


def phase(values: Array, period: float) -> Array:
    """values % period, by a floor: the operator is twenty times as slow, and this runs on whole pictures."""
    return values - np.float32(period) * np.floor(values * np.float32(1 / period))


def _limit(cover: Array) -> Array:
    """np.clip(cover, 0, 1), without its overhead on small arrays."""
    return np.minimum(np.maximum(cover, 0), 1)
