"""Class colours: from label numbers to a picture that a person can read."""

import numpy as np

from .dataset import VOID, Array


def voc_palette(num_classes: int) -> Array:
    """(num_classes, 3) uint8: PASCAL VOC's colours, which any number of classes up to 256 can use.

    The bits of the class number are dealt out to red, green and blue in turn, and each channel takes its bits from
    the most significant one down. So near numbers get colours that are far apart:

        1 -> (128, 0, 0), 2 -> (0, 128, 0), 3 -> (128, 128, 0), ..., 8 -> (64, 0, 0)

    Source: VOCdevkit, VOClabelcolormap.m (Everingham et al., The PASCAL Visual Object Classes Challenge).
    """
    if not 1 <= num_classes <= 256:
        raise ValueError(f"voc_palette: expected 1 to 256 classes, got {num_classes}. Labels are stored in one byte.")
    numbers = np.arange(num_classes)
    palette = np.zeros((num_classes, 3), dtype=np.uint8)
    for position in range(8):
        for channel in range(3):
            bit = (numbers >> (3 * position + channel)) & 1
            palette[:, channel] |= (bit << (7 - position)).astype(np.uint8)
    return palette


def colorize(label: Array, palette: Array, void_color: tuple[int, int, int] = (0, 0, 0)) -> Array:
    """(H, W) labels -> (H, W, 3) uint8 RGB; 255 becomes `void_color`. Raises ValueError for labels without a colour."""
    return color_table(label, palette, void_color)[label]  # (H, W, 3)


def color_table(label: Array, palette: Array, void_color: tuple[int, int, int] = (0, 0, 0)) -> Array:
    """(256, 3) uint8: the colour of each number, black where there is none. Raises as `colorize` does."""
    outside = (label != VOID) & ((label < 0) | (label >= len(palette)))
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise ValueError(f"colorize: expected labels 0..{len(palette) - 1} ({len(palette)} colours in the palette) or "
                         f"{VOID} (void), got {label[row, column]} at row {row}, column {column}. "
                         f"Pass the palette of the data set that the labels belong to.")
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(palette)] = palette
    table[VOID] = void_color
    return table
