"""ReLU, leaky ReLU, PReLU, sigmoid and softmax against Python's math, number by number, and central differences."""

import math

import numpy as np
import pytest
from scipy import special

import minifcn
from minifcn import ops

SHAPE = (2, 3, 4, 5)
SLOPES = np.array([0.25, -0.5, 1.5])

# Each op as (forward, backward) of one array, and the same as a function of one number.
ELEMENTWISE = {
    "relu": (ops.relu, ops.relu_backward, lambda v: max(v, 0.0)),
    "leaky_relu": (lambda x: ops.leaky_relu(x, negative_slope=0.2), ops.leaky_relu_backward,
                   lambda v: v if v > 0 else 0.2 * v),
    "sigmoid": (ops.sigmoid, ops.sigmoid_backward, lambda v: 1 / (1 + math.exp(-v))),
}
OPS = {
    **{name: functions[:2] for name, functions in ELEMENTWISE.items()},
    "prelu": (lambda x: ops.prelu(x, SLOPES.astype(x.dtype)), lambda gy, cache: ops.prelu_backward(gy, cache)[0]),
    "prelu, one slope": (lambda x: ops.prelu(x, np.full(1, 0.25, x.dtype)),
                         lambda gy, cache: ops.prelu_backward(gy, cache)[0]),
    "softmax": (ops.softmax, ops.softmax_backward),
    "softmax, last axis": (lambda x: ops.softmax(x, axis=-1), ops.softmax_backward),
}


@pytest.fixture(params=["reference", "array", "cpu"])
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


@pytest.fixture
def x(rng):
    """Distinct numbers, none nearer to zero than a difference step, so that no kink is crossed."""
    values = np.linspace(-3, 3, np.prod(SHAPE)) + 0.01
    return rng.permutation(values).reshape(SHAPE)


def numerical_gradient(f, x, gy, step=1e-5):
    """Central differences of sum(f(x) * gy), one element after the other."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += step
        below[place] -= step
        gradient[place] = np.sum((f(above) - f(below)) * gy) / (2 * step)
    return gradient


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * np.max(np.abs(expected))


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("shape", [SHAPE, (6, 20), (120,)])
def test_elementwise_is_the_definition(folder, x, name, shape):
    forward, _, of_one = ELEMENTWISE[name]
    y, _ = forward(x.reshape(shape))
    assert y.shape == shape
    np.testing.assert_allclose(y.ravel(), [of_one(value) for value in x.ravel().tolist()], rtol=1e-14)


@pytest.mark.parametrize("slopes", [SLOPES, np.array([0.25])])
def test_prelu_is_the_definition(x, slopes):
    y, _ = ops.prelu(x, slopes)
    for n, c, p, q in np.ndindex(SHAPE):
        value = x[n, c, p, q]
        assert y[n, c, p, q] == (value if value > 0 else slopes[c % len(slopes)] * value)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_softmax_is_scipys(x, axis):
    y, _ = ops.softmax(x, axis=axis)
    np.testing.assert_allclose(y, special.softmax(x, axis=axis), rtol=1e-13)


@pytest.mark.parametrize("name", OPS)
def test_gradient_is_central_differences(folder, x, rng, name):
    forward, backward = OPS[name]
    y, cache = forward(x)
    gy = rng.standard_normal(y.shape)
    expected = numerical_gradient(lambda x: forward(x)[0], x, gy)
    assert_close(backward(gy, cache), expected, 1e-6)


@pytest.mark.parametrize("slopes", [SLOPES, np.array([0.25])])
@pytest.mark.parametrize("shape", [SHAPE, (40, 3)])
def test_prelu_gradient_of_the_slopes(x, rng, slopes, shape):
    x = x.reshape(shape)
    y, cache = ops.prelu(x, slopes)
    gy = rng.standard_normal(y.shape)
    _, gweight = ops.prelu_backward(gy, cache)
    assert_close(gweight, numerical_gradient(lambda slopes: ops.prelu(x, slopes)[0], slopes, gy), 1e-6)


def test_gradient_at_zero(folder):
    """At the kink the derivative from the left counts, as in PyTorch."""
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    assert ops.relu_backward(one, ops.relu(zero)[1]) == 0
    assert ops.leaky_relu_backward(one, ops.leaky_relu(zero, negative_slope=0.2)[1]) == 0.2
    assert ops.prelu_backward(one, ops.prelu(zero, np.array([0.3]))[1])[0] == 0.3


def test_a_relu_stops_even_an_infinite_gradient(folder):
    _, cache = ops.relu(np.array([-1.0, 1.0]))
    np.testing.assert_array_equal(ops.relu_backward(np.array([np.inf, 2.0]), cache), [0, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_and_softmax_of_huge_numbers(dtype):
    """No overflow on the way (warnings are errors here), and the limits are reached exactly."""
    huge = np.array([[-1e30, -800, -100, 0, 100, 800, 1e30]], dtype)
    y, cache = ops.sigmoid(huge)
    np.testing.assert_array_equal(y[0, [0, 1, 3, 4, 5, 6]], np.array([0, 0, 0.5, 1, 1, 1], dtype))
    assert y[0, 2] == pytest.approx(math.exp(-100), rel=1e-6)  # not rounded to 0 in either dtype
    assert np.all(np.isfinite(ops.sigmoid_backward(np.ones_like(y), cache)))
    y, cache = ops.softmax(huge)
    np.testing.assert_array_equal(y, np.array([[0, 0, 0, 0, 0, 0, 1]], dtype))
    assert not ops.softmax_backward(y, cache).any()


def test_sigmoid_keeps_tiny_outputs_apart(rng):
    """Far to the left y is exp(x): a formula that goes through 1 + exp(-x) - 1 would have lost it."""
    x = rng.uniform(-700, -40, (3, 50))
    np.testing.assert_allclose(ops.sigmoid(x)[0], np.exp(x), rtol=1e-13)


@pytest.mark.parametrize("name", OPS)
def test_nan_propagates(folder, x, name):
    x[1, 2, 3, 4] = np.nan
    y, cache = OPS[name][0](x)
    expected = np.isnan(x)
    if name.startswith("softmax"):  # every output along the axis depends on it
        expected = np.broadcast_to(expected.any(axis=-1 if "last" in name else 1, keepdims=True), SHAPE)
    np.testing.assert_array_equal(np.isnan(y), expected)
    OPS[name][1](np.ones_like(x), cache)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(folder, x, name, dtype):
    forward, backward = OPS[name]
    y, cache = forward(x.astype(dtype))
    assert y.dtype == dtype
    assert backward(np.ones_like(y), cache).dtype == dtype
    assert_close(y, forward(x)[0], 1e-6)


@pytest.mark.parametrize("name", OPS)
def test_layouts_inputs_untouched_and_backward_twice(folder, x, rng, name):
    forward, backward = OPS[name]
    y, cache = forward(x)
    gy = rng.standard_normal(SHAPE)
    gx = backward(gy, cache)
    strided, reversed_ = lambda a: np.repeat(a, 2, axis=3)[..., ::2], lambda a: np.flip(np.flip(a).copy())
    for rearrange in (np.asfortranarray, strided, reversed_):
        other, other_gy = rearrange(x), rearrange(gy)
        other_y, cache = forward(other)
        np.testing.assert_allclose(other_y, y, rtol=1e-14)
        for _ in range(2):
            np.testing.assert_allclose(backward(other_gy, cache), gx, rtol=1e-13)
        np.testing.assert_array_equal(other, x)
        np.testing.assert_array_equal(other_gy, gy)


def test_needs(folder, x):
    for forward, backward in ((ops.relu, ops.relu_backward), (ops.leaky_relu, ops.leaky_relu_backward),
                              (ops.sigmoid, ops.sigmoid_backward), (ops.softmax, ops.softmax_backward)):
        y, cache = forward(x)
        assert backward(y, cache, needs=(False,)) is None
        np.testing.assert_array_equal(backward(y, cache, needs=(True,)), backward(y, cache))
    y, cache = ops.prelu(x, SLOPES)
    gx, gweight = ops.prelu_backward(y, cache)
    only_x, only_weight = (ops.prelu_backward(y, cache, needs=needs) for needs in ((True, False), (False, True)))
    np.testing.assert_array_equal(only_x[0], gx)
    np.testing.assert_array_equal(only_weight[1], gweight)
    assert only_x[1] is None
    assert only_weight[0] is None


X = np.zeros(SHAPE)
BAD = [
    (lambda: ops.relu([1.0]), TypeError, "^relu: expected x to be a NumPy or CuPy array, got list"),
    (lambda: ops.relu(X.astype(int)), TypeError, "^relu: expected x of dtype float32 or float64, got int64"),
    (lambda: ops.leaky_relu(X.astype(bool)), TypeError, "^leaky_relu: expected x of dtype .* got bool"),
    (lambda: ops.leaky_relu(X, negative_slope=-0.1), ValueError,
     r"^leaky_relu: expected negative_slope as a number of at least 0, got -0\.1\. The usual one is 0\.01"),
    (lambda: ops.leaky_relu(X, negative_slope=math.nan), ValueError, "of at least 0, got nan"),
    (lambda: ops.leaky_relu(X, negative_slope=SLOPES), ValueError, "as a number of at least 0, got array"),
    (lambda: ops.sigmoid("x"), TypeError, "^sigmoid: expected x to be a NumPy or CuPy array, got str"),
    (lambda: ops.softmax(None), TypeError, "^softmax: expected x to be a NumPy or CuPy array, got NoneType"),
    (lambda: ops.softmax(X, axis=4), ValueError,
     r"^softmax: expected axis as an int from -4 to 3 \(shape \(2, 3, 4, 5\)\), got 4\. Axis 1 holds the channels"),
    (lambda: ops.softmax(X, axis=None), ValueError, "^softmax: expected axis as an int from -4 to 3 .* got None"),
    (lambda: ops.prelu(X, [0.1]), TypeError, "^prelu: expected weight to be a NumPy or CuPy array, got list"),
    (lambda: ops.prelu(X, SLOPES.astype("float32")), TypeError, "^prelu: expected weight of the dtype of x"),
    (lambda: ops.prelu(X, np.zeros(2)), ValueError,
     r"^prelu: expected weight of shape \(1,\) or \(3,\), one slope for each channel of x, got \(2,\)\. Change num_"),
    (lambda: ops.prelu(np.zeros(3), SLOPES), ValueError,
     r"^prelu: expected x with the axes N, C and any number behind, got shape \(3,\)\. Add the batch axis: x\[None\]"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "softmax", "prelu"])
def test_bad_gradients(name):
    y, cache = getattr(ops, name)(*((X, SLOPES) if name == "prelu" else (X,)))
    backward, count = getattr(ops, f"{name}_backward"), 2 if name == "prelu" else 1
    with pytest.raises(ValueError, match=rf"^{name}_backward: expected gy of .* shape \(2, 3, 4, 5\), got \(3, 4, 5\)"):
        backward(y[0], cache)
    with pytest.raises(TypeError, match=f"^{name}_backward: expected gy of .* dtype float64, got float32"):
        backward(y.astype("float32"), cache)
    with pytest.raises(ValueError, match=f"^{name}_backward: expected needs with {count} values, .* got 3"):
        backward(y, cache, needs=(True,) * 3)
