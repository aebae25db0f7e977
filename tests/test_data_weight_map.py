"""U-Net's weight map against its formula, pixel by pixel and instance by instance."""

import math
import tracemalloc

import numpy as np
import pytest

from minifcn.data import border_weights, unet_weight_map

# Three cells of class 1 and one of class 2, which touches one of them; two void pixels.
LABELS = np.array([
    [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0],
    [0, 255, 0, 2, 2, 0, 0, 0, 0, 1, 1],
    [0, 0, 255, 0, 2, 0, 0, 0, 0, 0, 1],
], np.uint8)
PARTS = np.array([
    [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [1, 1, 0, 2, 2, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0],
    [0, 0, 0, 3, 3, 0, 0, 0, 0, 4, 4],
    [0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 4],
])


def by_definition(labels, instances, w0=10.0, sigma=5.0, background=0):
    """Every pixel's distance to every pixel of every instance."""
    weights = np.zeros(labels.shape)
    places = [np.argwhere(np.equal(instances, number)).tolist() for number in np.unique(instances) if number]
    for p, q in np.argwhere(labels == background).tolist():
        distances = sorted(min(math.dist((p, q), place) for place in pixels) for pixels in places)
        if len(distances) >= 2:
            weights[p, q] = w0 * math.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return weights


@pytest.mark.parametrize(("w0", "sigma"), [(10.0, 5.0), (3.0, 1.5), (1.0, 0.4), (0.0, 5.0)])
@pytest.mark.parametrize("instances", [None, PARTS])
def test_border_weights(instances, w0, sigma):
    weights = border_weights(LABELS, instances, w0=w0, sigma=sigma)
    assert (weights.shape, weights.dtype) == (LABELS.shape, np.float64)
    np.testing.assert_allclose(weights, by_definition(LABELS, PARTS, w0, sigma), rtol=1e-12, atol=1e-16)
    assert not weights[LABELS != 0].any()


@pytest.mark.parametrize("sigma", [0.5, 0.7, 2.0])
def test_windows_leave_nothing_out(rng, sigma):
    """Cells at random places of a map that is many sigmas long, so that most are out of each other's reach."""
    instances = np.zeros((12, 40), int)
    for number in range(1, 9):
        p, q = rng.integers(0, 11), rng.integers(0, 39)
        instances[p : p + 2, q : q + 2] = number
    labels = (instances > 0).astype(np.int64)
    expected = by_definition(labels, instances, sigma=sigma)
    np.testing.assert_allclose(border_weights(labels, instances, sigma=sigma), expected, rtol=1e-12, atol=1e-16)
    assert expected.max() > 1e-6


def test_by_hand():
    """A gap of one pixel, then one of two: distances 1 and 1, 1 and 2."""
    row = np.array([[1, 0, 1, 0, 0, 1]])
    close, wide = 10 * math.exp(-4 / 50), 10 * math.exp(-9 / 50)
    np.testing.assert_allclose(border_weights(row), [[0, close, 0, wide, wide, 0]], rtol=1e-14)


def test_connected_parts():
    """Pixels that share a side are one instance, pixels that share a corner two; so are two classes side by side."""
    one = np.array([[1, 1, 0], [0, 1, 0]])
    assert not border_weights(one).any()
    corner = np.array([[1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(border_weights(corner), by_definition(corner, [[1, 0, 0], [0, 2, 0]]), rtol=1e-13)
    sides = np.array([[1, 2, 0, 0]])
    np.testing.assert_allclose(border_weights(sides), by_definition(sides, [[1, 2, 0, 0]]), rtol=1e-13)


@pytest.mark.parametrize("labels", [np.zeros((3, 4), int), np.ones((3, 4), int), np.full((3, 4), 255),
                                    np.array([[0, 1, 1, 0], [0, 255, 0, 0]])])
def test_without_two_instances_there_is_no_gap(labels):
    assert not border_weights(labels).any()


def test_another_background():
    swapped = np.where(LABELS == 0, 7, LABELS)
    np.testing.assert_array_equal(border_weights(swapped, background=7), border_weights(LABELS))


def test_instances_may_have_any_numbers_and_reach_into_void(rng):
    numbers = np.array([0, -5, 2**40, 3, 900])[PARTS]
    np.testing.assert_array_equal(border_weights(LABELS, numbers), border_weights(LABELS, PARTS))
    longer = PARTS.copy()
    longer[4, 2] = 3  # void, between background and the cell of class 2
    expected = by_definition(LABELS, longer)
    assert (expected != by_definition(LABELS, PARTS)).any()
    np.testing.assert_allclose(border_weights(LABELS, longer), expected, rtol=1e-12, atol=1e-16)


def test_memory_is_that_of_a_few_maps_however_many_instances():
    labels = np.zeros((80, 80), np.uint8)
    labels[::4, ::4] = 1  # 400 instances
    border_weights(labels[:8, :8])  # SciPy is imported
    tracemalloc.start()
    try:
        weights = border_weights(labels, sigma=1.0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20 * weights.nbytes
    assert weights[2, 2] == pytest.approx(10 * math.exp(-4 * (2**2 + 2**2) / 2))  # between four


# The whole map.


def whole_by_definition(class_weights, **settings):
    table = np.zeros(256)  # by label; void counts nothing
    table[: len(class_weights)] = class_weights
    return table[LABELS] + by_definition(LABELS, PARTS, **settings)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_whole_map(dtype):
    found = unet_weight_map(LABELS.astype(dtype), [0.5, 2.0, 7.0])
    np.testing.assert_allclose(found, whole_by_definition([0.5, 2.0, 7.0]), rtol=1e-12)
    assert not found[LABELS == 255].any()
    found = unet_weight_map(LABELS.astype(dtype), np.array([0, 2, 7]), PARTS, w0=3.0, sigma=1.0)
    np.testing.assert_allclose(found, whole_by_definition([0, 2, 7], w0=3.0, sigma=1.0), rtol=1e-12, atol=1e-16)


def test_without_class_weights_all_classes_count_one():
    np.testing.assert_array_equal(unet_weight_map(LABELS), unet_weight_map(LABELS, [1, 1, 1]))


# What they refuse.


def test_masks_with_instances_missing():
    missing = np.where(PARTS == 2, 0, PARTS)
    with pytest.raises(ValueError, match=r"border_weights: expected an instance \(not 0\) at each pixel of a class, "
                                         r"got 0 at row 1, column 3 \(5 such pixels in all\)\. Complete"):
        border_weights(LABELS, missing)


def test_instances_on_the_background():
    more = PARTS.copy()
    more[2, 7] = more[3, 7] = 9
    with pytest.raises(ValueError, match=r"border_weights: expected no instance \(0\) on the background, class 0, "
                                         r"got 9 at row 2, column 7 \(2 such pixels in all\)\. Set these pixels to 0"):
        border_weights(LABELS, more)


def test_wrong_shapes_and_dtypes():
    with pytest.raises(ValueError, match=r"instances of the labels' shape \(5, 11\), got \(11, 5\)\. Crop or resize"):
        border_weights(LABELS, PARTS.T)
    with pytest.raises(TypeError, match=r"expected instances as an array of integers, got float64\. Number them"):
        border_weights(LABELS, PARTS.astype(float))
    for labels in (LABELS[None], LABELS[0], LABELS[:0]):
        with pytest.raises(ValueError, match=r"expected labels \(H, W\) of one pixel or more, got shape \(.*\)\. Make"):
            border_weights(labels)
    for labels in (LABELS.astype(float), LABELS.tolist(), LABELS > 0):
        with pytest.raises(TypeError, match=r"border_weights: expected labels as an array of integers, got .* Pass"):
            unet_weight_map(labels)


@pytest.mark.parametrize("given", [{"sigma": 0.0}, {"sigma": -1.0}, {"sigma": math.inf}, {"sigma": math.nan},
                                   {"w0": -1.0}, {"w0": math.inf}, {"w0": math.nan}])
def test_numbers_out_of_range(given):
    with pytest.raises(ValueError, match=r"expected w0 of 0 or more and sigma above 0, both finite, got w0 .* and "
                                         r"sigma .*\. The paper has 10 and 5"):
        border_weights(LABELS, **given)


def test_class_weights_that_do_not_fit():
    for wrong in ([1.0, -1.0, 1.0], [1.0, math.nan, 1.0], [1.0, math.inf, 1.0], [[1.0, 1.0, 1.0]], 2.0):
        with pytest.raises(ValueError, match=r"unet_weight_map: expected class weights \(K,\), each finite and 0 or"):
            unet_weight_map(LABELS, wrong)
    with pytest.raises(ValueError, match=r"unet_weight_map: expected labels 0\.\.1 \(2 class weights\) or 255 \(void\)"
                                         r", got 2 at row 3, column 3 \(3 such pixels in all\)\. Give as many weights"):
        unet_weight_map(LABELS, [1.0, 1.0])
    with pytest.raises(ValueError, match=r"got -1 at row 0, column 1 \(1 such"):
        unet_weight_map(np.array([[0, -1]]), [1.0, 1.0])
