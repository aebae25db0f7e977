"""Winograd's convolution against the loops of `reference`, its formulas against the polynomials that they stand for."""

import importlib

import numba
import numpy as np
import pytest

from minifcn.kernels import reference
from minifcn.kernels.cpu import _winograd as winograd
from minifcn.kernels.cpu import _winograd_choice as choice
from minifcn.kernels.cpu._threads import use_threads
from minifcn.kernels.cpu._winograd_filters import transform_weight, transform_weight_rotated
from minifcn.kernels.cpu._winograd_forward import convolve
from minifcn.kernels.cpu._winograd_once import convolve_once

filters_module = importlib.import_module("minifcn.kernels.cpu._winograd_filters")
forward = importlib.import_module("minifcn.kernels.cpu._winograd_forward")
once = importlib.import_module("minifcn.kernels.cpu._winograd_once")
conv2d, conv2d_grad_input = numba.njit(reference.conv2d), numba.njit(reference.conv2d_grad_input)

# n, c, o, h, w, ph, pw, dh, dw
CASES = [
    (1, 1, 1, 1, 1, 1, 1, 1, 1),  # one pixel
    (1, 3, 5, 3, 3, 0, 0, 1, 1),  # one output
    (2, 16, 32, 9, 11, 1, 1, 1, 1),  # whole vectors of channels
    (2, 20, 33, 13, 38, 1, 2, 1, 1),  # channels that end within a vector; rows longer than one run of tiles
    (3, 35, 47, 6, 5, 0, 1, 1, 1),
    (1, 300, 17, 8, 8, 1, 1, 1, 1),
    (1, 17, 40, 4, 70, 1, 1, 1, 1),
    (2, 18, 16, 11, 10, 2, 3, 2, 3),  # dilated: planes of unequal sizes
    (1, 33, 20, 9, 13, 1, 2, 1, 2),
    (1, 16, 16, 7, 6, 7, 9, 1, 1),  # much padding: tiles that see nothing of the picture
    (1, 20, 18, 12, 11, -2, -1, 1, 1),  # cropping
    (1, 16, 34, 3, 4, 4, 4, 4, 4),  # planes of one pixel and of none
]


def arrays(rng, case):
    """x, weight and bias in float64, and the size of the output."""
    n, c, o, h, w, ph, pw, dh, dw = case
    x, weight, bias = rng.standard_normal((n, c, h, w)), rng.standard_normal((o, c, 3, 3)), rng.standard_normal(o)
    return x, weight, bias, h + 2 * ph - 2 * dh, w + 2 * pw - 2 * dw


def error(got, expected):
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    return np.abs(got - expected).max() / np.abs(expected).max()


def float32(*arrays):
    return [array.astype(np.float32) for array in arrays]


# The transforms.


def matrix(formula, size):
    return np.array(formula(*np.eye(size)))


def test_the_formulas_multiply_polynomials(rng):
    data, taps = rng.standard_normal(6), rng.standard_normal(3)
    products = np.array(winograd.filter_line(*taps)) * np.array(winograd.input_line(*data))
    np.testing.assert_allclose(winograd.output_line(*products), np.correlate(data, taps), rtol=0, atol=1e-14)


def test_the_adjoint_formulas_are_the_transposed_matrices():
    for formula, adjoint, taken, given in (
        (winograd.output_line, winograd.output_line_adjoint, 6, 4),
        (winograd.filter_line, winograd.filter_line_adjoint, 3, 6),
    ):
        np.testing.assert_allclose(matrix(adjoint, given), matrix(formula, taken).T, rtol=0, atol=1e-15)


# The convolution, both ways, on one and two threads.


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("way", [choice.FUSED, choice.PHASED], ids=["fused", "phased"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_is_the_convolution_of_the_reference(rng, monkeypatch, case, way, threads):
    o, ph, pw, dh, dw = case[2], *case[5:]
    x, weight, bias, oh, ow = arrays(rng, case)
    expected = conv2d(x, weight, bias, oh, ow, 1, 1, ph, pw, dh, dw, 1)
    monkeypatch.setattr(forward, "plan", lambda channels, tiles: way)
    with use_threads(threads):
        u = transform_weight(weight.astype(np.float32))
        y = convolve(*float32(x), u, *float32(bias), o, oh, ow, ph, pw, dh, dw, False)
        again = convolve(*float32(x), u, *float32(bias), o, oh, ow, ph, pw, dh, dw, False)
    assert error(y, expected) < 1e-5
    assert np.array_equal(y, again)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("way", [choice.FUSED, choice.PHASED], ids=["fused", "phased"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_input_gradient_is_a_convolution_with_rotated_filters(rng, monkeypatch, case, way, threads):
    n, c, o, h, w, ph, pw, dh, dw = case
    _, weight, _, oh, ow = arrays(rng, case)
    gy = rng.standard_normal((n, o, oh, ow))
    expected = conv2d_grad_input(gy, weight, h, w, 1, 1, ph, pw, dh, dw, 1)
    monkeypatch.setattr(forward, "plan", lambda channels, tiles: way)
    with use_threads(threads):
        u = transform_weight_rotated(weight.astype(np.float32))
        gx = convolve(*float32(gy), u, None, c, h, w, 2 * dh - ph, 2 * dw - pw, dh, dw, False)
    assert error(gx, expected) < 1e-5


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("limit", [0, 10**6], ids=["before", "meanwhile"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_filters_that_are_used_only_once(rng, monkeypatch, case, limit, threads):
    """Transformed beforehand or while they are multiplied: forward and input gradient."""
    h, w, ph, pw, dh, dw = case[3:]
    x, weight, bias, oh, ow = arrays(rng, case)
    gy = rng.standard_normal((case[0], case[2], oh, ow))
    monkeypatch.setattr(once, "ONCE_TILES", limit)
    with use_threads(threads):
        y, again = (convolve_once(*float32(x, weight), False, *float32(bias), oh, ow, ph, pw, dh, dw, False)
                    for _ in range(2))
        gx = convolve_once(*float32(gy, weight), True, None, h, w, 2 * dh - ph, 2 * dw - pw, dh, dw, False)
    assert error(y, conv2d(x, weight, bias, oh, ow, 1, 1, ph, pw, dh, dw, 1)) < 1e-5
    assert error(gx, conv2d_grad_input(gy, weight, h, w, 1, 1, ph, pw, dh, dw, 1)) < 1e-5
    assert np.array_equal(y, again)


def test_filters_that_are_used_only_once_with_a_relu_and_nothing_in(rng):
    x, weight, bias, *_ = arrays(rng, (2, 70, 33, 5, 6, 1, 1, 1, 1))  # more channels than are transformed at a time
    y = convolve_once(*float32(x, weight), False, *float32(bias), 5, 6, 1, 1, 1, 1, True)
    assert error(y, np.maximum(conv2d(x, weight, bias, 5, 6, 1, 1, 1, 1, 1, 1, 1), 0)) < 1e-5
    empty = convolve_once(*float32(x[:0], weight), False, None, 5, 6, 1, 1, 1, 1, True)
    assert empty.shape == (0, 33, 5, 6)


def test_a_strip_and_a_chunk_at_a_time(rng, monkeypatch):
    """Many strips, and many chunks, of which the last is not full."""
    x, weight, bias, *_ = arrays(rng, (2, 20, 40, 45, 33, 1, 1, 1, 1))
    expected = conv2d(x, weight, bias, 45, 33, 1, 1, 1, 1, 1, 1, 1)
    monkeypatch.setattr(forward, "PHASED_BYTES", 1)
    monkeypatch.setattr(forward, "strip_tiles", lambda channels: forward.FULL)
    for way in (choice.FUSED, choice.PHASED):
        monkeypatch.setattr(forward, "plan", lambda channels, tiles, way=way: way)
        y = convolve(*float32(x), transform_weight(*float32(weight)), *float32(bias), 40, 45, 33, 1, 1, 1, 1, False)
        assert error(y, expected) < 1e-5


def test_relu_and_no_bias(rng):
    x, weight, *_ = arrays(rng, (2, 20, 33, 13, 18, 1, 1, 1, 1))
    u = transform_weight(*float32(weight))
    plain = convolve(*float32(x), u, None, 33, 13, 18, 1, 1, 1, 1, False)
    assert error(plain, conv2d(x, weight, np.zeros(33), 13, 18, 1, 1, 1, 1, 1, 1, 1)) < 1e-5
    assert np.array_equal(convolve(*float32(x), u, None, 33, 13, 18, 1, 1, 1, 1, True), np.maximum(plain, 0))


def test_large_filters_written_past_the_caches_are_the_same(rng, monkeypatch):
    weight = rng.standard_normal((70, 80, 3, 3), dtype=np.float32)
    for transform, filters, channels in ((transform_weight, 70, 80), (transform_weight_rotated, 80, 70)):
        monkeypatch.undo()
        plain = transform(weight)
        monkeypatch.setattr(filters_module, "LARGE", 0)
        used = -(-filters // filters_module.WIDTH) * filters_module.WIDTH * channels
        assert np.array_equal(transform(weight)[:, :used], plain[:, :used])


def test_read_only_and_strided_inputs(rng):
    x, weight, *_ = arrays(rng, (2, 20, 33, 13, 18, 1, 1, 1, 1))
    x, weight = float32(x, weight)
    expected = convolve(x, transform_weight(weight), None, 33, 13, 18, 1, 1, 1, 1, False)
    backwards, columns = x[:, :, ::-1].copy()[:, :, ::-1], np.asfortranarray(weight)
    backwards.flags.writeable = columns.flags.writeable = False
    u = transform_weight(columns)
    u.flags.writeable = False
    assert np.array_equal(convolve(backwards, u, None, 33, 13, 18, 1, 1, 1, 1, False), expected)


def test_nan_stays_where_it_belongs_and_may_spread_over_its_tiles_only(rng):
    x, weight, bias, *_ = arrays(rng, (1, 20, 33, 24, 24, 1, 1, 1, 1))
    x[0, 7, 10, 13] = np.nan
    for relu in (False, True):
        y = convolve(*float32(x), transform_weight(*float32(weight)), *float32(bias), 33, 24, 24, 1, 1, 1, 1, relu)
        assert np.isnan(y[0, :, 9:12, 12:15]).all()
        touched = np.zeros((24, 24), bool)
        touched[8:12, 12:16] = True  # the one tile whose outputs read it
        assert not np.isnan(y[0][:, ~touched]).any()


@pytest.mark.parametrize("shape", [(0, 4, 5, 5), (2, 0, 5, 5)], ids=str)
def test_nothing_in_is_bias_out(rng, shape):
    x, weight = np.zeros(shape, np.float32), np.zeros((3, shape[1], 3, 3), np.float32)
    bias = np.array([1, -2, 3], np.float32)
    y = convolve(x, transform_weight(weight), bias, 3, 5, 5, 1, 1, 1, 1, True)
    assert np.array_equal(y, np.broadcast_to(np.maximum(bias, 0)[:, None, None], (shape[0], 3, 5, 5)))


# The choice.


def chosen(n, c, o, size, dilation=1):
    return choice.choose(n, c, o, size, size, dilation, dilation)


def test_wide_maps_are_fused_and_deep_ones_phased():
    assert chosen(1, 64, 64, 224) == chosen(4, 128, 128, 112) == choice.FUSED
    assert chosen(1, 512, 512, 28) == chosen(1, 512, 512, 14) == chosen(1, 512, 512, 64, 4) == choice.PHASED


def test_few_channels_and_small_maps_go_directly():
    assert chosen(1, 3, 64, 224) == chosen(1, 64, 1, 64) == chosen(1, 512, 512, 4) == choice.DIRECT
    assert chosen(1, 512, 512, 64, 24) == choice.DIRECT  # planes of 3x3


@pytest.mark.parametrize("change", [
    {"kh": 1}, {"kw": 5}, {"sh": 2}, {"sw": 2}, {"groups": 2}, {"dtype": np.float64}, {"c": 3},
], ids=str)
def test_suits_only_what_it_can_do(change):
    case = {"n": 1, "c": 64, "o": 64, "oh": 56, "ow": 56, "kh": 3, "kw": 3, "sh": 1, "sw": 1, "dh": 1, "dw": 1,
            "groups": 1, "dtype": np.float32}
    assert choice.suits(**case)
    assert not choice.suits(**(case | change))
