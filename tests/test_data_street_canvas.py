"""The canvas on which street scenes are painted: coverage, labels, and who lies in front."""

import numpy as np

from minifcn.data.street.canvas import Canvas


def test_the_last_stroke_lies_in_front():
    canvas = Canvas(4, 6)
    canvas.rectangle(0, 0, 4, 3, (10, 10, 10), 1)
    canvas.rectangle(2, 1, 6, 4, (20, 20, 20), 2)
    assert canvas.label.tolist() == [
        [1, 1, 1, 1, 255, 255],
        [1, 1, 2, 2, 2, 2],
        [1, 1, 2, 2, 2, 2],
        [255, 255, 2, 2, 2, 2],
    ]
    np.testing.assert_array_equal(canvas.image[1] == 20, canvas.label == 2)


def test_the_canvas_fills_convex_polygons():
    """Either order of corners, against crossing numbers; pixels within half a pixel of an edge may go either way."""
    corners = [(3.2, 2.1), (20.4, 5.7), (16.8, 14.9), (6.5, 12.3)]
    for points in (corners, corners[::-1]):
        canvas = Canvas(18, 24)
        canvas.polygon(points, (200, 100, 50), 3)
        for i in range(18):
            for j in range(24):
                x, y, inside, near = j + 0.5, i + 0.5, False, False
                for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
                    if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                        inside = not inside
                    length = np.hypot(x1 - x0, y1 - y0)
                    near |= abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / length <= 0.5
                assert (canvas.label[i, j] == 3) == inside
                if not near:
                    np.testing.assert_allclose(canvas.image[:, i, j], (200, 100, 50) if inside else 0, atol=1e-3)


def test_the_canvas_blends_by_coverage():
    canvas = Canvas(4, 5)
    canvas.rectangle(1, 1, 3.25, 3, (100, 100, 100), 2)
    assert canvas.image[0].tolist() == [[0] * 5, [0, 100, 100, 25, 0], [0, 100, 100, 25, 0], [0] * 5]
    assert (canvas.label == 2).sum() == 4
    canvas.ellipse(2, 2, 40, 40, (7, 8, 9), None)
    np.testing.assert_allclose(canvas.image[:, 1, 1], (7, 8, 9))
    assert (canvas.label == 2).sum() == 4
