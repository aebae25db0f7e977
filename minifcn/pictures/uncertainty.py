"""Maps of uncertainty as pictures: white where the network is sure, black where it is not.

The scales are fixed by the number of classes, so that two pictures, or two networks, can be compared by eye.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.dataset import Array
from ..data.palette import colorize
from .sheet import panel_width, write_sheet

TITLES = ("Image", "Labels", "Uncertainty", "Entropy")
SHOWN = 1 / 8  # of the largest variance: black, since it takes samples that are sure, and of each class in turn


def uncertainty_map(uncertainty: Array, num_classes: int) -> Array:
    """The variance of probabilities, averaged over classes, as greys: (H, W) -> (H, W) uint8.

    White is 0; black is an eighth of `largest_variance`, and more. The shade goes by the root, that is by a standard
    deviation, so that small values can be told apart.
    """
    return _greys(np.sqrt(uncertainty / (SHOWN * largest_variance(num_classes))))


def entropy_map(entropy: Array, num_classes: int) -> Array:
    """The entropy of probabilities in nats as greys: (H, W) -> (H, W) uint8. White is 0, black log(num_classes)."""
    return _greys(entropy / math.log(max(2, num_classes)))


def largest_variance(num_classes: int) -> float:
    """The most that the variance of K probabilities, averaged over them, can be: (K - 1) / K**2.

    Their sum is E|p|^2 - |E p|^2. The first term is at most 1, the second at least 1/K.
    """
    classes = max(2, num_classes)  # a single one has no spread; everything is white
    return (classes - 1) / classes**2


def uncertainty_sheet(
    path: str | Path, image: Array, labels: Array, uncertainty: Array, entropy: Array, *,
    classes: Sequence[str], palette: Array, samples: int,
) -> None:
    """Write one picture: image | labels | uncertainty | entropy, the class colours below.

    Args:
        path: where to; the ending chooses the format.
        image: (H, W, 3) uint8.
        labels: (H, W) uint8.
        uncertainty, entropy: (H, W), see `uncertainty_map` and `entropy_map`.
        classes, palette: K names and colours (K, 3) for the legend.
        samples: how many the maps were made from, for the caption.

    Raises ValueError for labels without a colour.
    """
    from PIL import Image

    width = panel_width(image.shape[1])
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    number = len(classes)
    maps = (colorize(labels, palette), uncertainty_map(uncertainty, number), entropy_map(entropy, number))
    # The photograph may be smoothed; of the maps each pixel stays what it is.
    line = [Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)]
    line += [Image.fromarray(each).resize(size, Image.Resampling.NEAREST) for each in maps]
    captions = (
        f"{image.shape[0]}x{image.shape[1]}",
        f"by the mean of {samples} samples",
        f"white 0, black {SHOWN * largest_variance(number):.2g} and more, by the root",
        f"white 0, black {math.log(max(2, number)):.2f} nats",
    )
    swatches = list(zip(classes, np.asarray(palette, np.uint8), strict=True))
    write_sheet(path, TITLES, [line], swatches, captions=captions)


def _greys(share: Array) -> Array:
    """0 is white, 1 and more is black."""
    return np.rint(255 * (1 - np.clip(share, 0, 1))).astype(np.uint8)
