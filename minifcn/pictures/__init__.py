"""Label maps as pictures: in colour, laid over a photograph, and side by side with the truth.

Drawing is Pillow's work, and Pillow is imported when the first picture is made. Every file is written whole or not at
all. Curves over a training run are in `training_curves.py`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.dataset import VOID, Array
from ..data.images import save_image
from ..data.palette import colorize
from .lettering import INK, MUTED, Pen, draw_legend, legend_height
from .training_curves import curves

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["curves", "painted", "preview"]

Row = tuple[Array, Array, Array]  # image (H, W, 3), truth (H, W), prediction (H, W), all uint8
TITLES = ("Image", "Truth", "Prediction")
LEAST_WIDTH, MOST_PANEL = 1000, 800  # pixels: of the whole picture, of one of its three columns
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
    from PIL import Image, ImageDraw

    width = _panel_width(rows)
    pen = Pen(round(0.06 * width))  # readable still when a page shows the picture 800 pixels wide
    margin, gap, head, space = (round(part * pen.size) for part in (1.5, 0.6, 1.7, 0.7))
    lefts = [margin + column * (width + gap) for column in range(3)]
    inner = lefts[2] + width - margin
    lines = [_panels(row, palette, width) for row in rows]
    swatches: list[tuple[str, Array]] = list(zip(classes, np.asarray(palette, np.uint8), strict=True))
    if any((truth == VOID).any() for _, truth, _ in rows):
        swatches.append(("void", _hatch(pen.size, pen.size)))
    # From top to bottom: margin, titles, the lines of panels with a gap after each, space, legend, margin.
    below = margin + head + sum(line[0].height + gap for line in lines) + space
    height = below + legend_height(pen, [name for name, _ in swatches], inner) + margin
    sheet = Image.new("RGB", (inner + 2 * margin, height), "white")
    draw, middle = ImageDraw.Draw(sheet), margin + pen.size // 2
    for left, title in zip(lefts, TITLES, strict=True):
        pen.write(draw, left, middle, title, INK)
    if mean_iou is not None:
        caption = f"mean IoU {mean_iou:.2f}"
        pen.write(draw, margin + inner - pen.width(caption), middle, caption, MUTED)
    y = margin + head
    for line in lines:
        for left, panel in zip(lefts, line, strict=True):
            sheet.paste(panel, (left, y))
        y += line[0].height + gap
    draw_legend(sheet, pen, swatches, margin, below, inner)
    save_image(path, np.asarray(sheet))


def _panel_width(rows: Sequence[Row]) -> int:
    """The width of a column in pixels: the widest image, enlarged by a whole factor or cut down to MOST_PANEL."""
    widest = max(image.shape[1] for image, _, _ in rows)
    return MOST_PANEL if widest > MOST_PANEL else widest * math.ceil(LEAST_WIDTH / 3 / widest)


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
