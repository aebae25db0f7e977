"""Image files to arrays and back, through Pillow.

An image is what a person sees: colours, turned the right way up. A label map is numbers: no colour conversion, no
resampling, a palette is ignored. The two therefore have a reader each, and both name the file when they fail.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import write_whole
from .dataset import VOID, Array
from .palette import color_table

if TYPE_CHECKING:
    from PIL.Image import Image

# What Pillow raises on files that are damaged in one way or another.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def read_image(path: str | Path) -> Array:
    """The picture in a file as (H, W, 3) uint8 RGB, in any format that Pillow reads.

    A camera's EXIF orientation is applied, grey becomes three equal channels, transparency is dropped, 16-bit grey
    keeps its upper byte. Raises ValueError, naming the file, where there is no readable image.
    """
    from PIL import ImageOps

    picture = _open("read_image", path)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("F", "LAB"):
        raise ValueError(
            f"read_image: expected 8 or 16 bits a channel, grey or RGB, got mode {picture.mode} in {path}. "
            f"Save the picture as an 8-bit PNG."
        )
    if picture.mode.startswith("I"):
        return np.repeat((np.asarray(picture) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if picture.mode in ("P", "PA", "LA"):
        picture = picture.convert("RGBA")  # straight to RGB, Pillow warns of palettes with transparent entries
    return np.array(picture.convert("RGB"))  # (H, W, 3), a writable copy


def read_label(path: str | Path, colors: dict[tuple[int, int, int], int] | None = None) -> tuple[Array, bool]:
    """The label map in a file: (H, W) uint8 class numbers, and whether the file carried a palette.

    A palette PNG (as in PASCAL VOC) is read as its indices; its colours are only for the eye. Masks in true colour
    are read only with `colors`, a dictionary from RGB to class number.
    Raises ValueError for unreadable files, true colour without `colors`, unknown colours and numbers above 255.
    """
    picture = _open("read_label", path)
    if picture.mode in ("RGB", "RGBA"):
        return _labels_from_colors(np.array(picture.convert("RGB")), colors, path), False
    if picture.mode not in ("P", "L", "1") and not picture.mode.startswith("I"):
        raise ValueError(
            f"read_label: expected one channel of class numbers, got mode {picture.mode} in {path}. "
            f"Save the mask as an 8-bit grey PNG."
        )
    numbers = np.array(picture)  # (H, W)
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) > VOID:
        row, column = np.argwhere((numbers < 0) | (numbers > VOID))[0]
        raise ValueError(
            f"read_label: expected class numbers 0..254 or 255 (void), got {numbers[row, column]} "
            f"at row {row}, column {column} of {path}. Renumber the classes from 0."
        )
    return numbers.astype(np.uint8), picture.mode == "P"


def read_depth(path: str | Path) -> Array:
    """The one channel of a depth map, (H, W) float64: whole numbers of any size, not only bytes.

    Raises ValueError, naming the file, for unreadable files and for colour.
    """
    picture = _open("read_depth", path)
    if picture.mode not in ("L", "F") and not picture.mode.startswith("I"):
        raise ValueError(f"read_depth: expected one channel of depths, got mode {picture.mode} in {path}. "
                         f"Save the depth as a 16-bit grey PNG.")
    return np.array(picture, dtype=np.float64)


def _labels_from_colors(rgb: Array, colors: dict[tuple[int, int, int], int] | None, path: str | Path) -> Array:
    """(H, W, 3) colours -> (H, W) class numbers."""
    if not colors:
        raise ValueError(
            f"read_label: expected one channel of class numbers, got an RGB mask in {path}. "
            f"Give each class its colour in classes.txt ('name r g b' on each line, in a folder: data set), "
            f"or save the mask as an 8-bit grey PNG whose values are the class numbers."
        )
    codes = _pack(rgb)  # (H, W): one number for each colour, so that a colour is found by a search among sorted ones
    known = _pack(np.array(list(colors)))
    order = np.argsort(known)
    position = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
    unknown = known[order][position] != codes
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        raise ValueError(
            f"read_label: expected the colours of classes.txt, got {tuple(rgb[row, column].tolist())} at row {row}, "
            f"column {column} of {path} ({np.count_nonzero(unknown)} such pixels in all). "
            f"Add the colour to classes.txt, or a line 'void r g b' to leave it out."
        )
    return np.array(list(colors.values()), dtype=np.uint8)[order][position]


def _pack(rgb: Array) -> Array:
    return (rgb.astype(np.int64) * (65536, 256, 1)).sum(axis=-1)


def _open(reader: str, path: str | Path) -> "Image":
    """The decoded image, its file closed again."""
    from PIL import Image

    if not Path(path).is_file():
        raise ValueError(f"{reader}: expected an image file at {path}, got no such file. Check the path.")
    try:
        with Image.open(path) as picture:
            picture.load()  # Pillow decodes here: opening alone does not notice a truncated file
            return picture
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{reader}: expected a readable image in {path}, got a damaged or unknown file ({error}). "
            f"Replace the file, or save it anew as PNG."
        ) from None


def save_image(path: str | Path, image: Array) -> None:
    """Writes (H, W, 3) RGB or (H, W) grey uint8, the format by the file's ending; whole or not at all.

    Raises TypeError for another dtype, ValueError for another shape, OSError where the disk refuses.
    """
    if image.dtype != np.uint8:
        raise TypeError(f"save_image: expected uint8, got {image.dtype}. Clip to 0..255 and convert.")
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"save_image: expected (H, W, 3) or (H, W), got {image.shape}. Move the channels last.")
    from PIL import Image

    _save(Path(path), Image.fromarray(np.ascontiguousarray(image)))


def save_label(path: str | Path, label: Array, palette: Array, void_color: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Writes (H, W) uint8 class numbers as a palette PNG: any viewer shows colours, `read_label` finds the numbers."""
    if label.dtype != np.uint8 or label.ndim != 2:
        raise TypeError(
            f"save_label: expected (H, W) uint8, got {label.shape} {label.dtype}. Convert the labels first."
        )
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(label))
    picture.putpalette(color_table(label, palette, void_color).tobytes())  # turns mode L into P
    _save(Path(path).with_suffix(".png"), picture)


def _save(path: Path, picture: "Image") -> None:
    """Encode in memory, then write whole; the ending chooses the format."""
    from PIL import Image

    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"save_image: expected a file ending such as .png or .jpg, got {path.name!r}. Add one.")
    encoded = io.BytesIO()
    picture.save(encoded, format=kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encoded.getvalue())
