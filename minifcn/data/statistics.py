"""Numbers computed from a data set, never typed in: mean and deviation of the pixels, and weights of the classes.

Roads fill pictures and poles do not, so an unweighted loss may forget the poles. Two published remedies are here:
median-frequency balancing (SegNet) and ENet's bounded weights.
"""

from typing import NamedTuple

import numpy as np

from .dataset import VOID, Array, Dataset


def channel_statistics(dataset: Dataset, limit: int | None = None) -> tuple[Array, Array]:
    """Mean (3,) and standard deviation (3,) of red, green and blue over all pixels, in units of 0..255.

    One number for each channel where images have more. `limit`: look only at so many samples, evenly spread (films put
    similar frames next to each other).
    """
    if dataset.channels != 3:
        return _moments(dataset, limit)
    # 256 counts a channel hold everything: sums of whole numbers are exact, in whatever order the images come.
    histogram = np.zeros((3, 256), dtype=np.int64)
    for index in _spread(dataset, limit):
        image = dataset[index].image  # (H, W, 3)
        for channel in range(3):
            histogram[channel] += np.bincount(image[:, :, channel].ravel(), minlength=256)
    values = np.arange(256.0)
    pixels = histogram.sum(axis=1)  # (3,), three equal numbers
    mean = histogram @ values / pixels
    variance = (histogram * (values - mean[:, None]) ** 2).sum(axis=1) / pixels
    return mean, np.sqrt(variance)


def _moments(dataset: Dataset, limit: int | None) -> tuple[Array, Array]:
    """The same from sums, for images that are not bytes: mean (C,) and standard deviation (C,)."""
    pixels, total, squares = 0, np.zeros(dataset.channels), np.zeros(dataset.channels)
    for index in _spread(dataset, limit):
        values = dataset[index].image.reshape(-1, dataset.channels).astype(np.float64)
        pixels += len(values)
        total += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
    mean = total / pixels
    return mean, np.sqrt(np.maximum(squares / pixels - mean**2, 0.0))


class ClassCounts(NamedTuple):
    """How many pixels each class has."""

    classes: tuple[str, ...]
    pixels: Array  # (K,) int64: pixels of the class
    area: Array  # (K,) int64: all pixels, void ones too, of the images in which the class occurs

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes that have no pixel."""
        return tuple(name for name, count in zip(self.classes, self.pixels, strict=True) if count == 0)


def count_classes(dataset: Dataset, limit: int | None = None) -> ClassCounts:
    """Counts the label pixels of `dataset`, or of `limit` samples evenly spread over it."""
    num_classes = len(dataset.classes)
    pixels = np.zeros(num_classes, dtype=np.int64)
    area = np.zeros(num_classes, dtype=np.int64)
    for index in _spread(dataset, limit):
        label = dataset[index].label  # (H, W)
        counts = np.bincount(label.ravel(), minlength=VOID + 1)[:num_classes]
        pixels += counts
        area[counts > 0] += label.size
    return ClassCounts(dataset.classes, pixels, area)


def class_frequencies(counts: ClassCounts) -> Array:
    """(K,) share of each class among all labelled pixels; they sum to 1. Raises ValueError if all pixels are void."""
    total = counts.pixels.sum()
    if total == 0:
        raise ValueError(
            "class_frequencies: expected some labelled pixels, got only 255 (void). "
            "Check the label files: 255 marks pixels to leave out, class numbers start at 0."
        )
    return counts.pixels / total


def median_frequency_weights(counts: ClassCounts) -> Array:
    """(K,) median-frequency balancing: weight = median of all frequencies / frequency of the class.

    A frequency is here: pixels of the class / pixels of the images in which it occurs. So a class that is rare only
    because few images have it is not weighted up. Absent classes get weight 0, stay out of the median, and are
    listed in `counts.absent`. (The weights that SegNet's authors published for CamVid do not follow from this formula
    and their own label files: for the sign class they give 9.64 where it yields 3.85. `segnet_weights` has them.)
    Source: Eigen and Fergus 2015, section 4.3.2; SegNet, section 3.1.
    """
    class_frequencies(counts)  # refuses a data set of void only
    present = counts.pixels > 0
    frequency = counts.pixels[present] / counts.area[present]
    weights = np.zeros(len(counts.classes))
    weights[present] = np.median(frequency) / frequency
    return weights


def enet_weights(frequencies: Array, c: float = 1.02) -> Array:
    """(K,) ENet's class weights, 1 / ln(c + p) for a class of share p; absent classes (p = 0) get 0.

    With c = 1.02 weights lie between 1.4 and 50.5: bounded, unlike median-frequency ones.
    Source: ENet, section 5.2 (1.02; the authors' encoder stage uses 1.2).
    """
    frequencies = np.asarray(frequencies, dtype=np.float64)
    if c <= 1:
        raise ValueError(f"enet_weights: expected c > 1, got {c}. Otherwise ln(c + p) reaches 0 for rare classes.")
    if not (np.isfinite(frequencies).all() and (frequencies >= 0).all() and (frequencies <= 1).all()):
        raise ValueError(
            f"enet_weights: expected shares between 0 and 1, got {frequencies.tolist()}. Use class_frequencies(counts)."
        )
    return np.where(frequencies > 0, 1 / np.log(c + frequencies), 0.0)


def _spread(dataset: Dataset, limit: int | None) -> Array:
    """Numbers of at most `limit` samples, evenly spread from the first on."""
    if limit is not None and limit < 1:
        raise ValueError(f"statistics: expected a limit of at least 1 sample, got {limit}. Leave it out to use all.")
    count = len(dataset) if limit is None else min(limit, len(dataset))
    return np.arange(count) * len(dataset) // count
