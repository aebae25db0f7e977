"""classes.txt: the names of a folder's classes, in the order of the numbers in its masks, and perhaps their colours.

For example:

    road 128 64 128
    traffic light 250 170 30      # names may hold spaces
    void 0 0 0                    # with colours only: no class, but what is left out (255)
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .dataset import VOID, Array
from .palette import voc_palette

_VOC_VOID = (224, 224, 192)
Color = tuple[int, int, int]


class ClassList(NamedTuple):
    """What classes.txt says."""

    names: tuple[str, ...]
    palette: Array  # (K, 3) uint8: its colours, or PASCAL VOC's where it has none
    colors: dict[Color, int] | None  # RGB -> class number, for masks in colour; None where it has none
    void_color: Color


def read_class_list(path: Path) -> ClassList | None:
    """The classes in a file, None where there is no file. Raises ValueError, naming the line, for other content."""
    if not path.is_file():
        return None
    names: list[str] = []
    colors: dict[Color, int] = {}
    for line_number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        where = f"line {line_number} of {path}"
        name, color = _parse(line.partition("#")[0], where)
        if not name:
            continue
        is_void = name == "void" and color is not None
        number = VOID if is_void else len(names)
        if color is not None and colors.setdefault(color, number) != number:
            raise ValueError(
                f"classes.txt: expected a colour of its own for {name!r}, got {color} again "
                f"in {where}. Change one of the two."
            )
        if is_void:
            continue
        if name in names:
            raise ValueError(
                f"classes.txt: expected each name once, got {name!r} again in {where}. Rename one of them."
            )
        names.append(name)
    return _complete(names, colors, path)


def _parse(line: str, where: str) -> tuple[str, Color | None]:
    """("name", colour or None) of one line; the name is "" on an empty line."""
    words = line.split()
    if len(words) < 4 or not all(word.isdecimal() for word in words[-3:]):
        return " ".join(words), None
    r, g, b = (int(word) for word in words[-3:])
    if max(r, g, b) > 255:
        raise ValueError(
            f"classes.txt: expected 'name r g b' with colours 0..255, got {line.strip()!r} in {where}. "
            f"One byte a channel."
        )
    return " ".join(words[:-3]), (r, g, b)


def _complete(names: list[str], colors: dict[Color, int], path: Path) -> ClassList:
    if not 2 <= len(names) <= VOID:
        raise ValueError(
            f"classes.txt: expected 2 to {VOID} class names in {path}, got {len(names)}. Write one name on each line."
        )
    if not colors:
        return ClassList(tuple(names), voc_palette(len(names)), None, _VOC_VOID)
    color_of = {number: color for color, number in colors.items()}
    uncoloured = [name for number, name in enumerate(names) if number not in color_of]
    if uncoloured:
        raise ValueError(
            f"classes.txt: expected a colour for every class or for none, got {', '.join(uncoloured)} without one "
            f"in {path}. Write 'name r g b'."
        )
    palette = np.array([color_of[number] for number in range(len(names))], dtype=np.uint8)
    return ClassList(tuple(names), palette, colors, color_of.get(VOID, _VOC_VOID))
