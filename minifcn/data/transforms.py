"""Random changes to an image and its label map, made to both alike.

The image is resampled bilinearly, the label map by nearest neighbour: between class 2 and class 4 there is no class 3.
All functions are pure; the randomness comes in as `rng` (a Generator, or an int to make one from).
"""

from dataclasses import dataclass

import numpy as np

from .dataset import VOID, Array
from .elastic import check_sigma, random_elastic

Rng = int | np.random.Generator
Pair = tuple[Array, Array]  # image (H, W, 3) uint8 (or what else `Sample` allows) and label (H, W) uint8


def resize_image(image: Array, size: tuple[int, int]) -> Array:
    """(H, W, C) -> (*size, C), bilinear; when shrinking, Pillow averages over all pixels that it covers.

    The dtype, uint8 or float32, is kept.
    """
    size = check_size("resize", size)
    if image.shape[:2] == size:
        return image
    if image.shape[2] != 3:  # Pillow knows pictures of three channels, and of one
        return np.stack([_resized(channel, size) for channel in np.moveaxis(image, 2, 0)], axis=2)
    return _resized(image, size)


def _resized(image: Array, size: tuple[int, int]) -> Array:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.array(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))  # Pillow: width first


def resize_label(label: Array, size: tuple[int, int]) -> Array:
    """(H, W) -> size, nearest neighbour by pixel centres: output i takes input floor((i + 1/2) * H / OH)."""
    oh, ow = check_size("resize", size)
    h, w = label.shape
    rows = (2 * np.arange(oh) + 1) * h // (2 * oh)  # integers, so that no rounding moves a boundary
    columns = (2 * np.arange(ow) + 1) * w // (2 * ow)
    return label[rows[:, None], columns]


def resize(image: Array, label: Array, size: tuple[int, int]) -> Pair:
    """Both to `size` (H, W)."""
    return resize_image(image, size), resize_label(label, size)


def random_flip(image: Array, label: Array, rng: Rng) -> Pair:
    """Left and right exchanged in half of the cases."""
    if np.random.default_rng(rng).random() < 0.5:
        return image[:, ::-1], label[:, ::-1]
    return image, label


def random_scale(image: Array, label: Array, rng: Rng, scale: tuple[float, float]) -> Pair:
    """Both enlarged by one factor, uniform between the two numbers of `scale`."""
    factor = np.random.default_rng(rng).uniform(*_check_scale(scale))
    h, w = label.shape
    return resize(image, label, (max(1, round(h * factor)), max(1, round(w * factor))))


def random_crop(
    image: Array, label: Array, rng: Rng, size: tuple[int, int], fill: tuple[float, ...] | Array | None = None
) -> Pair:
    """A window of `size` (H, W) at a random place.

    Where the image is smaller, the window contains all of it, at a random place; what is left over has the label 255
    and the colour `fill`, by default the image's own mean colour, which says least to the network.
    """
    rng = np.random.default_rng(rng)
    ch, cw = check_size("random_crop", size)
    h, w = label.shape
    # The window slides within a larger image and around a smaller one: either way its corner is between 0 and h - ch.
    top = int(rng.integers(min(0, h - ch), max(0, h - ch) + 1))
    left = int(rng.integers(min(0, w - cw), max(0, w - cw) + 1))
    if ch <= h and cw <= w:
        return image[top : top + ch, left : left + cw], label[top : top + ch, left : left + cw]

    color = image.mean(axis=(0, 1)) if fill is None else np.asarray(fill, dtype=np.float64)
    if not ((color >= 0) & (color <= 255)).all():
        raise ValueError(
            f"random_crop: expected a fill colour within 0..255, got {fill}. Give it in the image's units."
        )
    new_image = np.empty((ch, cw, image.shape[2]), dtype=image.dtype)
    new_image[:] = np.rint(color) if image.dtype == np.uint8 else color
    new_label = np.full((ch, cw), VOID, dtype=np.uint8)
    rows, columns = slice(max(0, top), min(h, top + ch)), slice(max(0, left), min(w, left + cw))  # in the image
    to_rows, to_columns = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    new_image[to_rows, to_columns] = image[rows, columns]
    new_label[to_rows, to_columns] = label[rows, columns]
    return new_image, new_label


@dataclass(frozen=True)
class Augmentation:
    """Which random changes training makes: scale first, then elastic deformation, crop, flip.

    Attributes:
        flip: exchange left and right in half of the cases.
        scale: the smallest and the largest factor; (1, 1) leaves the size alone.
        crop: (H, W) of the window, or None for the whole image.
        elastic: the standard deviation of `random_elastic`, in pixels; 0 for none. Before the crop, so that what moves
            into the window is the image around it, not its mirror.
    """

    flip: bool = True
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[int, int] | None = None
    elastic: float = 0.0

    def __post_init__(self) -> None:
        _check_scale(self.scale)
        check_sigma("Augmentation", self.elastic)
        if self.crop is not None:
            check_size("Augmentation", self.crop)

    def __call__(self, image: Array, label: Array, rng: Rng, fill: tuple[float, ...] | Array | None = None) -> Pair:
        """A changed pair; `fill` as in `random_crop`."""
        rng = np.random.default_rng(rng)
        if self.scale != (1.0, 1.0):
            image, label = random_scale(image, label, rng, self.scale)
        if self.elastic:
            image, label = random_elastic(image, label, rng, self.elastic)
        if self.crop is not None:
            image, label = random_crop(image, label, rng, self.crop, fill)
        if self.flip:
            image, label = random_flip(image, label, rng)
        return image, label


def _check_scale(scale: tuple[float, float]) -> tuple[float, float]:
    low, high = scale
    if not 0 < low <= high < np.inf:
        raise ValueError(
            f"random_scale: expected factors 0 < smallest <= largest, got {scale}. "
            f"For example (0.5, 2.0), from half the size to double."
        )
    return low, high


def check_size(op: str, size: tuple[int, int]) -> tuple[int, int]:
    """`size` as two ints (H, W). Raises ValueError unless both are whole and at least 1."""
    height, width = size
    if int(height) != height or int(width) != width or height < 1 or width < 1:
        raise ValueError(
            f"{op}: expected a size (H, W) of two whole numbers, 1 or more, got {size}. Height comes first."
        )
    return int(height), int(width)
