"""The figure of `minifcn stitch`: what one run sees, what all shifted runs see, and where the margin lies."""

from pathlib import Path

import numpy as np

from ..cutting import scores_of
from ..data import colorize, voc_palette
from ..ops.check import Array
from ..pictures.stitching import differences, stitching
from .stitching_report import Agreement, compare
from .upsampling import BILINEAR, LEARNED, STITCHED, Comparison

Panel = tuple[str, str, Array]  # title, caption, picture (H, W, 3) uint8


def draw_one(path: str | Path, image: Array, found: Agreement, trained: bool) -> None:
    """One network on one image (H, W, 3) uint8: the image, one run, all runs, the differences.

    The scores of a network that is not trained are shown as the greys of the class that varies most.
    """
    stitched = found.stitched[0]  # (K, H', W')
    dense = _classes(stitched, voc_palette(len(stitched))) if trained else _greys(stitched)
    one_run = dense[:: found.stride[0], :: found.stride[1]]  # that of shift (0, 0)
    stitching(path, [
        [("Image", f"{image.shape[0]}x{image.shape[1]}", image), _one_run(one_run, found.stride)],
        [("Shift-and-stitch", _runs(found), dense), _differences(found)],
    ])


def draw_ways(path: str | Path, ways: Comparison) -> None:
    """The demonstration: a trained network's scores brought to every pixel in three ways, and the differences."""
    found = compare("street", scores_of(ways.net), ways.x)
    iou = {name: f"mean IoU {score:.3f} on held-out scenes" for name, score in ways.mean_iou.items()}
    painted = {name: colorize(label, ways.palette) for name, label in ways.labels.items()}
    one_run = _one_run(_classes(ways.coarse[0], ways.palette), found.stride)
    stitching(path, [
        [("Image", "a street scene held out", ways.image), one_run, _differences(found)],
        [("Bilinear upsampling", iou[BILINEAR], painted[BILINEAR]),
         ("Learned transposed convolution", iou[LEARNED], painted[LEARNED]),
         ("Shift-and-stitch", f"{iou[STITCHED]}, {_runs(found)}", painted[STITCHED])],
    ])


def _one_run(picture: Array, stride: tuple[int, int]) -> Panel:
    """picture (h, w, 3) of the network's own scores."""
    caption = f"{picture.shape[0]}x{picture.shape[1]} scores, one for {stride[0]}x{stride[1]} pixels"
    return "One run of the network", caption, picture


def _differences(found: Agreement) -> Panel:
    margin = " x ".join(map(str, sorted(set(found.margin))))
    caption = (f"grey: equal to {found.tolerance:.0e}; in the margin of {margin} pixels up to {found.inside:.2f}"
               if any(found.margin) else f"equal to {found.tolerance:.0e} everywhere: nothing pads inside")
    return "Against the rarefied network", caption, differences(
        found.stitched[0], found.dense[0], found.margin, found.tolerance
    )


def _runs(found: Agreement) -> str:
    return f"{found.stride[0] * found.stride[1]:,} runs"


def _classes(scores: Array, palette: Array) -> Array:
    """scores (K, H, W) -> the colours of the highest, (H, W, 3)."""
    return colorize(scores.argmax(axis=0).astype(np.uint8), palette)


def _greys(scores: Array) -> Array:
    """scores (K, H, W) -> the class whose scores vary most, from black to white, (H, W, 3)."""
    score = scores[scores.std(axis=(1, 2)).argmax()].astype(np.float64)
    share = (score - score.min()) / (np.ptp(score) or 1.0)
    return np.repeat(np.rint(255 * share).astype(np.uint8)[..., None], 3, axis=2)
