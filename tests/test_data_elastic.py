"""Elastic deformation. Pixels that carry their own coordinates show where each one came from."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from minifcn.data import Augmentation, random_elastic
from minifcn.data.elastic import displace, interpolate


def coordinates(h, w):
    """An image of floats, the row, the column, and another number; a label of regions 3 pixels large."""
    rows, columns = np.mgrid[:h, :w]
    image = np.stack([rows, columns, rows * 0 + 9], axis=2).astype(np.float32)
    return image, ((rows // 3 * 7 + columns // 3 * 3) % 11).astype(np.uint8)


def mirrored(places, size):
    """Places beyond the border, mirrored at the centre of the border pixel."""
    places = np.abs(places) % (2 * (size - 1))
    return np.minimum(places, 2 * (size - 1) - places)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_zero_sigma_is_the_identity(rng, dtype):
    image, label = rng.integers(0, 256, (7, 9, 3)).astype(dtype), rng.integers(0, 11, (7, 9)).astype(np.uint8)
    new_image, new_label = random_elastic(image, label, 3, 0.0)
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label, label)
    assert (new_image.dtype, new_label.dtype) == (dtype, np.uint8)


@pytest.mark.parametrize("shift", [(2, 3), (-2, 1), (0, -4), (5, -5)])
def test_a_constant_displacement_is_a_shift(rng, shift):
    image, label = rng.integers(0, 256, (8, 10, 3)).astype(np.uint8), rng.integers(0, 11, (8, 10)).astype(np.uint8)
    displacements = np.ones((2, 8, 10)) * np.reshape(shift, (2, 1, 1))
    new_image, new_label = displace(image, label, displacements)
    window = slice(5 + shift[0], 13 + shift[0]), slice(5 + shift[1], 15 + shift[1])
    np.testing.assert_array_equal(new_image, np.pad(image, ((5, 5), (5, 5), (0, 0)), "reflect")[window])
    np.testing.assert_array_equal(new_label, np.pad(label, 5, "reflect")[window])


def test_between_pixels_images_are_blended_and_labels_are_not(rng):
    image, label = rng.integers(0, 256, (8, 10, 3)).astype(np.uint8), rng.integers(0, 11, (8, 10)).astype(np.uint8)
    new_image, new_label = displace(image, label, np.ones((2, 8, 10)) * np.reshape((0.25, 0.6), (2, 1, 1)))
    a, b, c, d = (image[i : i + 7, j : j + 9].astype(float) for i in (0, 1) for j in (0, 1))
    expected = 0.75 * (0.4 * a + 0.6 * b) + 0.25 * (0.4 * c + 0.6 * d)
    np.testing.assert_allclose(new_image[:7, :9], expected, atol=0.5 + 1e-9)
    np.testing.assert_array_equal(new_label[:7, :9], label[:7, 1:])
    floats, _ = displace(image.astype(np.float32), label, np.ones((2, 8, 10)) * np.reshape((0.25, 0.6), (2, 1, 1)))
    np.testing.assert_allclose(floats[:7, :9], expected, rtol=1e-6)
    assert floats.dtype == np.float32


def test_every_pixel_comes_from_where_its_displacement_says(rng):
    image, label = coordinates(20, 31)
    displacements = rng.normal(0, 6, (2, 20, 31))
    new_image, _ = displace(image, label, displacements)
    rows, columns = np.mgrid[:20, :31] + displacements
    np.testing.assert_allclose(new_image[..., 0], mirrored(rows, 20), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(new_image[..., 1], mirrored(columns, 31), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(new_image[..., 2], 9, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_image_and_label_stay_aligned(seed):
    """The new label is that of the pixel nearest to the place which the new image shows."""
    image, label = coordinates(40, 52)
    new_image, new_label = random_elastic(image, label, seed, 5.0)
    rows, columns = (np.rint(new_image[..., axis]).astype(int) for axis in (0, 1))
    close = np.abs(new_image[..., :2] % 1 - 0.5).min(axis=2) < 1e-3  # halfway between two pixels
    assert close.mean() < 0.02
    np.testing.assert_array_equal(new_label[~close], label[rows, columns][~close])
    assert (new_label != label).mean() > 0.2


def test_displacements_are_a_cubic_spline_through_the_grid(rng):
    """Flat at the border: SciPy's spline of one variable with clamped ends, down and then across."""
    coarse, size = rng.normal(0, 10, (2, 3, 3)), (21, 33)
    down = CubicSpline([0, 10, 20], coarse, axis=1, bc_type="clamped")(np.arange(21))  # (2, 21, 3)
    expected = CubicSpline([0, 16, 32], down, axis=2, bc_type="clamped")(np.arange(33))
    found = interpolate(coarse, size)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(found[:, ::10, ::16], coarse, atol=1e-10)  # corners on corners, the middle in the middle
    np.testing.assert_allclose(interpolate(np.full((2, 3, 3), 4.0), (5, 8)), 4.0, rtol=1e-12)


def test_displacements_are_smooth(rng):
    """No neighbours are further apart than 2 of 10 pixels of deviation, which independent ones would be at once."""
    displacements = interpolate(rng.normal(0, 10, (2, 3, 3)), (96, 128))
    for axis in (1, 2):
        assert 0 < np.abs(np.diff(displacements, axis=axis)).max() < 2
        assert np.abs(np.diff(displacements, 2, axis=axis)).max() < 0.1


def test_sigma_is_the_deviation_of_the_vectors():
    """Of the middle vector's two components, read off the middle pixel of an image of coordinates, in 200 draws."""
    image, label = coordinates(25, 31)
    moved = [random_elastic(image, label, seed, 2.5)[0][12, 15, :2] - (12, 15) for seed in range(200)]
    assert np.std(moved) == pytest.approx(2.5, rel=0.15)  # four times the deviation of such an estimate
    assert abs(np.mean(moved)) < 0.5


def test_repeats_and_changes_with_the_generator():
    image, label = coordinates(20, 30)
    first, again, other = (random_elastic(image, label, np.random.default_rng(seed), 3.0) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(random_elastic(image, label, 1, 3.0)[0], first[0])


def test_augmentation():
    """Off by default; the image is deformed as a whole, then cropped."""
    image, label = coordinates(30, 40)
    assert Augmentation(flip=False)(image, label, 7)[0] is image
    for one, two in zip(Augmentation(flip=False, elastic=4.0)(image, label, 7),
                        random_elastic(image, label, np.random.default_rng(7), 4.0), strict=True):
        np.testing.assert_array_equal(one, two)
    whole, _ = random_elastic(image, label, np.random.default_rng(7), 4.0)
    part, _ = Augmentation(flip=False, crop=(9, 11), elastic=4.0)(image, label, 7)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (9, 11, 3))[:, :, 0]
    assert (windows == part).all(axis=(2, 3, 4)).sum() == 1


@pytest.mark.parametrize("sigma", [-1.0, np.nan, np.inf])
def test_wrong_sigmas(sigma):
    image, label = coordinates(4, 5)
    with pytest.raises(ValueError, match=rf"random_elastic: expected a standard deviation of 0 .*more, got {sigma}"):
        random_elastic(image, label, 0, sigma)
    with pytest.raises(ValueError, match=rf"Augmentation: expected a standard deviation of 0 .*got {sigma}\. U-Net"):
        Augmentation(elastic=sigma)


def test_wrong_displacements():
    image, label = coordinates(4, 5)
    with pytest.raises(ValueError, match=r"displace: expected finite displacements of shape \(2, 4, 5\), got shape "
                                         r"\(2, 5, 4\), 40 of 40 finite\. Give each pixel of the label \(4, 5\) a row"):
        displace(image, label, np.zeros((2, 5, 4)))
    with pytest.raises(ValueError, match=r"got shape \(2, 4, 5\), 39 of 40 finite"):
        displace(image, label, np.where(np.arange(40) == 3, np.nan, 0).reshape(2, 4, 5))
