"""Prepared weights in CUDA C++, on the emulator: what is kept, and that passes with it are those without."""

import numpy as np
import pytest

from minifcn.kernels import array, cuda, reference

pytestmark = pytest.mark.emulator


def agree(found, expected, dtype):
    assert found.dtype == dtype
    tolerance = {np.float32: 1e-5, np.float64: 1e-12}[dtype]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_convolution_keeps_its_weight_transformed_or_as_it_is(with_bias, dtype, rng):
    x, weight = rng.standard_normal((2, 40, 22, 24)).astype(dtype), rng.standard_normal((33, 40, 3, 3)).astype(dtype)
    bias = rng.standard_normal(33).astype(dtype) if with_bias else None
    steps = (1, 1, 2, 1, 2, 1, 1)
    kind, data = cuda.prepare_conv2d(np.asfortranarray(weight), 22, 24, 22, 24, *steps)
    assert kind == {np.float32: "winograd", np.float64: "plain"}[dtype]
    assert data.shape == {np.float32: (36, 33, 40), np.float64: weight.shape}[dtype]
    exact = array.conv2d(*(None if a is None else a.astype(np.float64) for a in (x, weight, bias)), 22, 24, *steps)
    given = x[..., ::-1].copy()[..., ::-1], data, kind, bias, 33, 3, 3, 22, 24, *steps
    agree(cuda.conv2d_prepared(*given), exact, dtype)
    agree(cuda.conv2d_relu_prepared(*given), np.maximum(exact, 0), dtype)


def test_a_convolution_that_winograd_cannot_do_is_plain(rng):
    weight = rng.standard_normal((64, 64, 3, 3), np.float32)
    assert cuda.prepare_conv2d(weight, 57, 57, 28, 28, 2, 2, 0, 0, 1, 1, 1) == ("plain", weight)


def diagonal(rng, channels, kh, kw, dtype):
    """A weight (C, C, kh, kw) with a filter of its own from each channel to itself."""
    weight = np.zeros((channels, channels, kh, kw), dtype)
    weight[range(channels), range(channels)] = rng.standard_normal((channels, kh, kw))
    return weight


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", ["diagonal", "plain"])
def test_a_transposed_convolution_from_each_channel_to_itself(way, dtype, rng):
    x, weight = rng.standard_normal((2, 3, 4, 5)).astype(dtype), diagonal(rng, 3, 4, 3, dtype)
    if way == "plain":
        weight[2, 1, 3, 0] = 1e-30
    geometry = (12, 13, 3, 2, 1, 0, 1, 2, 1)  # oh, ow, sh, sw, ph, pw, dh, dw, groups
    kind, data = cuda.prepare_conv_transpose2d(weight, 4, 5, *geometry)
    assert kind == way
    y = cuda.conv_transpose2d_prepared(np.asfortranarray(x), data, kind, 12, 13, 4, 3, *geometry[2:])
    agree(y, reference.conv2d_grad_input(x.astype(np.float64), weight.astype(np.float64), *geometry), dtype)


@pytest.mark.parametrize("change", ["nan", "not square", "groups", "one channel"])
def test_other_transposed_convolutions_are_plain(change, rng):
    weight = diagonal(rng, 1 if change == "one channel" else 3, 2, 2, np.float64)
    if change == "nan":
        weight[0, 1, 1, 1] = np.nan
    if change == "not square":
        weight = weight[:, :2].copy()
    kind, data = cuda.prepare_conv_transpose2d(weight, 4, 5, 8, 10, 2, 2, 0, 0, 1, 1, 3 if change == "groups" else 1)
    assert kind == "plain"
    assert data is weight


def test_a_weight_that_is_read_only_can_be_prepared(rng):
    weight = diagonal(rng, 3, 2, 2, np.float64)
    weight.flags.writeable = False
    assert cuda.prepare_conv_transpose2d(weight, 4, 5, 8, 10, 2, 2, 0, 0, 1, 1, 1)[0] == "diagonal"
