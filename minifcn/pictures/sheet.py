"""A sheet: pictures in columns, a title above each column, a legend below."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.images import save_image
from .lettering import INK, MUTED, Pen, Swatch, draw_legend, legend_height

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_WIDTH, MOST_PANEL = 1000, 800  # pixels: of three columns together, of one of them


def panel_width(widest: int) -> int:
    """The width of a column in pixels: the widest image, enlarged by a whole factor or cut down to MOST_PANEL."""
    return MOST_PANEL if widest > MOST_PANEL else widest * math.ceil(LEAST_WIDTH / 3 / widest)


def letter_size(width: int) -> int:
    """Of titles and legend, in pixels, for such columns: readable still when a page shows three in 800 pixels."""
    return round(0.06 * width)


def write_sheet(
    path: str | Path, titles: Sequence[str], lines: Sequence[Sequence["Image"]], swatches: Sequence[Swatch], *,
    note: str = "", captions: Sequence[str] = (),
) -> None:
    """Write lines of pictures to a file, whole.

    Args:
        path: where to; the ending chooses the format.
        titles: one for each column.
        lines: as many pictures each, all of one width.
        swatches: the legend, see `draw_legend`.
        note: in grey above the last column, at the right.
        captions: in grey below each column, if given.
    """
    from PIL import Image, ImageDraw

    width, columns = lines[0][0].width, len(titles)
    pen = Pen(letter_size(width))
    small = Pen(round(0.045 * width))
    margin, gap, head, space = (round(part * pen.size) for part in (1.5, 0.6, 1.7, 0.7))
    lefts = [margin + column * (width + gap) for column in range(columns)]
    inner = lefts[-1] + width - margin
    # From top to bottom: margin, titles, the lines of panels with a gap after each, captions, space, legend, margin.
    foot = margin + head + sum(line[0].height + gap for line in lines)
    below = foot + (round(1.5 * small.size) if captions else 0) + space
    height = below + legend_height(pen, [name for name, _ in swatches], inner) + margin
    sheet = Image.new("RGB", (inner + 2 * margin, height), "white")
    draw, middle = ImageDraw.Draw(sheet), margin + pen.size // 2
    for left, title in zip(lefts, titles, strict=True):
        pen.write(draw, left, middle, title, INK)
    if note:
        pen.write(draw, margin + inner - pen.width(note), middle, note, MUTED)
    y = margin + head
    for line in lines:
        for left, panel in zip(lefts, line, strict=True):
            sheet.paste(panel, (left, y))
        y += line[0].height + gap
    for left, caption in zip(lefts, captions, strict=False):  # none, or one for each
        small.write(draw, left, foot + small.size // 2, caption, MUTED)
    draw_legend(sheet, pen, swatches, margin, below, inner)
    save_image(path, np.asarray(sheet))
