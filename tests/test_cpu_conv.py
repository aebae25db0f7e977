"""Convolutions in numba against the plain loops of `reference`: odd shapes, both dtypes, memory laid out in any way."""

import numpy as np
import pytest

from minifcn.kernels import array, cpu, reference
from minifcn.kernels.cpu import _direct_forward, _direct_input, _direct_small
from minifcn.kernels.cpu._choice import algorithm, vectors_along
from minifcn.kernels.cpu._direct_source import source_of, tap_offsets
from minifcn.kernels.cpu._processor import LANES
from minifcn.kernels.cpu._threads import use_threads

TOLERANCE = {np.float32: 3e-5, np.float64: 1e-12}

# n, c, o, (h, w), (kh, kw), (sh, sw), (ph, pw), (dh, dw), groups
CASES = [
    (2, 3, 5, (7, 11), (3, 2), (2, 3), (0, 1), (1, 2), 1),  # everything anisotropic, a floor remainder
    (1, 2, 1, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 17, 33, (9, 20), (3, 3), (1, 1), (1, 1), (1, 1), 1),  # no multiple of any vector
    (1, 20, 64, (5, 37), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 8, 32, (13, 13), (1, 1), (2, 2), (0, 0), (1, 1), 1),  # most of the input is never read
    (1, 6, 32, (13, 15), (5, 5), (1, 1), (2, 2), (1, 1), 2),
    (1, 3, 32, (31, 29), (11, 11), (4, 4), (0, 0), (1, 1), 1),
    (1, 4, 6, (10, 12), (2, 2), (3, 4), (1, 3), (1, 1), 2),  # pixels that no window reaches
    (1, 40, 32, (16, 18), (3, 3), (1, 1), (12, 12), (12, 12), 1),  # taps that are mostly outside
    (2, 32, 21, (4, 4), (3, 3), (1, 1), (100, 3), (1, 1), 1),  # windows wholly in the padding
    (3, 300, 32, (2, 3), (2, 3), (1, 1), (0, 0), (1, 1), 1),  # one pixel, several blocks of taps
    (1, 32, 300, (3, 4), (3, 3), (1, 2), (2, 0), (2, 1), 1),  # more filters than pixels
    (2, 40, 33, (20, 22), (3, 3), (2, 2), (12, 9), (12, 8), 1),  # the same, strided and aslant
    (2, 4, 6, (40, 43), (16, 16), (8, 7), (0, 3), (1, 1), 2),  # filters as wide as vectors
    (1, 3, 25, (35, 41), (2, 32), (3, 1), (1, 0), (5, 1), 1),
    (1, 1, 32, (3, 1200), (1, 3), (1, 1), (0, 1), (1, 1), 1),  # rows longer than a block of pixels
]


def arrays(case, dtype):
    n, c, o, (h, w), (kh, kw), (sh, sw), (ph, pw), (dh, dw), groups = case
    rng = np.random.default_rng(h * w + c)
    oh, ow = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    shapes = (n, c, h, w), (o, c // groups, kh, kw), (o,), (n, o, oh, ow)
    return *(rng.standard_normal(shape).astype(dtype) for shape in shapes), (sh, sw, ph, pw, dh, dw, groups)


def passes(kernels, x, weight, bias, gy, steps):
    return {
        "conv2d": kernels.conv2d(x, weight, bias, *gy.shape[2:], *steps),
        "conv2d_relu": kernels.conv2d_relu(x, weight, None, *gy.shape[2:], *steps),
        "conv2d_grad_input": kernels.conv2d_grad_input(gy, weight, *x.shape[2:], *steps),
        "conv2d_grad_weight": kernels.conv2d_grad_weight(gy, x, *weight.shape[2:], *steps),
    }


def agree(found, expected, tolerance):
    for name, y in expected.items():
        assert found[name].shape == y.shape, name
        assert found[name].dtype == y.dtype, name
        np.testing.assert_allclose(found[name], y, rtol=0, atol=tolerance * max(1, abs(y).max(initial=0)), err_msg=name)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_passes_agree_with_the_vectorised_ones(case, dtype, threads):
    data = arrays(case, dtype)
    with use_threads(threads):
        agree(passes(cpu, *data), passes(array, *data), TOLERANCE[dtype])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("way", ["filters", "pixels", "pixels, few weights"])
@pytest.mark.parametrize("case", CASES)
def test_all_ways_to_fill_vectors_agree(case, way, threads, monkeypatch):
    *data, steps = arrays(case, np.float32)
    along, _, few = way.partition(", ")
    monkeypatch.setattr(_direct_small, "suits", lambda *given: bool(few))
    for module in (_direct_forward, _direct_input):
        monkeypatch.setattr(module, "vectors_along", lambda _f, _d, pixels=0, _m=0: along if pixels else "filters")
    with use_threads(threads):
        agree(passes(cpu, *data, steps), passes(array, *data, steps), TOLERANCE[np.float32])


@pytest.mark.parametrize("case", CASES[:2])
def test_passes_agree_with_the_definition(case):
    data = arrays(case, np.float64)
    agree(passes(cpu, *data), passes(reference, *data), 1e-12)


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[5]])
def test_memory_may_be_laid_out_in_any_way(case):
    *data, steps = arrays(case, np.float32)
    expected = passes(cpu, *data, steps)
    for change in (np.asfortranarray, backwards, unaligned, locked):
        found = passes(cpu, *map(change, data), steps)
        for name, y in expected.items():
            np.testing.assert_array_equal(found[name], y, err_msg=f"{change.__name__} {name}")


def backwards(x):
    """The same numbers with a negative step along the last axis."""
    return np.ascontiguousarray(x[..., ::-1])[..., ::-1]


def unaligned(x):
    """The same numbers at an address that is no multiple of their size."""
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    y = buffer[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def locked(x):
    y = x.copy()
    y.flags.writeable = False
    return y


@pytest.mark.parametrize(("n", "c", "o"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_arrays_of_size_zero(n, c, o):
    x, weight, gy = np.ones((n, c, 5, 6)), np.ones((o, c, 3, 3)), np.ones((n, o, 3, 4))
    found = passes(cpu, x, weight, np.arange(o) + 1.0, gy, (1, 1, 0, 0, 1, 1, 1))
    assert found["conv2d"].shape == (n, o, 3, 4)
    if n and o:
        assert (found["conv2d"] == (np.arange(o) + 1.0)[:, None, None]).all()  # nothing but the bias
    assert found["conv2d_grad_input"].shape == x.shape
    assert not found["conv2d_grad_input"].any()
    assert found["conv2d_grad_weight"].shape == weight.shape
    assert not found["conv2d_grad_weight"].any()


@pytest.mark.parametrize("case", CASES)
def test_results_repeat_to_the_last_bit(case):
    data = arrays(case, np.float32)
    with use_threads(2):
        first, second = passes(cpu, *data), passes(cpu, *data)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_nan_goes_where_it_is_read_and_nowhere_else():
    x, weight, _, _, steps = arrays(CASES[5], np.float64)
    x[0, 0, 4, 7] = np.nan
    y = cpu.conv2d_relu(x, weight, None, 13, 15, *steps)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(array.conv2d_relu(x, weight, None, 13, 15, *steps)))
    assert np.isnan(y[0, :16]).any()
    assert not np.isnan(y[0, 16:]).any()  # the other group


def test_channel_sums():
    gy = np.random.default_rng(0).standard_normal((3, 5, 77, 91)).astype(np.float32)
    expected = gy.astype(np.float64).sum(axis=(0, 2, 3))
    for change in (np.ascontiguousarray, np.asfortranarray, backwards, unaligned, locked):
        found = cpu.channel_sums(change(gy))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert cpu.channel_sums(gy[:0]).tolist() == [0] * 5


def test_table_of_taps_finds_every_pixel():
    x = np.arange(2 * 7 * 9, dtype=np.float64).reshape(1, 2, 7, 9) + 1
    oh, ow, kh, kw, sh, sw, ph, pw, dh, dw = 3, 2, 3, 2, 2, 3, 1, 0, 1, 2
    planes, form = source_of(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
    offsets = tap_offsets(form, 2, kh, kw, sh, sw, dh, dw).reshape(2, kh, kw)
    padded = np.pad(x[0], ((0, 0), (1, 9), (0, 9)))
    for c, i, j, p, q in np.ndindex(2, kh, kw, oh, ow):
        assert planes.ravel()[offsets[c, i, j] + p * form.pitch + q] == padded[c, p * sh + i * dh, q * sw + j * dw]


@pytest.mark.skipif(LANES < 16, reason="another number of weights fits narrower vectors")
def test_few_weights_are_packed_once():
    assert _direct_small.suits(64, 27, 4)  # VGG's first layer
    assert _direct_small.suits(96, 363, 4)  # AlexNet's
    assert not _direct_small.suits(512, 4608, 4)


def test_choice_of_algorithm():
    layer = (1, 256, 256, 56, 56, 3, 3, 1, 1, 1, 1, 1)
    assert algorithm(*layer, np.float32) == "winograd"
    assert algorithm(*layer, np.float64) == "direct"  # exact
    assert algorithm(1, 256, 256, 28, 28, 3, 3, 2, 2, 1, 1, 1, np.float32) == "direct"
    assert algorithm(1, 256, 256, 56, 56, 5, 5, 1, 1, 1, 1, 1, np.float32) == "direct"
    assert algorithm(0, 256, 256, 56, 56, 3, 3, 1, 1, 1, 1, 1, np.float32) == "direct"


@pytest.mark.skipif(LANES < 16, reason="21 filters fill narrower vectors")
@pytest.mark.parametrize(("filters", "expected"), [(64, "filters"), (128, "filters"), (21, "pixels"), (3, "pixels")])
def test_vectors_lie_along_what_fills_them(filters, expected):
    assert vectors_along(filters, np.float32) == expected


@pytest.mark.skipif(LANES < 16, reason="other numbers of pixels fill narrower vectors")
@pytest.mark.parametrize(("pixels", "missed", "expected"), [
    (56 * 56, 0, "pixels"), (56 * 56, 0.3, "filters"),  # taps in the padding can be skipped
    (7 * 7, 0, "filters"), (15 * 15, 0, "filters"),  # few pixels, and lanes left empty
])
def test_many_pixels_fill_vectors_better_than_filters(pixels, missed, expected):
    assert vectors_along(64, np.float32, pixels, missed) == expected


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("stride", "padding"), [((2, 2), (1, 1)), ((2, 3), (0, 1))])
def test_a_filter_that_keeps_channels_apart(dtype, stride, padding):
    """The gradient of a frozen upsampling: the same separable filter from each channel to itself."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 13, 17)).astype(dtype)
    taps = np.outer([1, 3, 3, 1], [1, 2, 1, 2, 1]).astype(dtype)
    weight = np.eye(3, dtype=dtype)[:, :, None, None] * taps  # (3, 3, 4, 5)
    oh, ow = ((size + 2 * p - k) // s + 1 for size, p, k, s in zip((13, 17), padding, (4, 5), stride, strict=True))
    view = (oh, ow, *stride, *padding, 1, 1, 1)
    expected = reference.conv2d(x, weight, None, *view)
    found = cpu.conv2d(x, weight, None, *view)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * abs(expected).max())
