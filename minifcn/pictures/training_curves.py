"""A training run as two curves: the loss as it falls, the scores as they rise.

Matplotlib is optional and imported only here. Its object-oriented interface is used throughout, so a caller's own
pyplot figures are left alone.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.images import save_image

BLUE, ORANGE, INK, GRID = "#2b6cb0", "#d9730d", "#202228", "#e4e6ea"


def curves(path: str | Path, records: Sequence[Mapping[str, Any]]) -> bool:
    """Write a picture of a run's records (the lines of metrics.jsonl).

    Args:
        path: where to; the ending chooses the format.
        records: dictionaries with `step` and `loss`, and now and then `mean_iou` and `pixel_accuracy` (0..1).

    Returns whether the file was written: False where Matplotlib is missing.
    Raises ValueError without records.
    """
    if not records:
        raise ValueError("curves: expected at least one record of a run, got none. Train for a step first.")
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.05)
    figure = Figure(figsize=(11, 4), dpi=130, layout=margins)
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharex=True)
    _draw_loss(left, records)
    _draw_scores(right, records)
    for axes in (left, right):
        _tidy(axes)
    canvas.draw()
    save_image(path, np.asarray(canvas.buffer_rgba())[..., :3])
    return True


def _draw_loss(axes: Any, records: Sequence[Mapping[str, Any]]) -> None:
    step, loss = _series(records, "loss")
    shown = loss > 0  # a logarithm has no zero; a loss of nan is left out as well
    step, loss = step[shown], loss[shown]
    axes.set_title("Loss", loc="left", color=INK, fontsize=12)
    if not len(loss):
        axes.set_yticks([])
        return
    axes.set_yscale("log")
    axes.plot(step, loss, color=BLUE, alpha=0.25, linewidth=0.8, marker="." if len(loss) == 1 else None)
    axes.plot(step, smoothed(loss), color=BLUE, linewidth=1.8)
    _plain_decades(axes, loss)


def _draw_scores(axes: Any, records: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title("Scores on held-out images", loc="left", color=INK, fontsize=12)
    axes.set_ylim(0, 1)
    ends = []
    for name, label, colour in (("pixel_accuracy", "pixel accuracy", ORANGE), ("mean_iou", "mean IoU", BLUE)):
        step, score = _series(records, name)
        if len(step):
            axes.plot(step, score, color=colour, linewidth=1.8, marker="o", markersize=3.5)
            ends.append([score[-1], f" {label} {score[-1]:.2f}", colour, step[-1]])
    if not ends:
        axes.text(0.5, 0.5, "not evaluated yet", transform=axes.transAxes, ha="center", color="#6e727c")
        return
    # The lines are named at their ends, where the eye is, and the names kept apart.
    if len(ends) == 2 and abs(ends[0][0] - ends[1][0]) < 0.07:
        middle, order = (ends[0][0] + ends[1][0]) / 2, 1 if ends[0][0] >= ends[1][0] else -1
        ends[0][0], ends[1][0] = middle + 0.035 * order, middle - 0.035 * order
    for y, text, colour, x in ends:
        axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", color=colour, va="center", fontsize=10)


def smoothed(values: np.ndarray) -> np.ndarray:
    """The geometric mean of a window around each value: a tenth of the values, at most 31, cut off at both ends.

    Geometric, because the loss is drawn on a logarithmic axis: (n,) positive -> (n,).
    """
    half, place = min(15, len(values) // 20), np.arange(len(values))
    sums = np.concatenate([[0.0], np.cumsum(np.log(values))])  # sums[k]: of the first k logarithms
    first, last = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    return np.exp((sums[last] - sums[first]) / (last - first))


def _series(records: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of the records that have a finite value of this name."""
    pairs = [(r["step"], r[name]) for r in records if r.get(name) is not None and math.isfinite(r[name])]
    table = np.array(pairs, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _plain_decades(axes: Any, loss: np.ndarray) -> None:
    """Ticks that read 0.2, 0.5, 1 instead of powers of ten; fewer of them over many decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    decades = math.log10(loss.max() / loss.min())
    marks = (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9) if decades < 0.7 else (1, 2, 5) if decades < 2.5 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=marks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _tidy(axes: Any) -> None:
    """No frame, light horizontal lines, ticks without marks."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b9bdc6")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=INK, labelsize=9)
    axes.set_xlabel("step", color=INK, fontsize=9)
    axes.margins(x=0.02)
