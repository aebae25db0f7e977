"""Mean, deviation and class weights follow from their definitions, by NumPy on all pixels at once and by hand."""

from math import log

import numpy as np
import pytest

from minifcn.data import (
    ClassCounts,
    Dataset,
    Sample,
    Street,
    channel_statistics,
    class_frequencies,
    count_classes,
    enet_weights,
    median_frequency_weights,
    voc_palette,
)


class Made(Dataset):
    """The given (image, label) pairs, of four classes."""

    def __init__(self, pairs):
        super().__init__("made", ("a", "b", "c", "d"), voc_palette(4), "train")
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def load(self, index):
        return Sample(*self.pairs[index], f"made{index}")


def test_channel_statistics(rng):
    random_set = Made(
        [(rng.integers(0, 256, (5, 8, 3)).astype(np.uint8), np.zeros((5, 8), np.uint8)) for _ in range(7)]
    )
    pixels = np.concatenate([image.reshape(-1, 3) for image, _ in random_set.pairs]).astype(float)
    mean, std = channel_statistics(random_set)
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=0), rtol=1e-12)
    few = np.concatenate([random_set.pairs[index][0].reshape(-1, 3) for index in (0, 2, 4)])  # 3 of 7, spread evenly
    np.testing.assert_allclose(channel_statistics(random_set, limit=3)[0], few.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(channel_statistics(random_set, limit=99)[0], mean, rtol=0)
    with pytest.raises(ValueError, match="limit of at least 1 sample, got 0"):
        channel_statistics(random_set, limit=0)


def test_class_weights_by_hand():
    """Two 2x4 images. a: 4 + 2 pixels; b: 4 in the first; c: 1 in the second; d: none; 5 void."""
    image = np.zeros((2, 4, 3), np.uint8)
    first = np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.uint8)
    second = np.array([[0, 0, 2, 255], [255, 255, 255, 255]], np.uint8)
    counts = count_classes(Made([(image, first), (image, second)]))
    assert counts.pixels.tolist() == [6, 4, 1, 0]
    assert counts.area.tolist() == [16, 8, 8, 0]
    assert counts.absent == ("d",)
    frequencies = class_frequencies(counts)
    np.testing.assert_allclose(frequencies, [6 / 11, 4 / 11, 1 / 11, 0])
    # Frequencies where present: 6/16, 4/8, 1/8; their median is 6/16.
    np.testing.assert_allclose(median_frequency_weights(counts), [1, 0.75, 3, 0])
    np.testing.assert_allclose(enet_weights(frequencies), [1 / log(1.02 + p) for p in (6 / 11, 4 / 11, 1 / 11)] + [0])
    np.testing.assert_allclose(enet_weights([1, 0.5], c=1.2), [1 / log(2.2), 1 / log(1.7)])


def test_weights_refuse():
    void_only = ClassCounts(("a", "b"), np.zeros(2, int), np.zeros(2, int))
    for function in (class_frequencies, median_frequency_weights):
        with pytest.raises(ValueError, match=r"some labelled pixels, got only 255 \(void\)"):
            function(void_only)
    with pytest.raises(ValueError, match="c > 1, got 1"):
        enet_weights([0.5, 0.5], c=1)
    for wrong in ([0.5, np.nan], [-0.1, 1], [200, 100]):
        with pytest.raises(ValueError, match="shares between 0 and 1, got"):
            enet_weights(wrong)


def test_statistics_of_street_are_those_of_its_scenes():
    street = Street("val", length=4, size=(48, 64))
    counts = count_classes(street)
    labels = np.stack([sample.label for sample in street])
    assert counts.pixels.tolist() == [int((labels == k).sum()) for k in range(7)]
