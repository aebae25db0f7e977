"""Appended channels of zeros, against NumPy's own padding."""

import numpy as np
import pytest

from minifcn import layers, ops
from minifcn.shapes import output_shapes

SHAPE = (2, 3, 4, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("out_channels", [3, 4, np.int64(8)])
def test_zeros_stand_behind(rng, out_channels, dtype):
    x = rng.standard_normal(SHAPE).astype(dtype)
    kept = x.copy()
    y, _ = ops.pad_channels(x, out_channels=out_channels)
    np.testing.assert_array_equal(y, np.pad(x, ((0, 0), (0, out_channels - 3), (0, 0), (0, 0))))
    assert y.dtype == dtype
    assert not np.shares_memory(y, x)
    np.testing.assert_array_equal(x, kept)


def test_backward_is_the_adjoint(rng):
    x = rng.standard_normal(SHAPE)
    y, cache = ops.pad_channels(x, out_channels=7)
    gy = rng.standard_normal(y.shape)
    kept = gy.copy()
    gx = ops.pad_channels_backward(gy, cache)
    assert gx.shape == x.shape
    assert np.sum(gx * x) == pytest.approx(np.sum(gy * y), rel=1e-12)
    np.testing.assert_array_equal(ops.pad_channels_backward(gy, cache), gx)
    np.testing.assert_array_equal(gy, kept)
    assert ops.pad_channels_backward(gy, cache, needs=(False,)) is None


def test_nan_propagates_and_spreads_nowhere(rng):
    x = rng.standard_normal(SHAPE)
    x[1, 2, 3, 4] = np.nan
    y, _ = ops.pad_channels(x, out_channels=5)
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 2, 3, 4]]


def test_layer(rng):
    layer, x = layers.PadChannels(6), rng.standard_normal(SHAPE)
    assert repr(layer) == "PadChannels(out_channels=6)"
    y, cache = ops.pad_channels(x, out_channels=6)
    np.testing.assert_array_equal(layer.forward(x), y)
    np.testing.assert_array_equal(layer.backward(y), ops.pad_channels_backward(y, cache))
    layer.forward(x)
    assert layer.backward(y, needs=(False,)) is None
    assert layer.parameters() == {}


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda x: ops.pad_channels(x, out_channels=2), ValueError,
     "^pad_channels: expected out_channels of at least 3, which the input has, got 2. A convolution of 1x1"),
    (lambda x: ops.pad_channels(x, out_channels=4.0), ValueError, "^pad_channels: expected out_channels .* got 4.0"),
    (lambda x: ops.pad_channels(x[0], out_channels=4), ValueError, "^pad_channels: expected x with 4 axes"),
    (lambda x: ops.pad_channels(x.astype(int), out_channels=4), TypeError, "^pad_channels: expected x of dtype"),
    (lambda x: layers.PadChannels(0), ValueError, "^PadChannels: expected out_channels of at least 1, .* got 0"),
    (lambda x: output_shapes(layers.PadChannels(2), x.shape), ValueError, "^pad_channels: expected out_channels of at"),
    (lambda x: ops.pad_channels_backward(x, ops.pad_channels(x, out_channels=4)[1]), ValueError,
     r"^pad_channels_backward: expected gy of the forward output's shape \(2, 4, 4, 5\), got \(2, 3, 4, 5\)"),
])
def test_wrong_use(rng, call, error, message):
    with pytest.raises(error, match=message):
        call(rng.standard_normal(SHAPE))
