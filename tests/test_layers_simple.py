"""The thin layers around the simple ops: what they pass on, what they remember, and where a pixel lands."""

from fractions import Fraction

import numpy as np
import pytest

from minifcn import init, layers, ops

X = np.random.default_rng(3).standard_normal((2, 3, 4, 5))
LIKE = np.zeros((1, 7, 2, 3))

# repr -> layer, its inputs, and what the op says that the output and the gradients of the inputs are
SAME = {
    "ReLU()": (layers.ReLU(), (X,), ops.relu, ops.relu_backward, {}),
    "LeakyReLU()": (layers.LeakyReLU(), (X,), ops.leaky_relu, ops.leaky_relu_backward, {}),
    "LeakyReLU(negative_slope=0.3)": (
        layers.LeakyReLU(0.3), (X,), ops.leaky_relu, ops.leaky_relu_backward, {"negative_slope": 0.3}),
    "Sigmoid()": (layers.Sigmoid(), (X,), ops.sigmoid, ops.sigmoid_backward, {}),
    "Softmax()": (layers.Softmax(), (X,), ops.softmax, ops.softmax_backward, {"axis": 1}),
    "Softmax(axis=3)": (layers.Softmax(3), (X,), ops.softmax, ops.softmax_backward, {"axis": 3}),
    "Scale(factor=0.01)": (layers.Scale(0.01), (X,), ops.scale, ops.scale_backward, {"factor": 0.01}),
    "Concat()": (layers.Concat(), (X, X[:, :1]), ops.concat, ops.concat_backward, {}),
    "Concat(axis=-1)": (layers.Concat(-1), (X, X, X), ops.concat, ops.concat_backward, {"axis": 3}),
    "Add()": (layers.Add(), (X, X), ops.add, ops.add_backward, {}),
    "ResizeBilinear(output_size=(3, 7), align_corners=True)": (
        layers.ResizeBilinear((3, 7), True), (X,), ops.resize_bilinear, ops.resize_bilinear_backward,
        {"output_size": (3, 7), "align_corners": True}),
    "Crop(offset=(1, 0), size=(2, 3))": (
        layers.Crop((1, 0), (2, 3)), (X,), ops.crop, ops.crop_backward, {"offset": (1, 0), "size": (2, 3)}),
    "Pad(padding=Padding(top=1, bottom=0, left=2, right=3), mode='reflect')": (
        layers.Pad((1, 0, 2, 3), "reflect"), (X,), ops.pad, ops.pad_backward,
        {"padding": (1, 0, 2, 3), "mode": "reflect"}),
    "Pad(padding=Padding(top=1, bottom=0, left=2, right=3), value=7)": (
        layers.Pad((1, 0, 2, 3), value=7), (X,), ops.pad, ops.pad_backward, {"padding": (1, 0, 2, 3), "value": 7}),
}


def assert_all_equal(actual, expected):
    assert isinstance(actual, tuple) == isinstance(expected, tuple)
    pairs = zip(actual, expected, strict=True) if isinstance(actual, tuple) else [(actual, expected)]
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", SAME)
def test_layer_is_its_op(name):
    layer, xs, op, backward, options = SAME[name]
    assert repr(layer) == name
    y, cache = op(*xs, **options)
    np.testing.assert_array_equal(layer.forward(*xs), y)
    gy = np.random.default_rng(4).standard_normal(y.shape)
    assert_all_equal(layer.backward(gy), backward(gy, cache))
    assert layer.parameters() == {}
    assert layer.buffers() == {}


@pytest.mark.parametrize("name", SAME)
def test_layer_passes_needs_on(name):
    layer, xs, *_ = SAME[name]
    y = layer.forward(*xs)
    gxs = layer.backward(y, needs=(False,) * len(xs))
    assert gxs is None or gxs == (None,) * len(xs)


@pytest.mark.parametrize("name", SAME)
def test_layer_can_be_applied_twice(name):
    layer, xs, op, backward, options = SAME[name]
    first, second = layer.forward(*xs), layer.forward(*(x + 1 for x in xs))
    later, earlier = layer.backward(second), layer.backward(first)
    assert_all_equal(later, backward(second, op(*(x + 1 for x in xs), **options)[1]))
    assert_all_equal(earlier, backward(first, op(*xs, **options)[1]))


# Parameters.


@pytest.mark.parametrize("num_parameters", [1, 3])
def test_prelu(num_parameters):
    layer = layers.PReLU(num_parameters, dtype=np.float64)
    assert repr(layer) == ("PReLU()" if num_parameters == 1 else "PReLU(num_parameters=3)")
    np.testing.assert_array_equal(layer.weight.data, [0.25] * num_parameters)
    y, cache = ops.prelu(X, layer.weight.data)
    np.testing.assert_array_equal(layer.forward(X), y)
    gx, gweight = ops.prelu_backward(y, cache)
    np.testing.assert_array_equal(layer.backward(y), gx)
    np.testing.assert_array_equal(layer.parameters()["weight"].grad, gweight)


def test_prelu_of_another_slope_and_the_usual_dtype():
    weight = layers.PReLU(2, init=-0.5).weight
    assert weight.data.dtype == np.float32
    np.testing.assert_array_equal(weight.data, [-0.5, -0.5])


def test_a_frozen_prelu_has_no_gradient():
    layer = layers.PReLU(3, dtype=np.float64)
    layer.weight.lr_mult = 0
    layer.backward(layer.forward(X))
    assert layer.weight.grad is None


def test_linear():
    layer = layers.Linear(5, 4, bias_init=init.constant(0.5), rng=1, dtype=np.float64)
    assert repr(layer) == "Linear(in_features=5, out_features=4)"
    assert list(layer.parameters()) == ["weight", "bias"]
    assert layer.weight.data.shape == (4, 5)
    np.testing.assert_array_equal(layer.bias.data, [0.5] * 4)
    y, cache = ops.linear(X[0, 0], layer.weight.data, layer.bias.data)
    np.testing.assert_array_equal(layer.forward(X[0, 0]), y)
    gx, gweight, gbias = ops.linear_backward(y, cache)
    np.testing.assert_array_equal(layer.backward(y), gx)
    np.testing.assert_array_equal(layer.weight.grad, gweight)
    np.testing.assert_array_equal(layer.bias.grad, gbias)


def test_linear_without_bias_and_frozen():
    layer = layers.Linear(5, 4, bias=False)
    assert list(layer.parameters()) == ["weight"]
    assert layer.weight.data.dtype == np.float32
    layer.weight.lr_mult = 0
    x = X[0, 0].astype(np.float32)
    assert layer.backward(layer.forward(x), needs=(False,)) is None
    assert layer.weight.grad is None


def test_linear_is_seeded():
    first, again, other = (layers.Linear(5, 4, rng=seed).weight.data for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# Layers that follow the size of a second input.


@pytest.mark.parametrize(("layer", "expected", "backward"), [
    (layers.ResizeBilinear(), ops.resize_bilinear(X, output_size=(2, 3)), ops.resize_bilinear_backward),
    (layers.Crop((2, 1)), ops.crop(X, offset=(2, 1), size=(2, 3)), ops.crop_backward),
])
def test_size_of_a_second_input(layer, expected, backward):
    y, cache = expected
    np.testing.assert_array_equal(layer.forward(X, LIKE), y)
    gx, glike = layer.backward(y)
    np.testing.assert_array_equal(gx, backward(y, cache))
    assert glike is None
    layer.forward(X, LIKE)
    assert layer.backward(y, needs=(False, True)) == (None, None)


def test_a_crop_that_cuts_nothing_passes_its_input_on():
    layer = layers.Crop(0)
    assert layer.forward(X, X[:, :1]) is X
    gx, glike = layer.backward(X)
    assert gx is X
    assert glike is None
    layer.forward(X, X)
    assert layer.backward(X, needs=(False, False)) == (None, None)
    assert layers.Crop(0, X.shape[2:]).forward(X) is not X  # asked for by numbers it is a copy, as the op's always is


@pytest.mark.parametrize(("layer", "xs", "message"), [
    (layers.Crop(0), (X,), "^Crop: expected either size or a second input of the size that is wanted, got neither"),
    (layers.Crop(0, 2), (X, LIKE), "^Crop: expected either size or a second input .*, got both. Give one of the two"),
    (layers.ResizeBilinear(), (X,), "^ResizeBilinear: expected either output_size or a second input .*, got neither"),
    (layers.ResizeBilinear(3), (X, LIKE), "^ResizeBilinear: expected either output_size or .*, got both"),
    (layers.ResizeBilinear(), (X, LIKE[0]), r"^ResizeBilinear: expected like with 4 axes \(N, C, H, W\), got shape"),
])
def test_a_size_given_twice_or_never(layer, xs, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(*xs)


# Coordinates.


@pytest.mark.parametrize("layer", [layers.ReLU(), layers.PReLU(), layers.Add(), layers.Concat(), layers.Scale(2)])
def test_most_layers_leave_a_pixel_where_it_is(layer):
    assert layer.coordinate_map() == ((1, 0), (1, 0))


def test_a_crop_and_a_pad_shift():
    assert layers.Crop((19, 5)).coordinate_map() == ((1, -19), (1, -5))
    assert layers.Pad((1, 2, 3, 4)).coordinate_map() == ((1, 1), (1, 3))
    for layer in (layers.Crop(3), layers.Pad((1, 2, 3, 4))):
        assert all(isinstance(number, Fraction) for axis in layer.coordinate_map() for number in axis)


def test_the_shift_is_where_a_pixel_lands():
    x = np.zeros((1, 1, 6, 7))
    x[0, 0, 3, 4] = 1
    for layer in (layers.Crop((2, 1), (3, 5)), layers.Pad((1, 2, 3, 4))):
        (_, down), (_, right) = layer.coordinate_map()
        assert np.argwhere(layer.forward(x))[0, 2:].tolist() == [3 + down, 4 + right]


def test_a_resize_needs_the_sizes():
    with pytest.raises(ValueError, match=r"^ResizeBilinear\.coordinate_map: .* got one that needs the sizes of its"):
        layers.ResizeBilinear(8).coordinate_map()


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: layers.PReLU(0), ValueError, "^PReLU: expected num_parameters of at least 1, got 0. Pass 1 or the"),
    (lambda: layers.Linear(0, 4), ValueError,
     "^Linear: expected in_features and out_features of at least 1, got 0 and 4. Pass the lengths of a row"),
    (lambda: layers.Linear(4, -1), ValueError, "of at least 1, got 4 and -1"),
    (lambda: layers.Crop((-1, 0)), ValueError, r"^Crop: expected offset of at least 0, got \(-1, 0\)"),
    (lambda: layers.Pad(1), ValueError, r"^Pad: expected padding as \(top, bottom, left, right\), four ints"),
    (lambda: layers.Pad((1, 1, 1, 1), "wrap"), ValueError, "^Pad: expected mode 'constant' or 'reflect', got 'wrap'"),
])
def test_bad_constructions(make, error, message):
    with pytest.raises(error, match=message):
        make()
