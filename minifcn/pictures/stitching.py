"""The picture of shift-and-stitch: what one run sees, what all see together, and where the two ways differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.dataset import Array
from ..data.images import save_image
from .lettering import INK, MUTED, Pen

if TYPE_CHECKING:
    from PIL.Image import Image

PANEL = 420  # pixels: the width of a panel
SAME, LITTLE, MUCH = (233, 238, 243), (255, 214, 120), (176, 24, 40)  # equal; just above the tolerance; all of it
BORDER = (24, 78, 140)  # the margin's edge
DECADES = 5.0  # below the largest score, from MUCH down to LITTLE


def differences(stitched: Array, dense: Array, margin: tuple[int, int], tolerance: float) -> Array:
    """Where two score maps differ, as a picture of their size: (H, W, 3) uint8.

    Args:
        stitched, dense: (K, H, W).
        margin: (rows, columns) at the top and left in which they may; its edge is drawn.
        tolerance: of the difference, relative to the largest score. What keeps it is pale grey; what does not goes from
            yellow to red with its logarithm.
    """
    largest = float(np.abs(dense).max()) or 1.0
    relative = np.abs(stitched - dense).max(axis=0).astype(np.float64) / largest  # (H, W)
    depth = np.log10(np.maximum(relative, 1e-300)) / DECADES + 1  # 1: as large as the scores
    share = np.clip(depth, 0, 1)[..., None]
    colours = (1 - share) * np.array(LITTLE) + share * np.array(MUCH)
    picture = np.where((relative <= tolerance)[..., None], SAME, np.rint(colours)).astype(np.uint8)
    rows, columns = margin
    if rows:
        picture[rows - 1, max(0, columns - 1) :] = BORDER
    if columns:
        picture[max(0, rows - 1) :, columns - 1] = BORDER
    return picture


def stitching(path: str | Path, lines: Sequence[Sequence[tuple[str, str, Array]]]) -> None:
    """Write panels in lines, each with its title and a caption in grey below it.

    Args:
        path: where to; the ending chooses the format.
        lines: panels (title, caption, picture (H, W, 3) uint8), enlarged to one width without mixing pixels.

    Raises ValueError without panels.
    """
    if not lines or not all(lines):
        raise ValueError("stitching: expected at least one panel in each line, got none. "
                         "Pass (title, caption, picture).")
    from PIL import Image, ImageDraw

    pen, small = Pen(20), Pen(15)
    margin, gap, head, foot = 28, 22, 34, 34
    drawn = [[_enlarged(picture) for _, _, picture in line] for line in lines]
    heights = [max(panel.height for panel in line) for line in drawn]
    columns = max(map(len, lines))
    width = 2 * margin + columns * PANEL + (columns - 1) * gap
    sheet = Image.new("RGB", (width, 2 * margin + sum(heights) + len(lines) * (head + foot) - foot // 2), "white")
    draw, top = ImageDraw.Draw(sheet), margin
    for line, panels, height in zip(lines, drawn, heights, strict=True):
        for column, ((title, caption, _), panel) in enumerate(zip(line, panels, strict=True)):
            left = margin + column * (PANEL + gap)
            pen.write(draw, left, top + head / 2 - 4, title, INK)
            sheet.paste(panel, (left, top + head))
            small.write(draw, left, top + head + panel.height + 15, caption, MUTED)
        top += head + height + foot
    save_image(path, np.asarray(sheet))


def _enlarged(picture: Array) -> "Image":
    """PANEL pixels wide, each pixel a block, so that what is coarse looks coarse."""
    from PIL import Image

    size = (PANEL, max(1, round(picture.shape[0] * PANEL / picture.shape[1])))
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.NEAREST)
