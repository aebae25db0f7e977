"""Image and label change alike. Pixels that carry their own coordinates show where each one went."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from minifcn.data import Augmentation, random_crop, random_flip, random_scale, resize, resize_image, resize_label


def coordinates(h, w):
    """An image whose red is the row, whose green is the column, and a label made of both."""
    rows, columns = np.mgrid[:h, :w].astype(np.uint8)
    return np.stack([rows, columns, np.full_like(rows, 9)], axis=2), (rows * 7 + columns * 3) % 11


@pytest.mark.parametrize(("old", "new"), [((5, 8), (10, 4)), ((7, 3), (3, 7)), ((4, 6), (9, 13)), ((1, 1), (2, 3))])
def test_resize_label_takes_the_pixel_under_the_centre(old, new):
    _, label = coordinates(*old)
    expected = [
        [
            label[floor((i + Fraction(1, 2)) * old[0] / new[0]), floor((j + Fraction(1, 2)) * old[1] / new[1])]
            for j in range(new[1])
        ]
        for i in range(new[0])
    ]
    np.testing.assert_array_equal(resize_label(label, new), expected)


def test_resize_image_is_bilinear(rng):
    """Enlarging, against the definition: pixel centres at (i + 1/2), clamped at the border, to Pillow's rounding."""
    image = rng.integers(0, 256, size=(4, 5, 3)).astype(np.uint8)
    new = (9, 12)

    def weights(n, m):
        matrix = np.zeros((m, n))
        for i in range(m):
            place = (i + 0.5) * n / m - 0.5
            low = floor(place)
            matrix[i, min(max(low, 0), n - 1)] += 1 - (place - low)
            matrix[i, min(max(low + 1, 0), n - 1)] += place - low
        return matrix

    expected = np.einsum("ih,jw,hwc->ijc", weights(4, new[0]), weights(5, new[1]), image.astype(float))
    assert np.abs(resize_image(image, new) - expected).max() <= 1


def test_resize_does_both_and_leaves_the_right_size_alone():
    image, label = coordinates(6, 9)
    new_image, new_label = resize(image, label, (12, 6))
    assert (new_image.shape, new_label.shape) == ((12, 6, 3), (12, 6))
    assert resize_image(image, (6, 9)) is image


def test_flip_is_left_to_right_and_in_half_of_the_cases():
    image, label = coordinates(4, 5)
    flipped = 0
    for seed in range(400):
        new_image, new_label = random_flip(image, label, seed)
        if new_image[0, 0, 1] == 4:
            flipped += 1
            np.testing.assert_array_equal(new_image, [[image[i, 4 - j] for j in range(5)] for i in range(4)])
            np.testing.assert_array_equal(new_label, [[label[i, 4 - j] for j in range(5)] for i in range(4)])
        else:
            np.testing.assert_array_equal(new_image, image)
            np.testing.assert_array_equal(new_label, label)
    assert 160 < flipped < 240  # four standard deviations


def test_crop_is_a_window_and_every_window_comes():
    image, label = coordinates(6, 8)
    corners = set()
    for seed in range(300):
        new_image, new_label = random_crop(image, label, seed, (4, 5))
        top, left = int(new_image[0, 0, 0]), int(new_image[0, 0, 1])
        np.testing.assert_array_equal(new_image, image[top : top + 4, left : left + 5])
        np.testing.assert_array_equal(new_label, label[top : top + 4, left : left + 5])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(3) for left in range(4)}


@pytest.mark.parametrize("size", [(9, 7), (4, 11), (9, 11)])
def test_crop_pads_with_void_and_the_mean_colour(size):
    """Pixel by pixel: either it shows a coordinate of the image, with its label, or it is padding."""
    image, label = coordinates(6, 8)
    for seed in range(40):
        new_image, new_label = random_crop(image, label, seed, size, fill=(200, 100.4, 50.6))
        assert (new_image.shape, new_label.shape) == ((*size, 3), size)
        seen = set()
        for i in range(size[0]):
            for j in range(size[1]):
                if new_label[i, j] == 255:
                    assert new_image[i, j].tolist() == [200, 100, 51]
                else:
                    row, column = new_image[i, j, :2].tolist()
                    assert new_label[i, j] == label[row, column]
                    seen.add((row - i, column - j, row, column))
        assert len({(dy, dx) for dy, dx, _, _ in seen}) == 1  # one shift for all
        assert len(seen) == min(6, size[0]) * min(8, size[1])  # as much of the image as fits


def test_padding_is_by_default_the_images_own_mean():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = (10, 20, 30)
    new_image, new_label = random_crop(image, np.zeros((2, 2), np.uint8), 0, (5, 5))
    assert np.unique(new_image[new_label == 255], axis=0).tolist() == [[5, 10, 15]]


def test_scale_stays_within_its_bounds_and_keeps_the_shape():
    image, label = coordinates(40, 60)
    heights = []
    for seed in range(100):
        new_image, new_label = random_scale(image, label, seed, (0.5, 2.0))
        assert new_image.shape[:2] == new_label.shape
        h, w = new_label.shape
        assert abs(w - 1.5 * h) <= 1.5
        heights.append(h)
    assert 20 <= min(heights) < 26
    assert 74 < max(heights) <= 80
    assert random_scale(image, label, 0, (0.001, 0.001))[1].shape == (1, 1)  # never nothing


def test_augmentation_keeps_image_and_label_together():
    """Red is the label: after flip, crop and enlarging by 3 the two still agree, away from the blended edges."""
    label = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10))).astype(np.uint8)
    image = np.stack([label * 20] * 3, axis=2)
    augment = Augmentation(flip=True, scale=(1.5, 3.0), crop=(24, 31))
    for seed in range(50):
        new_image, new_label = augment(image, label, seed)
        assert new_label.shape == (24, 31)
        inside = new_label != 255
        off = new_image[..., 0].astype(int) - 20 * new_label
        assert (np.abs(off[inside]) > 10).mean() < 0.25
        assert len(np.unique(new_label)) > 1


def test_augmentation_repeats_and_changes_with_the_generator():
    image, label = coordinates(30, 40)
    augment = Augmentation(scale=(0.7, 1.4), crop=(20, 20))
    first, again, other = (augment(image, label, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    same = Augmentation(flip=False)(image, label, 0)
    assert same[0] is image
    assert same[1] is label


def test_wrong_sizes_and_scales():
    image, label = coordinates(4, 5)
    with pytest.raises(ValueError, match=r"0 < smallest <= largest, got \(2, 0.5\)"):
        random_scale(image, label, 0, (2, 0.5))
    with pytest.raises(ValueError, match=r"0 < smallest <= largest, got \(0, 1\)"):
        Augmentation(scale=(0, 1))
    with pytest.raises(ValueError, match=r"Augmentation: expected a size \(H, W\) .* got \(0, 5\)"):
        Augmentation(crop=(0, 5))
    with pytest.raises(ValueError, match=r"resize: expected a size .* got \(4, 2.5\)"):
        resize(image, label, (4, 2.5))
    for fill in ((0, 0, 256), (np.nan, 0, 0)):
        with pytest.raises(ValueError, match=r"random_crop: expected a fill colour within 0..255, got \("):
            random_crop(image, label, 0, (9, 9), fill)
    with pytest.raises(ValueError, match=r"random_crop: expected a size .* got \(-1, 3\)"):
        random_crop(image, label, 0, (-1, 3))
