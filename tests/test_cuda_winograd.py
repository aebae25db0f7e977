"""Winograd's convolution in CUDA C++, on the emulator, against the vectorised convolution in float64."""

import numpy as np
import pytest

from minifcn.kernels import array, cuda, use_winograd
from minifcn.kernels.cpu import _winograd as lines
from minifcn.kernels.cuda import _conv_choice, _conv_columns, _conv_winograd, _program
from minifcn.kernels.cuda._conv_choice import forward_way, input_gradient_way, keeps_winograd, weight_gradient_way

pytestmark = pytest.mark.emulator
TOLERANCE = 1e-5  # of the largest number: a tenth of what any pass may differ by in float32

# n, c, o, (h, w), (ph, pw), (dh, dw)
CASES = [
    (1, 1, 1, (4, 4), (1, 1), (1, 1)),  # one tile, whose outputs are written four at a time
    (2, 5, 3, (9, 8), (1, 1), (1, 1)),  # tiles that stick out below only
    (2, 3, 5, (8, 11), (0, 2), (1, 1)),  # and to the right
    (1, 2, 3, (1, 1), (1, 1), (1, 1)),  # one pixel
    (1, 4, 2, (5, 7), (3, 4), (1, 1)),  # more padding than a filter reaches: the input gradient cuts it off again
    (2, 3, 4, (14, 19), (2, 3), (2, 3)),  # dilated: six interleaved maps
    (1, 3, 2, (6, 5), (6, 7), (6, 7)),  # more maps than some have rows or columns
    (1, 2, 2, (11, 12), (2, 1), (2, 1)),  # dilated downwards only: still four at a time
    (1, 2, 2, (11, 12), (1, 2), (1, 2)),  # across: no longer, although rows are a multiple of four
    (1, 40, 33, (13, 18), (1, 1), (1, 1)),  # more channels than a warp has lanes
    (2, 1, 2, (44, 45), (1, 1), (1, 1)),  # more tiles than a block has threads
]


def arrays(case):
    n, c, o, (h, w), (ph, pw), (dh, dw) = case
    rng = np.random.default_rng(h * w + c)
    shapes = (n, c, h, w), (o, c, 3, 3), (o,), (n, o, h + 2 * ph - 2 * dh, w + 2 * pw - 2 * dw)
    return *(rng.standard_normal(shape, np.float32) for shape in shapes), (1, 1, ph, pw, dh, dw, 1)


def passes(kernels, x, weight, bias, gy, steps):
    return {
        "conv2d": kernels.conv2d(x, weight, None, *gy.shape[2:], *steps),
        "conv2d_relu": kernels.conv2d_relu(x, weight, bias, *gy.shape[2:], *steps),
        "conv2d_grad_input": kernels.conv2d_grad_input(gy, weight, *x.shape[2:], *steps),
        "conv2d_grad_weight": kernels.conv2d_grad_weight(gy, x, *weight.shape[2:], *steps),
    }


def check(*given_and_steps):
    """Every pass by Winograd against `array` in float64, with an error that is not that of another algorithm."""
    *given, steps = given_and_steps
    found, expected = passes(cuda, *given, steps), passes(array, *(a.astype(np.float64) for a in given), steps)
    for name, y in expected.items():
        assert found[name].shape == y.shape, name
        assert found[name].dtype == np.float32, name
        np.testing.assert_allclose(found[name], y, rtol=0, atol=TOLERANCE * abs(y).max(), err_msg=name)


@pytest.fixture
def winograd_only(monkeypatch):
    """Whatever Winograd can do, it does: columns, the other way that is always there, are not to be had."""
    monkeypatch.setattr(_conv_choice, "_direct_cost", lambda *shapes: np.inf)
    monkeypatch.setattr(_conv_choice, "_columns_cost", lambda *shapes: 1e300)
    monkeypatch.setattr(_conv_choice, "FEW_FILTERS", -1)
    monkeypatch.setattr(_conv_columns, "_im2col", None)
    monkeypatch.setattr(_conv_columns, "_col2im", None)


@pytest.mark.parametrize("case", CASES)
def test_passes_agree_with_the_vectorised_ones(case, winograd_only):
    check(*arrays(case))


@pytest.mark.parametrize("parts", [1, 3, 80])
def test_tiles_may_come_in_parts(parts, winograd_only, monkeypatch):
    x, weight, bias, gy, steps = arrays((2, 3, 4, (25, 19), (2, 1), (2, 1)))
    tiles = 2 * 2 * 4 * 5  # images, interleaved maps, rows of tiles, tiles
    monkeypatch.setattr(_conv_winograd, "WORKSPACE", 36 * 4 * (3 + 4) * -(-tiles // parts))
    assert len(_conv_winograd._parts(gy, 7, 2, 1)) == parts
    check(x, weight, bias, gy, steps)


def test_more_channels_than_blocks(winograd_only, monkeypatch):
    monkeypatch.setattr(_program, "MOST_BLOCKS", 2)
    check(*arrays((1, 70, 5, (6, 7), (1, 1), (1, 1))))


def test_outputs_are_the_same_written_by_fours_or_one_by_one():
    x, weight, bias, _, _ = arrays((1, 2, 3, (8, 12), (1, 1), (1, 1)))
    u = _conv_winograd.transform_weight(weight)
    four = _conv_winograd.convolve(x, u, bias, 8, 12, 1, 1, 1, 1, False)
    one = _conv_winograd.convolve(x, u, bias, 8, 11, 1, 1, 1, 1, False)
    np.testing.assert_array_equal(four[..., :11], one)


def test_nan_may_spread_over_its_tiles_and_passes_the_relu():
    x, weight, bias, _, _ = arrays((1, 3, 2, (16, 20), (1, 1), (1, 1)))
    x[0, 1, 6, 10] = np.nan
    y = _conv_winograd.convolve(x, _conv_winograd.transform_weight(weight), bias, 16, 20, 1, 1, 1, 1, True)
    assert np.isnan(y[0, :, 5:8, 9:12]).all()
    touched = np.zeros((16, 20), bool)
    touched[4:8, 8:12] = True  # the one tile whose outputs read it
    assert not np.isnan(y[0][:, ~touched]).any()


# The transforms, one by one, against the formulas of kernels/cpu/_winograd.py in float64.


def both_ways(line, tile):
    """A formula on both of the last axes of an array."""
    for axis in (-2, -1):
        tile = np.stack(line(*np.moveaxis(tile, axis, 0)), axis)
    return tile


@pytest.mark.parametrize("turned", [False, True])
def test_transform_of_filters(turned, rng):
    weight = rng.standard_normal((5, 67, 3, 3))
    transform = _conv_winograd.transform_weight_turned if turned else _conv_winograd.transform_weight
    expected = both_ways(lines.filter_line, weight[:, :, ::-1, ::-1].swapaxes(0, 1) if turned else weight)
    np.testing.assert_allclose(transform(weight), expected.reshape(*expected.shape[:2], 36).transpose(2, 0, 1),
                               atol=1e-14)


@pytest.mark.parametrize("turned", [False, True])
def test_transform_of_inputs(turned, rng):
    x = rng.standard_normal((1, 3, 10, 6))  # two tiles, one below the other
    found = _conv_winograd._inputs(x, 0, 2, 8, 4, 0, 0, 1, 1, turned)
    expected = np.stack([both_ways(lines.input_line, x[0, :, top : top + 6]) for top in (0, 4)])  # (tiles, C, 6, 6)
    expected = expected.reshape(2, 3, 36).transpose((2, 0, 1) if turned else (2, 1, 0))
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_transform_of_outputs_and_its_adjoint(rng):
    m, gy = rng.standard_normal((36, 3, 2)), rng.standard_normal((1, 3, 8, 4))
    y = np.zeros_like(gy)
    _conv_winograd._outputs(m, None, y, 0, 1, 1, False)
    tiles = both_ways(lines.output_line, m.transpose(1, 2, 0).reshape(3, 2, 6, 6))
    np.testing.assert_allclose(y[0], tiles.reshape(3, 8, 4), atol=1e-14)
    z = _program.empty(gy, m.shape)
    _conv_winograd._CU.run("gradients", (2, 3), gy, z, 0, 2, 3, 8, 4, 2, 1, 1, 1)
    assert np.vdot(z, m) == pytest.approx(np.vdot(gy, y), rel=1e-12)


def test_transform_of_filters_and_its_adjoint(rng):
    weight, gu = rng.standard_normal((5, 3, 3, 3)), rng.standard_normal((36, 5, 3))
    gweight = _program.empty(gu, weight.shape)
    _conv_winograd._CU.run("filter_gradients", 15, gu, gweight, 15)
    assert np.vdot(gweight, weight) == pytest.approx(np.vdot(gu, _conv_winograd.transform_weight(weight)), rel=1e-12)


# The choice.


def ways(n, c, o, size, dilation=1, kernel=3, stride=1, groups=1, dtype=np.float32):
    """Of the forward pass, the input gradient, the weight gradient, and whether the weight is kept transformed."""
    padding, out = dilation * (kernel - 1) // 2, -(-size // stride)
    x, weight, gy = (n, c, size, size), (o, c // groups, kernel, kernel), (n, o, out, out)
    steps, spread = (stride, stride), (dilation, dilation)
    return (forward_way(x, weight, out, out, *steps, padding, padding, *spread, groups, dtype),
            input_gradient_way(gy, weight, size, size, *steps, padding, padding, *spread, groups, dtype),
            weight_gradient_way(gy, x, kernel, kernel, *steps, *spread, groups, dtype),
            "winograd" if keeps_winograd(weight, out, out, *steps, *spread, groups, dtype) else "columns")


@pytest.mark.parametrize("layer", [(1, 64, 64, 224), (1, 512, 512, 28), (4, 128, 256, 56), (1, 512, 512, 64, 4)])
def test_most_layers_go_by_winograd(layer):
    assert ways(*layer) == ("winograd",) * 4


def test_few_channels_and_small_maps_do_not():
    assert ways(1, 3, 64, 224) == ("direct", "columns", "columns", "columns")
    assert ways(1, 512, 512, 7) == ("columns",) * 4
    assert ways(1, 512, 512, 14)[0] == "columns"  # the filters are most of what is read,
    assert ways(1, 512, 512, 14)[3] == "winograd"  # unless they are transformed already,
    assert ways(8, 512, 512, 14)[0] == "winograd"  # or there are more images
    assert ways(1, 512, 512, 64, 32)[0] == "columns"  # interleaved maps of 2x2: tiles that are mostly empty


@pytest.mark.parametrize("change", [{"kernel": 5}, {"stride": 2}, {"groups": 2}, {"dtype": np.float64}], ids=str)
def test_what_it_cannot_do_it_does_not(change):
    assert ways(1, 256, 256, 56, **change) == ("columns",) * 4


def test_it_can_be_forbidden():
    with use_winograd(False):
        assert ways(1, 256, 256, 56) == ("columns",) * 4


@pytest.mark.parametrize("nothing", [(0, 64, 64), (1, 0, 64), (1, 64, 0)])
def test_nothing_is_not_transformed(nothing):
    assert "winograd" not in ways(*nothing, 56)[:3]
