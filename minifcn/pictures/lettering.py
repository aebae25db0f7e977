"""Text and legends for pictures: a pen that measures before it writes.

Pillow's built-in typeface can be scaled where Pillow was built with FreeType, and is a small bitmap elsewhere. Both
kinds go through `Pen`, which sets a line of text by the middle of its capitals, so that text and swatches align.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

INK, MUTED = (32, 34, 40), (110, 114, 124)  # titles and names; captions
Swatch = tuple[str, np.ndarray]  # a class name, and its colour (3,) or pattern (size, size, 3)


class Pen:
    """A typeface in one size (pixels)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._font: Any = _typeface(size)
        _, self._top, _, self._bottom = self._font.getbbox("H")

    def width(self, text: str) -> int:
        """Pixels from the left edge of the first letter to the right edge of the last."""
        return round(self._font.getbbox(self._drawable(text))[2])

    def write(self, draw: "ImageDraw", x: float, middle: float, text: str, colour: tuple[int, int, int]) -> None:
        """Write from `x` on, the capitals centred on the row `middle`."""
        y = round(middle - (self._top + self._bottom) / 2)
        draw.text((x, y), self._drawable(text), fill=colour, font=self._font)

    def _drawable(self, text: str) -> str:
        """The bitmap face knows Latin letters only and would raise an error for others."""
        from PIL import ImageFont

        return text.encode("latin-1", "replace").decode("latin-1") if type(self._font) is ImageFont.ImageFont else text


def _typeface(size: int) -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (ImportError, TypeError):  # a Pillow without FreeType, or older than 10.1
        return ImageFont.load_default()


def legend_height(pen: Pen, names: Sequence[str], width: int) -> int:
    """Pixels that `draw_legend` will take for these names within `width`."""
    return _line_height(pen) * len(_arrange(pen, names, width)[0])


def draw_legend(sheet: "Image", pen: Pen, swatches: Sequence[Swatch], left: int, top: int, width: int) -> None:
    """A square and a name for each class, in columns that align, on as few lines as fit into `width` pixels."""
    from PIL import Image, ImageDraw

    draw, side = ImageDraw.Draw(sheet), _side(pen)
    # Drawn at four times the size and reduced: Pillow's rounded corners have no smooth edges of their own.
    mask = Image.new("L", (4 * side, 4 * side), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), radius=side * 3 // 4, fill=255)
    mask = mask.resize((side, side), Image.Resampling.LANCZOS)
    lines, starts = _arrange(pen, [name for name, _ in swatches], width)
    for row, numbers in enumerate(lines):
        y = top + row * _line_height(pen)
        for column, number in enumerate(numbers):
            name, pattern = swatches[number]
            tile = np.broadcast_to(pattern, (pen.size, pen.size, 3))[:side, :side]
            sheet.paste(Image.fromarray(np.ascontiguousarray(tile)), (left + starts[column], y), mask)
            pen.write(draw, left + starts[column] + side + pen.size // 2, y + side / 2, name, INK)


def _arrange(pen: Pen, names: Sequence[str], width: int) -> tuple[list[list[int]], list[int]]:
    """Which names stand on each line, and where each column begins: as many columns as fit."""
    space, lead = round(1.6 * pen.size), _side(pen) + pen.size // 2
    widths = [lead + pen.width(name) for name in names]
    for columns in range(len(names), 0, -1):
        columns = -(-len(names) // -(-len(names) // columns))  # the same number of lines, evenly filled
        widest = [max(widths[column::columns]) for column in range(columns)]
        if sum(widest) + space * (columns - 1) <= width or columns == 1:
            break
    starts = [sum(widest[:column]) + space * column for column in range(columns)]
    return [list(range(first, min(first + columns, len(names)))) for first in range(0, len(names), columns)], starts


def _side(pen: Pen) -> int:
    return round(0.85 * pen.size)


def _line_height(pen: Pen) -> int:
    return round(1.6 * pen.size)
