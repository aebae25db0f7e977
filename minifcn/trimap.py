"""How good is a segmentation along the outlines? The same scores, counted in a narrow band around them only.

Most pixels of a photograph lie deep inside something, where a coarse network is right as often as a fine one. A band of
some pixels around the outlines (a *trimap*: inside, outside, and the band between) shows the difference.

Where an outline is depends on how the labels were made. A pixel is in the band of width w if the square of 2w + 1
pixels around it holds

    "void"     a void pixel, and it is none itself: PASCAL VOC leaves a void border around every object
    "change"   a pixel of another class, void apart: for labels whose classes touch each other

Sources: Kohli, Ladicky, Torr, "Robust higher order potentials for enforcing label consistency", 2009, section 5;
DeepLab's MyVOCevalsegBoundary.m for "void" (square window, w = 1..40).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .metrics import ConfusionMatrix

Array = np.ndarray
BOUNDARIES = ("void", "change")


def trimap(label: Array, width: int, *, boundary: str = "change", ignore_index: int = 255) -> Array:
    """The band of `width` pixels around the outlines of a label map.

    Args:
        label: (H, W) integers.
        width: 1 or more: pixels on each side of an outline.
        boundary: "void" or "change", see above.
        ignore_index: the void label; it is never in the band.

    Returns (H, W) bool. Raises ValueError for another width or boundary, TypeError for labels that are no integers.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    label, window = np.asarray(label), 2 * width + 1
    _check(width, boundary)
    if label.ndim != 2 or label.dtype.kind not in "iu":
        raise TypeError(f"trimap: expected labels (H, W) of an integer dtype, got shape {label.shape}, {label.dtype}. "
                        f"Pass one label map.")
    valid = label != ignore_index
    if boundary == "void":
        return valid & maximum_filter(~valid, window, mode="nearest")
    # Two classes are in a window if its largest class number is not its smallest; void is neither.
    numbers, limits = label.astype(np.int32), np.iinfo(np.int32)
    largest = maximum_filter(np.where(valid, numbers, limits.min), window, mode="nearest")
    smallest = minimum_filter(np.where(valid, numbers, limits.max), window, mode="nearest")
    return valid & (largest != smallest)


class Trimaps:
    """Scores in the bands of several widths, over as many images as you add.

    Attributes:
        widths, boundary: see `trimap`.
        matrices: a ConfusionMatrix for each width; pixels outside its band are void to it.
    """

    def __init__(
        self, num_classes: int, widths: Sequence[int], boundary: str = "change", ignore_index: int = 255
    ) -> None:
        for width in widths:
            _check(width, boundary)
        self.widths, self.boundary, self.ignore_index = tuple(widths), boundary, ignore_index
        self.matrices = [ConfusionMatrix(num_classes, ignore_index) for _ in self.widths]

    def add(self, prediction: Array, target: Array) -> None:
        """Count the bands of one label map: (H, W) integers each, as for `ConfusionMatrix.add`."""
        for width, matrix in zip(self.widths, self.matrices, strict=True):
            band = trimap(target, width, boundary=self.boundary, ignore_index=self.ignore_index)
            matrix.add(prediction, np.where(band, target, self.ignore_index))

    def as_list(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """One object for each width, as JSON wants it: width, boundary, pixels, and `Scores.as_dict` if pixels > 0."""
        rows = []
        for width, matrix in zip(self.widths, self.matrices, strict=True):
            pixels = int(matrix.counts.sum())
            row: dict[str, Any] = {"width": width, "boundary": self.boundary, "pixels": pixels}
            rows.append(row | (matrix.scores().as_dict(class_names) if pixels else {}))
        return rows


def _check(width: int, boundary: str) -> None:
    if int(width) != width or width < 1:
        raise ValueError(f"trimap: expected a width of 1 or more whole pixels, got {width}. DeepLab uses 1 to 40.")
    if boundary not in BOUNDARIES:
        raise ValueError(f"trimap: expected boundary 'void' or 'change', got {boundary!r}. Take 'void' for labels with "
                         f"a void border around objects (PASCAL VOC), 'change' for others.")
