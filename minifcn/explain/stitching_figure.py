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


def draw_one(path: str | Path, image: Array, found: Agreement) -> None:
    """One network on one image (H, W, 3) uint8: the image, one run, all runs, the differences."""
    palette = voc_palette(found.dense.shape[1])
    one_run = found.stitched[0, :, :: found.stride[0], :: found.stride[1]]  # that of shift (0, 0)
    stitching(path, [
        [("Image", f"{image.shape[0]}x{image.shape[1]}", image), _one_run(one_run, found.stride, palette)],
        [("Shift-and-stitch", _runs(found), _classes(found.stitched[0], palette)), _differences(found)],
    ])


def draw_ways(path: str | Path, ways: Comparison) -> None:
    """The demonstration: a trained network's scores brought to every pixel in three ways, and the differences."""
    found = compare("street", scores_of(ways.net), ways.x)
    iou = {name: f"mean IoU {score:.3f} on held-out scenes" for name, score in ways.mean_iou.items()}
    painted = {name: colorize(label, ways.palette) for name, label in ways.labels.items()}
    stitching(path, [
        [("Image", "a street scene held out", ways.image), _one_run(ways.coarse[0], found.stride, ways.palette),
         _differences(found)],
        [("Bilinear upsampling", iou[BILINEAR], painted[BILINEAR]),
         ("Learned transposed convolution", iou[LEARNED], painted[LEARNED]),
         ("Shift-and-stitch", f"{iou[STITCHED]}, {_runs(found)}", painted[STITCHED])],
    ])


def _one_run(scores: Array, stride: tuple[int, int], palette: Array) -> Panel:
    """scores (K, h, w) of the network as it is."""
    caption = f"{scores.shape[1]}x{scores.shape[2]} scores, one for {stride[0]}x{stride[1]} pixels"
    return "One run of the network", caption, _classes(scores, palette)


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
