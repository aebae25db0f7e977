"""Convolution in CUDA C++, on the emulator: small cases against `reference`, larger ones against `array`."""

import numpy as np
import pytest

from minifcn.kernels import array, cuda, reference, use_winograd
from minifcn.kernels.cuda import _conv_choice, _conv_columns, _conv_direct, _program
from minifcn.kernels.cuda._conv_choice import forward_way, input_gradient_way

pytestmark = pytest.mark.emulator
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-11}

# n, c, o, (h, w), (kh, kw), (sh, sw), (ph, pw), (dh, dw), groups; (oh, ow) where it is not the most that fits
CASES = [
    (2, 3, 5, (7, 11), (3, 2), (2, 3), (0, 1), (1, 2), 1),  # everything anisotropic, a floor remainder
    (1, 2, 1, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 3, 2, (9, 5), (1, 1), (1, 1), (0, 0), (1, 1), 1),  # pointwise
    (2, 4, 6, (3, 5), (1, 1), (1, 1), (0, 0), (1, 1), 2),
    (1, 3, 2, (4, 5), (1, 1), (1, 1), (0, 0), (1, 1), 1, (5, 7)),  # padding on one side: as good as pointwise, it seems
    (1, 3, 2, (4, 5), (1, 1), (1, 1), (0, 0), (1, 1), 1, (3, 2)),  # pixels that are read by nothing
    (1, 4, 6, (9, 8), (1, 1), (1, 1), (0, 0), (1, 1), 2),
    (2, 2, 4, (6, 7), (1, 1), (2, 3), (0, 0), (1, 1), 1),
    (1, 3, 2, (6, 1), (1, 1), (1, 1), (0, 0), (1, 1), 1, (1, 6)),  # as many pixels, but others
    (1, 3, 2, (4, 5), (1, 1), (1, 1), (1, 0), (1, 1), 1, (4, 5)),  # as large, but a row further down
    (2, 4, 6, (6, 7), (2, 2), (3, 4), (1, 3), (1, 1), 2),  # pixels that no window reaches
    (1, 2, 3, (9, 10), (3, 3), (1, 1), (7, 6), (5, 4), 1),  # taps that are mostly outside
    (1, 2, 2, (3, 2), (3, 3), (1, 1), (8, 1), (1, 1), 1),  # windows wholly in the padding
    (2, 2, 3, (9, 11), (3, 4), (4, 2), (3, 2), (2, 3), 1),  # stride and dilation with a common divisor
    (2, 3, 3, (8, 9), (3, 2), (1, 2), (1, 0), (1, 1), 3),  # a filter a channel
    (1, 2, 6, (8, 9), (2, 3), (2, 1), (0, 1), (1, 2), 2),  # three filters a channel
    (1, 1, 18, (9, 8), (2, 2), (1, 1), (0, 0), (1, 1), 1),  # more filters than a thread sums at once
]


def arrays(case, dtype):
    n, c, o, (h, w), (kh, kw), (sh, sw), (ph, pw), (dh, dw), groups, *size = case
    rng = np.random.default_rng(h * w + c)
    most = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    oh, ow = size[0] if size else most
    shapes = (n, c, h, w), (o, c // groups, kh, kw), (o,), (n, o, oh, ow)
    return *(rng.standard_normal(shape).astype(dtype) for shape in shapes), (sh, sw, ph, pw, dh, dw, groups)


def passes(kernels, x, weight, bias, gy, steps):
    return {
        "conv2d": kernels.conv2d(x, weight, None, *gy.shape[2:], *steps),
        "conv2d with bias": kernels.conv2d(x, weight, bias, *gy.shape[2:], *steps),
        "conv2d_relu": kernels.conv2d_relu(x, weight, bias, *gy.shape[2:], *steps),
        "conv2d_relu without bias": kernels.conv2d_relu(x, weight, None, *gy.shape[2:], *steps),
        "conv2d_grad_input": kernels.conv2d_grad_input(gy, weight, *x.shape[2:], *steps),
        "conv2d_grad_weight": kernels.conv2d_grad_weight(gy, x, *weight.shape[2:], *steps),
    }


def agree(found, expected, dtype):
    for name, y in expected.items():
        assert found[name].shape == y.shape, name
        assert found[name].dtype == dtype, name
        np.testing.assert_allclose(found[name], y, rtol=0, atol=TOLERANCE[dtype] * max(1, abs(y).max(initial=0)),
                                   err_msg=name)


def double(arrays_and_steps):
    *given, steps = arrays_and_steps
    return *(a.astype(np.float64) for a in given), steps


def only(monkeypatch, way):
    """Every convolution that can takes this way."""
    monkeypatch.setattr(_conv_choice, "_is_pointwise", lambda *shapes: False)
    monkeypatch.setattr(_conv_choice, "_direct_cost", lambda *shapes: -1 if way == "direct" else np.inf)
    monkeypatch.setattr(_conv_choice, "FEW_FILTERS", 1 << 30 if way == "direct" else -1)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("way", ["chosen", "columns", "direct"])
@pytest.mark.parametrize("case", CASES)
def test_passes_agree_with_the_definition(case, way, dtype, monkeypatch):
    if way != "chosen":
        only(monkeypatch, way)
    data = arrays(case, dtype)
    with use_winograd(False):
        agree(passes(cuda, *data), passes(reference, *double(data)), dtype)


@pytest.mark.parametrize(("numbers", "tiles"), [
    (600, 6),  # three rows, and one at the end of each image
    (2000, 2),  # an image
    (4000, 1),  # both
])
def test_tiles_of_rows_and_of_images_agree_with_the_definition(numbers, tiles, monkeypatch):
    only(monkeypatch, "columns")
    monkeypatch.setattr(_conv_columns, "WORKSPACE", numbers * 8)
    data = arrays((2, 3, 4, (13, 13), (4, 2), (2, 2), (3, 1), (2, 2), 1), np.float64)
    assert len(list(_conv_columns._tiles(data[3], 24))) == tiles
    agree(passes(cuda, *data), passes(reference, *data), np.float64)


@pytest.mark.parametrize("way", ["columns", "direct"])
def test_more_channels_and_images_than_blocks(way, monkeypatch):
    only(monkeypatch, way)
    monkeypatch.setattr(_program, "MOST_BLOCKS", 2)
    data = arrays((3, 5, 5, (4, 23), (2, 2), (1, 1), (0, 0), (1, 1), 5), np.float64)  # 66 pixels: two blocks of threads
    agree(passes(cuda, *data), passes(reference, *data), np.float64)


@pytest.mark.parametrize("case", [
    (2, 40, 48, (13, 17), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 12, 34, (11, 9), (5, 3), (2, 1), (2, 1), (1, 1), 2),
    (1, 3, 40, (31, 29), (11, 9), (4, 4), (0, 0), (1, 1), 1),
    (1, 40, 21, (66, 64), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 21, 21, (17, 18), (8, 8), (4, 4), (2, 2), (1, 1), 21),  # more groups than are multiplied one by one
])
def test_larger_layers_agree_with_the_vectorised_ones(case):
    data = arrays(case, np.float32)
    with use_winograd(False):
        agree(passes(cuda, *data), passes(array, *double(data)), np.float32)


def test_memory_may_be_laid_out_in_any_way():
    *data, steps = arrays(CASES[0], np.float32)
    expected = passes(cuda, *data, steps)
    found = passes(cuda, *(np.asfortranarray(a[..., ::-1])[..., ::-1] for a in data), steps)
    for name, y in expected.items():
        np.testing.assert_array_equal(found[name], y, err_msg=name)


@pytest.mark.parametrize(("n", "c", "o"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("way", ["chosen", "columns"])
def test_arrays_of_size_zero(n, c, o, kernel, way, monkeypatch):
    if way != "chosen":
        only(monkeypatch, way)
    data = arrays((n, c, o, (5, 6), (kernel, kernel), (1, 1), (0, 0), (1, 1), 1), np.float64)
    agree(passes(cuda, *data), passes(reference, *data), np.float64)


@pytest.mark.parametrize("way", ["columns", "direct"])
def test_nan_goes_where_it_is_read_and_passes_the_relu(way, monkeypatch):
    only(monkeypatch, way)
    x, weight, bias, gy, steps = arrays((1, 4, 4, (6, 7), (3, 3), (1, 1), (1, 1), (1, 1), 2), np.float64)
    x[0, 0, 2, 3] = gy[0, 3, 0, 0] = gy[0, 2, 5, 6] = np.nan
    found, expected = passes(cuda, x, weight, bias, gy, steps), passes(reference, x, weight, bias, gy, steps)
    for name in ("conv2d_relu", "conv2d_grad_input"):
        assert 0 < np.isnan(found[name]).sum() < found[name].size
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(expected[name]), err_msg=name)


# The choice.


def way_of(n, c, o, size, kernel, stride=1, groups=1, dtype=np.float64):
    padding, out = (kernel - 1) // 2, -(-size // stride)
    return forward_way((n, c, size, size), (o, c // groups, kernel, kernel), out, out, stride, stride, padding, padding,
                       1, 1, groups, dtype)


def test_filters_of_one_tap_are_a_product():
    assert way_of(1, 4096, 4096, 16, 1) == way_of(4, 64, 21, 64, 1) == "pointwise"
    assert way_of(4, 4096, 4096, 16, 1) == "columns"  # the images of a small map go together
    assert way_of(1, 512, 512, 16, 1, stride=2) == "columns"
    assert forward_way((1, 64, 9, 9), (64, 64, 1, 1), 10, 9, 1, 1, 0, 0, 1, 1, 1, np.float64) != "pointwise"
    assert input_gradient_way((1, 64, 9, 9), (64, 64, 1, 1), 9, 9, 1, 1, 0, 0, 1, 1, 1, np.float64) == "pointwise"


def test_few_taps_are_direct_and_many_are_a_product():
    assert way_of(1, 3, 64, 224, 3) == way_of(1, 3, 64, 224, 7, stride=2) == "direct"  # first layers
    assert way_of(1, 64, 64, 56, 3, groups=64) == "direct"  # a filter a channel
    assert way_of(1, 64, 64, 224, 3) == way_of(1, 512, 4096, 16, 7) == "columns"


def test_few_filters_a_group_are_gathered():
    def way(o, groups):
        return input_gradient_way((1, o, 9, 9), (o, 21, 16, 16), 80, 80, 8, 8, 4, 4, 1, 1, groups, np.float32)
    assert way(21, 21) == way(8, 1) == "direct"
    assert way(21, 1) == "columns"


def test_the_launcher_and_the_kernel_hold_as_many_taps():
    assert f"MOST_TAPS = {_conv_direct.MOST_TAPS};" in _conv_direct._CU.text
