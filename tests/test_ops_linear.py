"""The linear op against sums written out, central differences, and the convolution that it is."""

import numpy as np
import pytest

import minifcn
from minifcn import ops


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on each kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


@pytest.fixture
def arrays(rng):
    return rng.standard_normal((3, 5)), rng.standard_normal((4, 5)), rng.standard_normal(4)


def numerical_gradient(f, x, gy):
    """Central differences of sum(f(x) * gy), one element after the other. A step of 1 is exact: f is linear in x."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += 1
        below[place] -= 1
        gradient[place] = np.sum((f(above) - f(below)) * gy) / 2
    return gradient


def assert_close(actual, expected, tolerance=1e-12):
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * np.max(np.abs(expected))


def test_forward_is_the_definition(arrays):
    x, weight, bias = arrays
    expected = [[sum(x[n, f] * weight[o, f] for f in range(5)) + bias[o] for o in range(4)] for n in range(3)]
    assert_close(ops.linear(x, weight, bias)[0], np.array(expected))
    assert_close(ops.linear(x, weight)[0], np.array(expected) - bias)


def test_it_is_a_convolution_as_large_as_its_input(rng):
    x, weight, bias = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((6, 3, 4, 5)), rng.standard_normal(6)
    y, _ = ops.linear(x.reshape(2, -1), weight.reshape(6, -1), bias)
    assert_close(y, ops.conv2d(x, weight, bias)[0][:, :, 0, 0])


def test_gradients_are_central_differences(arrays, rng):
    x, weight, bias = arrays
    _, cache = ops.linear(x, weight, bias)
    gy = rng.standard_normal((3, 4))
    gx, gweight, gbias = ops.linear_backward(gy, cache)
    assert_close(gx, numerical_gradient(lambda x: ops.linear(x, weight, bias)[0], x, gy))
    assert_close(gweight, numerical_gradient(lambda weight: ops.linear(x, weight, bias)[0], weight, gy))
    assert_close(gbias, numerical_gradient(lambda bias: ops.linear(x, weight, bias)[0], bias, gy))


def test_gradients_are_adjoints(arrays, rng):
    x, weight, _ = arrays
    y, cache = ops.linear(x, weight)
    gy = rng.standard_normal(y.shape)
    gx, gweight, gbias = ops.linear_backward(gy, cache)
    assert np.sum(x * gx) == pytest.approx(np.sum(y * gy), rel=1e-12)
    assert np.sum(weight * gweight) == pytest.approx(np.sum(y * gy), rel=1e-12)
    assert gbias is None


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True), (False,) * 3])
def test_needs(arrays, needs):
    y, cache = ops.linear(*arrays)
    every, some = ops.linear_backward(y, cache), ops.linear_backward(y, cache, needs=needs)
    for full, gradient, need in zip(every, some, needs, strict=True):
        if need:
            np.testing.assert_array_equal(gradient, full)
        else:
            assert gradient is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(arrays, dtype):
    y, cache = ops.linear(*(array.astype(dtype) for array in arrays))
    assert {result.dtype for result in (y, *ops.linear_backward(y, cache))} == {np.dtype(dtype)}
    assert_close(y, ops.linear(*arrays)[0], 1e-6)


def test_layouts_and_inputs_untouched(arrays):
    y, cache = ops.linear(*arrays)
    expected = (y, *ops.linear_backward(y, cache))
    others = [np.asfortranarray(np.repeat(array, 2, axis=-1))[..., ::2] for array in (*arrays, y)]
    y, cache = ops.linear(*others[:3])
    for result, right in zip((y, *ops.linear_backward(others[3], cache)), expected, strict=True):
        assert_close(result, right)
    for other, array in zip(others, (*arrays, expected[0]), strict=True):
        np.testing.assert_array_equal(other, array)


def test_nan_stays_in_its_row(arrays):
    x, weight, bias = arrays
    x[1, 3] = np.nan
    y, _ = ops.linear(x, weight, bias)
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to([[False], [True], [False]], (3, 4)))


@pytest.mark.parametrize(("n", "f", "o"), [(0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_nothing_to_sum_or_nobody_to_sum_for(n, f, o):
    y, cache = ops.linear(np.ones((n, f)), np.ones((o, f)), np.arange(float(o)))
    gx, gweight, gbias = ops.linear_backward(y, cache)
    assert (y.shape, gx.shape, gweight.shape, gbias.shape) == ((n, o), (n, f), (o, f), (o,))
    assert f or (y == np.arange(o)).all()
    assert not gweight.any()


X, WEIGHT, BIAS = np.zeros((3, 5)), np.zeros((4, 5)), np.zeros(4)


@pytest.mark.parametrize(("arrays", "error", "message"), [
    (([1.0], WEIGHT), TypeError, "^linear: expected x to be a NumPy or CuPy array, got list"),
    ((X[0], WEIGHT), ValueError, r"expected x with 2 axes \(N, F\), got shape \(5,\)\. Add the batch axis: x\[None\]"),
    ((X, BIAS), ValueError, r"expected weight with 2 axes \(O, F\), got shape \(4,\)"),
    ((X, WEIGHT.astype("float32")), TypeError, r"expected weight of the dtype of x \(float64\), got float32"),
    ((X[:, :3], WEIGHT), ValueError,
     r"expected x with 5 features \(weight \(4, 5\) is \(O, F\)\), got 3\. Change in_features"),
    ((X, WEIGHT, np.zeros(5)), ValueError, r"expected bias of shape \(4,\), one number for each output channel, got"),
])
def test_bad_arguments(arrays, error, message):
    with pytest.raises(error, match=message):
        ops.linear(*arrays)


@pytest.mark.parametrize(("gy", "needs", "error", "message"), [
    (np.zeros((3, 5)), None, ValueError, r"^linear_backward: expected gy of .* shape \(3, 4\), got \(3, 5\)"),
    (np.zeros((3, 4), "float32"), None, TypeError, "expected gy of .* dtype float64, got float32"),
    (np.zeros((3, 4)), (True,), ValueError, "expected needs with 3 values, .* got 1"),
])
def test_bad_gradients(gy, needs, error, message):
    _, cache = ops.linear(X, WEIGHT, BIAS)
    with pytest.raises(error, match=message):
        ops.linear_backward(gy, cache, needs=needs)
