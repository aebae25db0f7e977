"""Conv2d and ConvTranspose2d: their parameters, what is trained, and where a pixel lands."""

from fractions import Fraction

import numpy as np
import pytest

from minifcn import init, layers, ops

OPTIONS = {"stride": (2, 3), "padding": ((0, 1), (2, 1)), "dilation": (1, 2), "groups": 2}


def make_conv(**extra):
    return layers.Conv2d(4, 6, (2, 3), **OPTIONS, bias_init=init.gaussian(1.0), rng=5, dtype=np.float64, **extra)


def make_transpose(**extra):
    return layers.ConvTranspose2d(
        4, 6, (2, 3), **OPTIONS, output_padding=(1, 0), bias_init=init.gaussian(1.0), rng=5, dtype=np.float64, **extra)


def of_op(layer, x):
    """(y, cache) as the op computes them from the layer's own parameters."""
    bias = layer.bias.data if layer.bias else None
    if isinstance(layer, layers.Conv2d):
        return ops.conv2d(x, layer.weight.data, bias, **OPTIONS)
    return ops.conv_transpose2d(x, layer.weight.data, bias, **OPTIONS, output_padding=(1, 0))


@pytest.mark.parametrize(("make", "backward"), [
    (make_conv, ops.conv2d_backward), (make_transpose, ops.conv_transpose2d_backward)])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_is_its_op(rng, make, backward, bias):
    layer, x = make(bias=bias), rng.standard_normal((2, 4, 7, 6))
    y, cache = of_op(layer, x)
    np.testing.assert_array_equal(layer.forward(x), y)
    gx, gweight, gbias = backward(y, cache)
    np.testing.assert_array_equal(layer.backward(y), gx)
    np.testing.assert_array_equal(layer.weight.grad, gweight)
    assert list(layer.parameters()) == (["weight", "bias"] if bias else ["weight"])
    if bias:
        np.testing.assert_array_equal(layer.bias.grad, gbias)


@pytest.mark.parametrize("make", [make_conv, make_transpose])
def test_gradients_accumulate(rng, make):
    layer, x = make(), rng.standard_normal((1, 4, 7, 6))
    y = layer.forward(x)
    layer.backward(y)
    once = {name: p.grad.copy() for name, p in layer.parameters().items()}
    layer.forward(x)
    layer.backward(y)
    for name, parameter in layer.parameters().items():
        np.testing.assert_allclose(parameter.grad, 2 * once[name], rtol=1e-12)


@pytest.mark.parametrize("make", [make_conv, make_transpose])
def test_what_is_frozen_or_not_needed_is_not_computed(rng, make):
    layer, x = make(), rng.standard_normal((1, 4, 7, 6))
    layer.weight.lr_mult = 0
    y = layer.forward(x)
    assert layer.backward(y, needs=(False,)) is None
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    layer.weight.lr_mult, layer.bias.lr_mult, layer.bias.grad = 1, 0, None
    layer.forward(x)
    assert layer.backward(y) is not None
    assert layer.weight.grad is not None
    assert layer.bias.grad is None


@pytest.mark.parametrize("make", [layers.Conv2d, layers.ConvTranspose2d])
def test_shapes_dtypes_and_seeds(make):
    layer = make(4, 6, 3)
    expected = (6, 4, 3, 3) if make is layers.Conv2d else (4, 6, 3, 3)
    assert layer.weight.data.shape == expected
    assert layer.weight.data.dtype == np.float32
    np.testing.assert_array_equal(layer.bias.data, np.zeros(6, np.float32))
    np.testing.assert_array_equal(layer.weight.data, make(4, 6, 3, rng=0).weight.data)
    assert not np.array_equal(layer.weight.data, make(4, 6, 3, rng=1).weight.data)
    generator = np.random.default_rng(0)
    first, second = make(4, 6, 3, rng=generator).weight.data, make(4, 6, 3, rng=generator).weight.data
    np.testing.assert_array_equal(first, layer.weight.data)
    assert not np.array_equal(first, second)  # one generator goes on from layer to layer


def test_the_output_size_wanted():
    layer = layers.ConvTranspose2d(1, 1, 3, stride=2, output_size=(8, 9), dtype=np.float64)
    assert layer.forward(np.zeros((1, 1, 3, 4))).shape == (1, 1, 8, 9)


def test_repr_reads_like_the_constructor():
    assert repr(layers.Conv2d(3, 8, (5, 3), padding=1)) == (
        "Conv2d(in_channels=3, out_channels=8, kernel_size=(5, 3), padding=1)")
    assert "output_padding=1" in repr(layers.ConvTranspose2d(3, 8, 3, stride=2, output_padding=1))


# Where a pixel lands.


def test_the_published_maps():
    """conv1_1, pool-less fc6 and upscore of FCN-32s: from data to their outputs."""
    assert layers.Conv2d(3, 1, 3, padding=100).coordinate_map() == ((1, 99), (1, 99))
    assert layers.Conv2d(1, 1, 7).coordinate_map() == ((1, -3), (1, -3))
    assert layers.ConvTranspose2d(1, 1, 64, stride=32).coordinate_map() == ((32, Fraction(63, 2)),) * 2


def test_a_convolutions_map_is_anisotropic():
    """Stride 2, padding top 0, dilation 1 and kernel 2; stride 3, padding left 2, dilation 2 and kernel 3."""
    rows, columns = make_conv().coordinate_map()
    assert rows == (Fraction(1, 2), Fraction(-1, 4))
    assert columns == (Fraction(1, 3), Fraction(0))
    assert make_transpose().coordinate_map() == ((2, Fraction(1, 2)), (3, 0))


@pytest.mark.parametrize("make", [layers.Conv2d, layers.ConvTranspose2d])
def test_the_centre_of_a_symmetric_filter_lands_where_the_map_says(make):
    """Measured: a filter of ones spreads one pixel over a patch, whose centre of mass is that pixel's place."""
    layer = make(1, 1, (3, 5), padding=((1, 0), (2, 3)), stride=1 if make is layers.Conv2d else (2, 3),
                 weight_init=init.constant(1.0), dtype=np.float64)
    x = np.zeros((1, 1, 9, 11))
    x[0, 0, 4, 5] = 1
    landed = np.argwhere(layer.forward(x)[0, 0]).mean(axis=0)
    rows, columns = layer.coordinate_map()
    assert landed.tolist() == [float(rows[0] * 4 + rows[1]), float(columns[0] * 5 + columns[1])]


CHANNELS = r"expected positive channel counts that groups \({}\) divide, got in_channels {} and out_channels {}"


@pytest.mark.parametrize("make", [layers.Conv2d, layers.ConvTranspose2d])
@pytest.mark.parametrize(("arguments", "options", "error", "message"), [
    ((0, 4, 3), {}, ValueError, CHANNELS.format(1, 0, 4)),
    ((4, -1, 3), {}, ValueError, CHANNELS.format(1, 4, -1)),
    ((4, 6, 3), {"groups": 4}, ValueError, CHANNELS.format(4, 4, 6) + r"\. Choose a common divisor as groups"),
    ((4, 6, 3), {"groups": 0}, ValueError, CHANNELS.format(0, 4, 6)),
    ((4, 6, 0), {}, ValueError, "expected kernel_size of at least 1, got 0"),
    ((4, 6, 3), {"stride": 0}, ValueError, "expected stride of at least 1, got 0"),
    ((4, 6, 3), {"dilation": (1, 0)}, ValueError, r"expected dilation of at least 1, got \(1, 0\)"),
    ((4, 6, 3), {"padding": -1}, ValueError, "expected padding of at least 0, got -1"),
    ((4, 6, "3"), {}, TypeError, r"expected kernel_size as an int or \(height, width\) of ints, got '3'"),
])
def test_bad_constructions(make, arguments, options, error, message):
    with pytest.raises(error, match=f"^{make.__name__}: {message}"):
        make(*arguments, **options)
