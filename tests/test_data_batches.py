"""Batches are pure functions of (seed, step), and caches change nothing."""

import numpy as np
import pytest

from minifcn.data import (
    Augmentation,
    Cached,
    Dataset,
    Resized,
    Sample,
    batch_indices,
    load_batch,
    to_batch,
    valid_pixels,
    voc_palette,
)


class Made(Dataset):
    """A data set of the given (image, label) pairs that counts how often it is read."""

    def __init__(self, pairs, classes):
        super().__init__("made", classes, voc_palette(len(classes)), "train")
        self.pairs, self.reads = pairs, 0

    def __len__(self):
        return len(self.pairs)

    def load(self, index):
        self.reads += 1
        image, label = self.pairs[index]
        return Sample(image, label, f"made{index}")


@pytest.fixture
def random_set(rng):
    """Seven 5x8 samples of three classes, one of which never occurs."""
    pairs = [
        (rng.integers(0, 256, (5, 8, 3)).astype(np.uint8), rng.choice([0, 1, 255], (5, 8)).astype(np.uint8))
        for _ in range(7)
    ]
    return Made(pairs, ("a", "b", "never"))


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (7, 7), (5, 8), (3, 10), (1, 4), (12, 4)])
def test_every_epoch_is_a_permutation_across_batch_boundaries(n, batch_size):
    row = np.concatenate([batch_indices(n, batch_size, seed=3, step=step) for step in range(4 * n)])
    assert len(row) == 4 * n * batch_size
    for start in range(0, len(row), n):
        assert sorted(row[start : start + n].tolist()) == list(range(n))


def test_batches_have_no_memory():
    late_first = [batch_indices(20, 6, 1, step).tolist() for step in reversed(range(9))]
    assert late_first[::-1] == [batch_indices(20, 6, 1, step).tolist() for step in range(9)]
    epochs = {tuple(batch_indices(20, 20, seed, step)) for seed in range(2) for step in range(3)}
    assert len(epochs) == 6  # another order for every seed and epoch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1, 0, 0), "n >= 1, got 0"), ((5, 0, 0, 0), "batch_size >= 1, got 0"), ((5, 1, -1, 0), "seed >= 0, got -1"),
     ((5, 1, 0, -2), "step >= 0, got -2")],
)  # fmt: skip
def test_wrong_batch_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        batch_indices(*arguments)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_batch_by_brute_force(random_set, dtype):
    mean, scale = np.array([10.0, 20.5, 30.0]), np.array([0.5, 0.25, 2.0])
    samples = [random_set[index] for index in (4, 0, 4)]
    x, target = to_batch(samples, mean, scale, dtype)
    assert (x.shape, x.dtype, x.flags.c_contiguous) == ((3, 3, 5, 8), dtype, True)
    assert (target.shape, target.dtype) == ((3, 5, 8), np.int64)
    for n, sample in enumerate(samples):
        for c in range(3):
            for i in range(5):
                for j in range(8):
                    assert x[n, c, i, j] == dtype((float(sample.image[i, j, c]) - mean[c]) * scale[c])
        np.testing.assert_array_equal(target[n], sample.label)


def test_to_batch_refuses(random_set):
    with pytest.raises(ValueError, match="at least one sample, got none"):
        to_batch([])
    small = Sample(np.zeros((4, 8, 3), np.uint8), np.zeros((4, 8), np.uint8), "small")
    with pytest.raises(ValueError, match=r"one size, 5x8 \(made1\), got 4x8 \(small\). Set one size"):
        to_batch([random_set[1], small])
    with pytest.raises(ValueError, match="finite pixels, got nan in channel 1, row 0, column 0 of made1"):
        to_batch([random_set[1]], mean=[0, np.nan, 0])
    with pytest.raises(ValueError, match=r"finite pixels, got -?inf in channel 0"):
        to_batch([random_set[1]], mean=300, scale=np.inf)
    image = np.zeros((5, 8, 3))
    image[3, 6, 2] = np.nan
    with pytest.raises(ValueError, match="got nan in channel 2, row 3, column 6 of broken"):
        to_batch([random_set[1], Sample(image, random_set[1].label, "broken")])


def test_load_batch_repeats_bit_for_bit_cached_or_not(random_set):
    options = {
        "augmentation": Augmentation(scale=(0.6, 1.5), crop=(7, 6)),
        "size": (10, 12),
        "mean": 100,
        "scale": 0.01,
    }
    cached = Cached(random_set)
    for step in (5, 6, 5):
        indices = batch_indices(7, 4, 0, step)
        plain = load_batch(random_set, indices, seed=2, step=step, **options)
        again = load_batch(cached, indices, seed=2, step=step, **options)
        for a, b in zip(plain, again, strict=True):
            np.testing.assert_array_equal(a, b)
        assert plain[0].shape == (4, 3, 7, 6)
    other = load_batch(random_set, indices, seed=3, step=step, **options)
    assert not np.array_equal(plain[0], other[0])


def test_samples_of_a_batch_are_augmented_independently(random_set):
    """The same sample six times in a batch comes out in several ways; padding is zero after the mean is taken off."""
    crop = Augmentation(flip=False, crop=(9, 9))
    x, target = load_batch(random_set, [3] * 6, augmentation=crop, mean=[50, 60, 70])
    assert len({image.tobytes() for image in x}) > 1
    assert (x.transpose(0, 2, 3, 1)[target == 255].reshape(-1, 3) == 0).all(axis=1).sum() >= 6 * (81 - 40)
    one, _ = load_batch(random_set, 3, size=(5, 8))
    np.testing.assert_array_equal(one, random_set[3].image.transpose(2, 0, 1)[None])


def test_valid_pixels():
    assert valid_pixels(np.array([[[0, 255], [255, 3]]])) == 2
    assert valid_pixels(np.full((2, 3, 4), 255)) == 0


def test_cache_reads_once_within_its_bounds(random_set):
    cached = Cached(random_set, max_bytes=3 * 160 + 159)  # a sample takes 5 * 8 * (3 + 1) = 160 bytes
    for _ in range(2):
        for index in range(7):
            np.testing.assert_array_equal(cached[index].image, random_set.pairs[index][0])
    assert random_set.reads == 7 + 4
    assert cached.used_bytes == 480
    assert cached[-7].name == "made0"
    assert random_set.reads == 11
    with pytest.raises(ValueError, match="read-only"):
        cached[0].image[:] = 0
    with pytest.raises(IndexError, match="below 7"):
        cached[7]
    assert (cached.classes, cached.name, len(cached)) == (random_set.classes, "made", 7)
    assert cached.notes is random_set.notes
    assert cached.files(2) == random_set.files(2)


def test_resized(random_set):
    resized = Cached(Resized(random_set, (10, 4)))
    assert (resized[0].image.shape, resized[0].label.shape) == ((10, 4, 3), (10, 4))
    np.testing.assert_array_equal(resized[2].label[::2], random_set[2].label[:, 1::2])
    with pytest.raises(ValueError, match=r"Resized: expected a size .* got \(0, 4\)"):
        Resized(random_set, (0, 4))
