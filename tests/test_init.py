"""Initialisers: their statistics, the published bilinear kernels, and that bilinear upsampling draws straight lines."""

import math

import numpy as np
import pytest

from minifcn import init
from minifcn.layers import ConvTranspose2d

SHAPE = (200, 40, 3, 5)  # 120,000 numbers: a standard deviation is known to 0.2 %
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")


def test_fans_count_connections():
    assert init.fans((8, 4, 3, 5)) == (4 * 15, 8 * 15)
    assert init.fans((10, 7)) == (7, 10)


def test_zero_and_constant(rng):
    np.testing.assert_array_equal(init.zero((2, 3), rng, FLOAT64), np.zeros((2, 3)))
    np.testing.assert_array_equal(init.constant(-0.5)((2, 3), rng, FLOAT64), np.full((2, 3), -0.5))


def test_gaussian(rng):
    weight = init.gaussian(0.01, mean=0.5)(SHAPE, rng, FLOAT64)
    assert weight.std() == pytest.approx(0.01, rel=0.02)
    assert weight.mean() == pytest.approx(0.5, abs=2e-4)
    assert np.mean(np.abs(weight - 0.5) < 0.01) == pytest.approx(0.6827, abs=0.01)  # within one standard deviation


def test_he_keeps_the_size_of_what_passes_a_relu(rng):
    weight = init.he(SHAPE, rng, FLOAT64)
    assert weight.mean() == pytest.approx(0, abs=1e-3)
    assert weight.var() == pytest.approx(2 / (40 * 15), rel=0.02)
    x = rng.standard_normal((40 * 15, 500))
    after = np.maximum(weight.reshape(200, -1) @ x, 0)
    assert np.mean(after**2) == pytest.approx(np.mean(x**2), rel=0.05)


def test_xavier_is_uniform_between_its_bounds(rng):
    weight = init.xavier(SHAPE, rng, FLOAT64)
    bound = math.sqrt(6 / (40 * 15 + 200 * 15))
    assert weight.var() == pytest.approx(2 / (40 * 15 + 200 * 15), rel=0.02)
    assert bound * 0.999 < weight.max() <= bound
    assert -bound <= weight.min() < -bound * 0.999


@pytest.mark.parametrize("name", ["zero", "he", "xavier", "bilinear", "constant", "gaussian"])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
def test_dtype_shape_and_seed(name, dtype):
    initialiser = getattr(init, name)
    if name in ("constant", "gaussian"):
        initialiser = initialiser(0.1)
    weight = initialiser((3, 3, 4, 4), np.random.default_rng(2), dtype)
    assert weight.dtype == dtype
    assert weight.shape == (3, 3, 4, 4)
    np.testing.assert_array_equal(weight, initialiser((3, 3, 4, 4), np.random.default_rng(2), dtype))


# Size -> factor and centre, as the FCN reference code's surgery.py has them.
PUBLISHED = {3: (2, 1), 4: (2, 1.5), 16: (8, 7.5), 32: (16, 15.5), 63: (32, 31), 64: (32, 31.5)}


@pytest.mark.parametrize("size", PUBLISHED)
def test_bilinear_profile(size):
    factor, centre = PUBLISHED[size]
    expected = [1 - abs(i - centre) / factor for i in range(size)]
    np.testing.assert_array_equal(init.bilinear_profile(size), expected)


def test_bilinear_profile_by_hand():
    np.testing.assert_array_equal(init.bilinear_profile(4), [0.25, 0.75, 0.75, 0.25])
    np.testing.assert_array_equal(init.bilinear_profile(3), [0.5, 1, 0.5])


def test_bilinear_connects_each_channel_to_itself_only(rng):
    full, grouped = init.bilinear((3, 3, 4, 4), rng, FLOAT64), init.bilinear((3, 1, 4, 4), rng, FLOAT64)
    kernel = [[a * b for b in (0.25, 0.75, 0.75, 0.25)] for a in (0.25, 0.75, 0.75, 0.25)]
    for c, o in np.ndindex(3, 3):
        np.testing.assert_array_equal(full[c, o], kernel if c == o else np.zeros((4, 4)))
        np.testing.assert_array_equal(grouped[c, 0], kernel)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_upsampling_a_ramp_draws_a_straight_line(factor):
    """Inside, where no stamp is missing, a plane comes out as a plane, 1/factor as steep: exactly linear."""
    layer = ConvTranspose2d(2, 2, 2 * factor - factor % 2, stride=factor, bias=False, weight_init=init.bilinear,
                            dtype=np.float64)
    rows, columns = np.meshgrid(np.arange(6.0), np.arange(7.0), indexing="ij")
    x = np.stack([3 * rows - columns, rows + 5 * columns])[None]  # two planes, one a channel
    y = layer.forward(x)
    (scale, down), (_, right) = layer.coordinate_map()
    margin = 2 * factor
    p, q = np.meshgrid(np.arange(y.shape[2]), np.arange(y.shape[3]), indexing="ij")
    at_row, at_column = (p - float(down)) / scale, (q - float(right)) / scale  # where the output lies in the input
    expected = np.stack([3 * at_row - at_column, at_row + 5 * at_column])[None].astype(float)
    inside = np.s_[:, :, margin:-margin, margin:-margin]
    np.testing.assert_allclose(y[inside], expected[inside], atol=1e-12)


def test_bad_bilinear(rng):
    with pytest.raises(ValueError, match=r"^init\.bilinear: expected a square kernel, got 4x3\. Use one"):
        init.bilinear((2, 2, 4, 3), rng, FLOAT32)
    message = r"^init\.bilinear: expected as many output as input channels \(3\), got 2\. Bilinear upsampling maps each"
    with pytest.raises(ValueError, match=message):
        init.bilinear((3, 2, 4, 4), rng, FLOAT32)
