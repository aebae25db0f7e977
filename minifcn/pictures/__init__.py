"""Label maps as pictures: in colour, laid over a photograph, and side by side with the truth.

Drawing is Pillow's work, and Pillow is imported when the first picture is made. Every file is written whole or not at
all. Curves over a training run are in `training_curves.py`, maps of uncertainty in `uncertainty.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.dataset import VOID, Array
from ..data.palette import colorize
from .sheet import letter_size, panel_width, write_sheet
from .training_curves import curves
from .uncertainty import entropy_map, uncertainty_map, uncertainty_sheet

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["curves", "entropy_map", "painted", "preview", "uncertainty_map", "uncertainty_sheet"]

Row = tuple[Array, Array, Array]  # image (H, W, 3), truth (H, W), prediction (H, W), all uint8
TITLES = ("Image", "Truth", "Prediction")
HATCH = np.array([(30, 31, 36), (66, 68, 76)], np.uint8)  # void: stripes, so that it is no class, not even a black one


def painted(image: Array, label: Array, palette: Array, alpha: float = 0.5) -> Array:
    """The image (H, W, 3) uint8 with the class colours laid over it; void is left bare.

    `alpha` is the share of the colour, 0 (only the image) to 1 (only the colour). Raises ValueError for other shares,
    sizes that differ and labels without a colour.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"painted: expected alpha between 0 (image only) and 1 (colour only), got {alpha}. "
                         f"The default is 0.5.")
    if image.shape != (*label.shape, 3):
        raise ValueError(f"painted: expected an image of the label's size {(*label.shape, 3)}, got {image.shape}. "
                         f"Resize the label to the image.")
    mixed = (1 - alpha) * image + alpha * colorize(label, palette)  # (H, W, 3)
    return np.where((label == VOID)[..., None], image, np.rint(mixed).astype(np.uint8))


def preview(
    path: str | Path, rows: Sequence[Row], classes: Sequence[str], palette: Array, *, mean_iou: float | None = None,
) -> None:
    """Write a picture of some results: image | truth | prediction in a line each, the class colours below.

    Small images are enlarged by a whole factor, labels without mixing any colours, until the picture is some 1000
    pixels wide. Void in the truth is striped dark.

    Args:
        path: where to; the ending chooses the format.
        rows: (image (H, W, 3), truth (H, W), prediction (H, W)) in uint8, one for each line.
        classes: K names for the legend.
        palette: (K, 3) uint8.
        mean_iou: written above the predictions, if given.

    Raises ValueError without rows, for sizes that differ within one, and for labels without a colour.
    """
    if not rows:
        raise ValueError("preview: expected at least one row (image, truth, prediction), got none. "
                         "Pass some samples of the data set.")
    if len(classes) != len(palette):
        raise ValueError(f"preview: expected {len(palette)} class names, one for each colour, got {len(classes)}. "
                         f"Pass the names and the palette of one data set.")
    for number, row in enumerate(rows):
        _check_row(number, row)
    width = panel_width(max(image.shape[1] for image, _, _ in rows))
    swatches: list[tuple[str, Array]] = list(zip(classes, np.asarray(palette, np.uint8), strict=True))
    if any((truth == VOID).any() for _, truth, _ in rows):
        side = letter_size(width)
        swatches.append(("void", _hatch(side, side)))
    note = "" if mean_iou is None else f"mean IoU {mean_iou:.2f}"
    write_sheet(path, TITLES, [_panels(row, palette, width) for row in rows], swatches, note=note)


def _panels(row: Row, palette: Array, width: int) -> "list[Image]":
    """The three pictures of a line, each `width` pixels wide."""
    from PIL import Image

    image, truth, prediction = row
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    grown = np.asarray(Image.fromarray(truth).resize(size, Image.Resampling.NEAREST))  # (height, width)
    shown = np.where((grown == VOID)[..., None], _hatch(*grown.shape), colorize(grown, palette))
    guess = Image.fromarray(colorize(prediction, palette)).resize(size, Image.Resampling.NEAREST)
    return [Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), Image.fromarray(shown), guess]


def _hatch(h: int, w: int, period: int = 8) -> Array:
    """Diagonal stripes: (h, w, 3) uint8."""
    diagonal = np.add.outer(np.arange(h), np.arange(w))
    return HATCH[(diagonal % period < period // 3).astype(np.intp)]


def _check_row(number: int, row: Row) -> None:
    image, truth, prediction = row
    for name, label in (("truth", truth), ("prediction", prediction)):
        if image.shape != (*label.shape, 3):
            raise ValueError(f"preview: expected the {name} of row {number} in the size of its image "
                             f"{image.shape[:2]}, got {label.shape}. Resize labels with nearest neighbour.")
