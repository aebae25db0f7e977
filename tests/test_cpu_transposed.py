"""The compiled transposed convolution and its gradients against the reference's loops."""

import importlib

import numba
import numpy as np
import pytest

from minifcn import init

REFERENCE = importlib.import_module("minifcn.kernels.reference.conv")
TRANSPOSED = importlib.import_module("minifcn.kernels.cpu._transposed")
DIAGONAL = importlib.import_module("minifcn.kernels.cpu._transposed_diagonal")
WINDOWS = importlib.import_module("minifcn.kernels.cpu._transposed_gradients")
THREADS = importlib.import_module("minifcn.kernels.cpu._threads")
reference_gx = numba.njit(REFERENCE.conv2d_grad_input)  # the very same loops, compiled: in Python they take seconds
reference_y = numba.njit(REFERENCE.conv2d)
reference_gweight = numba.njit(REFERENCE.conv2d_grad_weight)

# gy (N, O, OH, OW), channels of gx in one group, (KH, KW), (h, w), then sh, sw, ph, pw, dh, dw, groups
GEOMETRIES = {
    "FCN, factor 2": ((1, 5, 6, 7), 5, (4, 4), (14, 16), 2, 2, 0, 0, 1, 1, 1),
    "FCN, factor 8, cropped": ((1, 5, 6, 7), 5, (16, 16), (40, 48), 8, 8, 4, 4, 1, 1, 1),
    "FCN, factor 16": ((1, 3, 2, 3), 3, (32, 32), (48, 64), 16, 16, 0, 0, 1, 1, 1),
    "FCN, factor 32": ((1, 2, 2, 3), 2, (64, 64), (96, 128), 32, 32, 0, 0, 1, 1, 1),
    "U-Net, filter as large as the stride": ((2, 6, 5, 7), 20, (2, 2), (10, 14), 2, 2, 0, 0, 1, 1, 1),
    "ENet, filter of 3, output padding": ((2, 6, 5, 7), 7, (3, 3), (10, 14), 2, 2, 1, 1, 1, 1, 1),
    "AlexNet's first": ((1, 8, 5, 6), 3, (11, 11), (31, 35), 4, 4, 0, 0, 1, 1, 1),
    "1x1: pixels that no tap meets": ((2, 4, 5, 4), 6, (1, 1), (9, 7), 2, 2, 0, 0, 1, 1, 1),
    "anisotropic": ((2, 3, 5, 4), 4, (3, 5), (11, 13), 2, 3, 0, 1, 1, 1, 1),
    "stride 1 one way": ((1, 3, 5, 4), 4, (3, 4), (7, 11), 1, 3, 0, 1, 1, 1, 1),
    "groups": ((2, 6, 5, 4), 3, (4, 3), (11, 12), 2, 3, 1, 0, 1, 1, 3),
    "one group a channel": ((2, 6, 5, 4), 1, (5, 4), (13, 9), 3, 2, 1, 1, 1, 1, 6),
    "floor remainder: rows that nothing reaches": ((1, 2, 3, 3), 2, (2, 2), (11, 12), 3, 4, 0, 0, 1, 1, 1),
    "padding wider than the filter": ((1, 2, 4, 4), 2, (2, 2), (5, 4), 3, 3, 3, 4, 1, 1, 1),
    "smaller than its own phases": ((1, 2, 2, 2), 2, (5, 5), (1, 2), 4, 4, 3, 2, 1, 1, 1),
    "one pixel": ((1, 1, 1, 1), 1, (3, 3), (3, 3), 2, 2, 0, 0, 1, 1, 1),
    "dilated": ((2, 4, 4, 3), 3, (3, 2), (9, 10), 2, 3, 1, 0, 1, 2, 2),
    "many tiles and panels": ((1, 40, 21, 23), 33, (5, 4), (45, 48), 2, 2, 0, 0, 1, 1, 1),
}
DTYPES = [(np.float32, 2e-6), (np.float64, 1e-14)]


def expected_gx(gy, weight, *geometry):
    """The reference in float64: in float32 its long sums, one number after the other, lose more digits than ours."""
    return reference_gx(gy.astype(np.float64), weight.astype(np.float64), *geometry).astype(gy.dtype)


def expected_y(x, weight, *geometry):
    return reference_y(x.astype(np.float64), weight.astype(np.float64), None, *geometry).astype(x.dtype)


def case(name, dtype):
    gy_shape, channels, kernel, size, *steps = GEOMETRIES[name]
    rng = np.random.default_rng(0)
    gy = rng.standard_normal(gy_shape).astype(dtype)
    weight = rng.standard_normal((gy_shape[1], channels, *kernel)).astype(dtype)
    return gy, weight, (*size, *steps)


def diagonal(channels, kh, kw, dtype, seed=0):
    """A weight (C, C, kh, kw) with one separable filter, not symmetric, on the diagonal."""
    rng = np.random.default_rng(seed)
    weight = np.zeros((channels, channels, kh, kw), dtype)
    weight[np.arange(channels), np.arange(channels)] = np.outer(rng.uniform(0.5, 2, kh), rng.uniform(-2, -0.5, kw))
    return weight


def assert_close(actual, expected, tolerance):
    """Equal shapes and types, and no element off by more than `tolerance` times the largest."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert np.max(np.abs(actual - expected), initial=0) <= tolerance * np.max(np.abs(expected), initial=0)


# The matrix product.


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_product_is_the_reference(monkeypatch, name, dtype, tolerance, threads):
    gy, weight, geometry = case(name, dtype)
    monkeypatch.setattr(TRANSPOSED, "GRAIN", 1)  # small as they are, share them out
    monkeypatch.setattr(TRANSPOSED, "CHUNK", 1)
    monkeypatch.setattr(TRANSPOSED, "FILTERS", 1)
    monkeypatch.setattr(TRANSPOSED, "FEWEST_TILES", 2)  # and take several chunks and panels, one at a time
    with THREADS.use_threads(threads):
        gx = TRANSPOSED.grad_input_strided(gy, weight, *geometry)
        again = TRANSPOSED.grad_input_strided(gy, weight, *geometry)
    assert_close(gx, expected_gx(gy, weight, *geometry), tolerance)
    np.testing.assert_array_equal(gx, again)


@pytest.mark.parametrize("name", ["U-Net, filter as large as the stride", "many tiles and panels", "groups"])
def test_whole_chunks_and_all_panels_at_once(name):
    gy, weight, geometry = case(name, np.float32)
    assert_close(TRANSPOSED.grad_input_strided(gy, weight, *geometry), expected_gx(gy, weight, *geometry), 2e-6)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "strided", "read-only"])
def test_any_memory_layout_and_inputs_untouched(layout):
    def read_only(array):
        array = array.copy()
        array.flags.writeable = False
        return array

    rearrange = {
        "fortran": np.asfortranarray,
        "reversed": lambda a: np.flip(np.flip(a).copy()),
        "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        "read-only": read_only,
    }[layout]
    gy, weight, geometry = case("anisotropic", np.float64)
    for filters in (weight, diagonal(3, 3, 5, np.float64)):
        arrays = rearrange(gy), rearrange(filters)
        gx = TRANSPOSED.grad_input_strided(*arrays, *geometry)
        assert_close(gx, expected_gx(gy, filters, *geometry), 1e-14)
        np.testing.assert_array_equal(arrays[0], gy)
        np.testing.assert_array_equal(arrays[1], filters)


@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (2, 0, 3, 4), (2, 2, 0, 4), (2, 2, 3, 0)])
def test_nothing_to_sum_gives_zeros(shape):
    gx = TRANSPOSED.grad_input_strided(np.ones(shape), np.ones((shape[1], 2, 3, 3)), 7, 9, 2, 2, 0, 0, 1, 1, 1)
    np.testing.assert_array_equal(gx, np.zeros((shape[0], 2, 7, 9)))


def test_no_output_channels():
    gx = TRANSPOSED.grad_input_strided(np.ones((2, 2, 3, 4)), np.ones((2, 0, 3, 3)), 7, 9, 2, 2, 0, 0, 1, 1, 1)
    assert gx.shape == (2, 0, 7, 9)


@pytest.mark.parametrize("kernel", [(3, 3), (4, 4), (2, 5), (1, 1)])
def test_nan_reaches_the_pixels_that_its_taps_meet_and_no_other(kernel):
    gy, weight = np.zeros((1, 3, 6, 6)), np.ones((3, 4, *kernel))
    gy[0, 1, 2, 3], gy[0, 2, 5, 0] = np.nan, np.inf
    geometry = (13, 14, 2, 3, 1, 1, 1, 1, 1)
    np.testing.assert_array_equal(
        TRANSPOSED.grad_input_strided(gy, weight, *geometry), expected_gx(gy, weight, *geometry))


# One separable filter on the diagonal.


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [
    ((4, 4), (2, 2), (1, 1)), ((16, 16), (8, 8), (0, 0)), ((64, 64), (32, 32), (16, 16)), ((5, 3), (3, 2), (2, 0)),
    ((3, 8), (1, 3), (0, 1)), ((2, 2), (3, 4), (0, 0)), ((1, 1), (1, 1), (0, 0)), ((7, 9), (2, 3), (9, 3)),
])
def test_diagonal_both_ways_is_the_plain_product(kernel, stride, padding, dtype, tolerance):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 9, 8)).astype(dtype)
    oh = stride[0] * 8 + kernel[0] - 2 * padding[0]
    ow = stride[1] * 7 + kernel[1] - 2 * padding[1] + (stride[1] > 1)  # output padding
    weight = diagonal(3, *kernel, dtype)
    taps = DIAGONAL.find_diagonal(weight, 1)
    y = DIAGONAL.upsample_diagonal(x, *taps, oh, ow, *stride, *padding)
    assert_close(y, expected_gx(x, weight, oh, ow, *stride, *padding, 1, 1, 1), tolerance)
    gy = rng.standard_normal(y.shape).astype(dtype)
    gx = DIAGONAL.downsample_diagonal(gy, *taps, 9, 8, *stride, *padding)
    assert_close(gx, expected_y(gy, weight, 9, 8, *stride, *padding, 1, 1, 1), tolerance)


@pytest.mark.parametrize("factor", [2, 3, 8, 16])
def test_bilinear_initialisation_is_found(rng, factor):
    size = 2 * factor - factor % 2
    for groups, outputs in ((1, 5), (5, 1)):
        weight = init.bilinear((5, outputs, size, size), rng, np.float32)
        column, row = DIAGONAL.find_diagonal(weight, groups)
        np.testing.assert_allclose(np.outer(column, row), weight[0, 0], rtol=1e-6)
        kind, data = TRANSPOSED.prepare(weight, 1, 1, groups)
        assert kind == "diagonal"
        x = rng.standard_normal((2, 5, 4, 3)).astype(np.float32)
        oh, ow = 3 * factor + size, 2 * factor + size
        steps = (factor, factor, 0, 0)
        prepared = TRANSPOSED.prepared(x, data, oh, ow, *steps)
        assert_close(prepared, expected_gx(x, weight, oh, ow, *steps, 1, 1, groups), 1e-6)
        np.testing.assert_array_equal(
            prepared, TRANSPOSED.grad_input_strided(x, weight, oh, ow, *steps, 1, 1, groups))


def test_sobel_is_found_although_it_has_zeros():
    weight = np.zeros((2, 2, 3, 3))
    weight[[0, 1], [0, 1]] = np.outer([1, 2, 1], [-1, 0, 1])
    column, row = DIAGONAL.find_diagonal(weight, 1)
    np.testing.assert_array_equal(np.outer(column, row), weight[0, 0])


@pytest.mark.parametrize(("place", "value"), [
    ((3, 2, 1, 1), 1e-30),  # one number off the diagonal
    ((0, 1, 0, 0), np.nan),
    ((4, 3, 3, 3), np.nan),
    ((2, 2, 3, 0), 1.0),  # a filter that differs from the others
    ((4, 4, 3, 3), np.nan),
    ((0, 0, 0, 0), np.nan),
    ((0, 0, 1, 2), np.inf),
])
def test_anything_else_is_plain(rng, place, value):
    weight = diagonal(5, 4, 4, np.float32)
    assert DIAGONAL.find_diagonal(weight, 1) is not None
    weight[place] = value
    kind, data = TRANSPOSED.prepare(weight, 1, 1, 1)
    assert kind == "plain"
    assert data is weight
    x = rng.standard_normal((1, 5, 4, 3)).astype(np.float32)
    geometry = (10, 8, 2, 2, 0, 0, 1, 1, 1)
    if np.isfinite(value):
        assert_close(TRANSPOSED.grad_input_strided(x, weight, *geometry), expected_gx(x, weight, *geometry), 2e-6)
    assert np.isnan(TRANSPOSED.grad_input_strided(x, weight, *geometry)).any() == (not np.isfinite(value))


def test_a_filter_that_is_no_product_is_plain(rng):
    weight = diagonal(3, 4, 4, np.float64)
    weight[np.arange(3), np.arange(3), 1, 1] *= 1 + 1e-13  # in all channels alike
    assert DIAGONAL.find_diagonal(weight, 1) is None
    assert DIAGONAL.find_diagonal(rng.standard_normal((3, 3, 4, 4)), 1) is None
    assert DIAGONAL.find_diagonal(np.zeros((3, 3, 4, 4)), 1) is None
    assert DIAGONAL.find_diagonal(diagonal(4, 2, 2, np.float64)[:, :2], 2) is None  # groups of two
    assert DIAGONAL.find_diagonal(np.ones((3, 2, 4, 4)), 1) is None
    assert TRANSPOSED.prepare(diagonal(3, 4, 4, np.float64), 1, 2, 1)[0] == "plain"  # dilated


def test_nan_stays_in_its_channel_and_its_stamp():
    x = np.zeros((1, 2, 4, 4))
    x[0, 1, 1, 2] = np.nan
    y = TRANSPOSED.grad_input_strided(x, diagonal(2, 4, 4, np.float64), 10, 10, 2, 2, 0, 0, 1, 1, 1)
    expected = np.zeros((1, 2, 10, 10), bool)
    expected[0, 1, 2:6, 4:8] = True
    np.testing.assert_array_equal(np.isnan(y), expected)


# Gradients of wide filters.

# x (N, C, H, W), filters, (KH, KW), then oh, ow, sh, sw, ph, pw, dh, groups
WIDE = {
    "FCN, factor 8, blocks of pixels and channels not full": ((2, 5, 32, 40), 5, (16, 16), 3, 4, 8, 8, 0, 0, 1, 1),
    "more than one block of channels": ((1, 3, 32, 40), 10, (16, 16), 3, 4, 8, 8, 0, 0, 1, 1),
    "several chunks of taps": ((1, 7, 40, 48), 3, (16, 32), 4, 3, 8, 8, 0, 0, 1, 1),
    "several chunks of pixels": ((2, 1, 33, 50), 4, (3, 16), 16, 18, 2, 2, 0, 0, 1, 1),
    "padding, rows dilated, anisotropic": ((2, 2, 17, 30), 3, (3, 16), 8, 6, 2, 5, 1, 3, 2, 1),
    "groups": ((2, 6, 20, 24), 3, (5, 16), 6, 3, 3, 4, 0, 0, 1, 3),
    "one filter, one tap vector, one pixel": ((1, 1, 1, 16), 1, (1, 16), 1, 1, 1, 1, 0, 0, 1, 1),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", WIDE)
def test_windows_of_wide_filters_are_the_reference(name, dtype, tolerance, threads):
    shape, filters, (kh, kw), oh, ow, sh, sw, ph, pw, dh, groups = WIDE[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(dtype)
    weight = rng.standard_normal((filters, shape[1] // groups, kh, kw)).astype(dtype)
    gy = rng.standard_normal((shape[0], filters, oh, ow)).astype(dtype)
    steps = sh, sw, ph, pw, dh
    with THREADS.use_threads(threads):
        y, again = (WINDOWS.convolve(x, weight, oh, ow, *steps, groups) for _ in range(2))
        gweight = WINDOWS.grad_weight(gy, x, kh, kw, *steps, groups)
    assert_close(y, expected_y(x, weight, oh, ow, *steps, 1, groups), tolerance)
    np.testing.assert_array_equal(y, again)
    exact = reference_gweight(gy.astype(np.float64), x.astype(np.float64), kh, kw, *steps, 1, groups)
    assert_close(gweight, exact.astype(dtype), tolerance)


def test_windows_with_nothing_to_sum():
    y = WINDOWS.convolve(np.ones((2, 0, 20, 20)), np.ones((3, 0, 16, 16)), 2, 2, 4, 4, 0, 0, 1, 1)
    np.testing.assert_array_equal(y, np.zeros((2, 3, 2, 2)))
    assert WINDOWS.convolve(np.ones((0, 1, 20, 20)), np.ones((3, 1, 16, 16)), 2, 2, 4, 4, 0, 0, 1, 1).size == 0


def test_long_sums_lose_no_digits():
    """Numbers of one sign, 86016 to a sum, as for FCN-32s: rounding errors of one long sum would all add up."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1.5, (1, 21, 64, 64)).astype(np.float32)
    weight = rng.uniform(0.5, 1.5, (2, 21, 64, 64)).astype(np.float32)
    y = WINDOWS.convolve(x, weight, 1, 1, 32, 32, 0, 0, 1, 1)
    np.testing.assert_allclose(y[0, :, 0, 0], np.sum(x.astype(np.float64) * weight, (1, 2, 3)), rtol=2e-6)


def test_other_filters_do_not_suit():
    assert not WINDOWS.suits(21, 17, 1, np.float32)  # no multiple of any vector
    assert not WINDOWS.suits(21, 16, 2, np.float32)  # dilated along the row
    assert not WINDOWS.suits(64, 16, 1, np.float32)  # filters fill vectors of their own
