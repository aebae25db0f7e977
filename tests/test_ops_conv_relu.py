"""Convolution with ReLU against the definition and central differences, in every kernel folder."""

import numpy as np
import pytest

import minifcn
from minifcn import ops

# Case -> shapes of x and weight, options: H != W, KH != KW, two unlike numbers for every option, remainders, a batch.
CASES = {
    "plain": ((2, 3, 5, 6), (4, 3, 3, 2), {}),
    "everything": ((2, 4, 9, 10), (6, 2, 2, 3), {"stride": (2, 3), "padding": (0, 1), "dilation": (1, 2), "groups": 2}),
    "one-sided padding": ((2, 2, 4, 5), (3, 2, 3, 3), {"stride": (2, 1), "padding": ((1, 2), (0, 3))}),
    "3x3": ((1, 3, 6, 7), (5, 3, 3, 3), {"padding": 1}),
    "1x1": ((3, 3, 4, 5), (2, 3, 1, 1), {}),
}


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on each kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


def inputs(case, dtype=np.float64):
    x_shape, weight_shape, options = CASES[case]
    rng = np.random.default_rng(3)
    return (*(rng.standard_normal(shape).astype(dtype) for shape in (x_shape, weight_shape, weight_shape[:1])), options)


def brute_force(x, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    """The definition without the ReLU: the sum over each window of an image that was really padded."""
    (sh, sw), (dh, dw) = np.broadcast_to(stride, 2), np.broadcast_to(dilation, 2)
    rows, columns = padding if isinstance(padding, tuple) else (padding, padding)
    padded = np.pad(x, ((0, 0), (0, 0), np.broadcast_to(rows, 2), np.broadcast_to(columns, 2)))
    filters, channels, kh, kw = weight.shape
    tall, wide = dh * (kh - 1) + 1, dw * (kw - 1) + 1
    y = np.empty((x.shape[0], filters, (padded.shape[2] - tall) // sh + 1, (padded.shape[3] - wide) // sw + 1))
    for n, o, p, q in np.ndindex(y.shape):
        first = o * groups // filters * channels
        window = padded[n, first : first + channels, p * sh : p * sh + tall : dh, q * sw : q * sw + wide : dw]
        y[n, o, p, q] = np.sum(window * weight[o]) + bias[o]
    return y


def differences(f, x, gy, step=1e-6):
    """Central differences of sum(f(x) * gy), element by element."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += step
        below[place] -= step
        gradient[place] = np.sum((f(above) - f(below)) * gy) / (2 * step)
    return gradient


def assert_close(actual, expected, tolerance=1e-11):
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * np.max(np.abs(expected))


@pytest.mark.parametrize("case", CASES)
def test_forward_is_the_definition_without_what_is_negative(case):
    x, weight, bias, options = inputs(case)
    z = brute_force(x, weight, bias, **options)
    y, _ = ops.conv2d_relu(x, weight, bias, **options)
    assert_close(y, np.maximum(z, 0))
    assert ((y == 0) == (z < 0)).all()
    assert 0.2 < (y == 0).mean() < 0.8
    assert_close(ops.conv2d_relu(x, weight, **options)[0], np.maximum(z - bias[:, None, None], 0))


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_central_differences(case, rng):
    x, weight, bias, options = inputs(case)
    z = brute_force(x, weight, bias, **options)
    assert np.abs(z).min() > 1e-4  # no step of the differences goes over the kink
    gy = rng.standard_normal(z.shape)
    _, cache = ops.conv2d_relu(x, weight, bias, **options)
    gradients = ops.conv2d_relu_backward(gy, cache)
    arrays = [x, weight, bias]
    for position in range(3):
        def f(array, position=position):
            with minifcn.use_kernels("array"):  # its forward has just been held to the definition
                return ops.conv2d_relu(*arrays[:position], array, *arrays[position + 1 :], **options)[0]

        assert_close(gradients[position], differences(f, arrays[position], gy), 1e-7)


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True), (False,) * 3])
def test_needs_and_backward_twice(needs):
    x, weight, bias, options = inputs("everything")
    y, cache = ops.conv2d_relu(x, weight, bias, **options)
    every, some = ops.conv2d_relu_backward(y, cache), ops.conv2d_relu_backward(y, cache, needs=needs)
    for full, gradient, need in zip(every, some, needs, strict=True):
        if need:
            np.testing.assert_array_equal(gradient, full)
        else:
            assert gradient is None
    assert ops.conv2d_relu_backward(y, ops.conv2d_relu(x, weight, **options)[1])[2] is None  # no bias, no gradient


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_layout_and_inputs_are_kept(dtype):
    x, weight, bias, options = inputs("everything", dtype)
    y, cache = ops.conv2d_relu(x, weight, bias, **options)
    expected = (y, *ops.conv2d_relu_backward(y, cache))
    assert {array.dtype for array in expected} == {np.dtype(dtype)}
    for rearrange in (np.asfortranarray, lambda a: np.flip(np.flip(a).copy()), lambda a: np.repeat(a, 2, -1)[..., ::2]):
        arrays = [rearrange(array) for array in (x, weight, bias, y)]
        other, cache = ops.conv2d_relu(*arrays[:3], **options)
        for result, right in zip((other, *ops.conv2d_relu_backward(arrays[3], cache)), expected, strict=True):
            assert_close(result, right, 1e-5 if dtype == np.float32 else 1e-11)
        for array, before in zip(arrays, (x, weight, bias, y), strict=True):
            np.testing.assert_array_equal(array, before)


def test_nan_is_not_clipped():
    x, weight = np.full((2, 1, 6, 7), -1.0), np.ones((1, 1, 3, 2))
    x[1, 0, 4, 2] = np.nan
    y, cache = ops.conv2d_relu(x, weight, padding=(1, 0), stride=(2, 1))
    # Output row p reads rows 2p-1 to 2p+1, so only p = 2 sees row 4; column q reads q and q+1.
    assert {tuple(place) for place in np.argwhere(np.isnan(y)).tolist()} == {(1, 0, 2, 1), (1, 0, 2, 2)}
    assert (y[~np.isnan(y)] == 0).all()
    assert np.isnan(ops.conv2d_relu_backward(np.full_like(y, np.nan), cache)[0]).any()


def test_an_empty_batch():
    y, cache = ops.conv2d_relu(np.zeros((0, 2, 4, 5)), np.ones((3, 2, 2, 2)), np.ones(3))
    gx, gweight, gbias = ops.conv2d_relu_backward(y, cache)
    assert (y.shape, gx.shape) == ((0, 3, 3, 4), (0, 2, 4, 5))
    assert not gweight.any()
    assert not gbias.any()


X, WEIGHT = np.zeros((1, 2, 4, 5)), np.zeros((3, 2, 3, 3))


@pytest.mark.parametrize(("arrays", "options", "error", "message"), [
    (([1.0], WEIGHT), {}, TypeError, "^conv2d_relu: expected x to be a NumPy or CuPy array, got list"),
    ((X[0], WEIGHT), {}, ValueError, r"^conv2d_relu: expected x with 4 axes \(N, C, H, W\), got shape \(2, 4, 5\)"),
    ((X, WEIGHT.astype("float32")), {}, TypeError, r"expected weight of the dtype of x \(float64\), got float32"),
    ((X[:, :1], WEIGHT), {}, ValueError, "expected x with 2 channels .* got 1"),
    ((X, WEIGHT, np.zeros(2)), {}, ValueError, r"expected bias of shape \(3,\), .* got \(2,\)"),
    ((X, WEIGHT), {"groups": 2}, ValueError, "expected groups that divide the 2 channels of x and the 3 filters"),
    ((X, WEIGHT), {"dilation": 2}, ValueError, r"^conv2d_relu: expected an input of at least 5x5 .* got 4x5"),
])
def test_bad_arguments(arrays, options, error, message):
    with pytest.raises(error, match=message):
        ops.conv2d_relu(*arrays, **options)


@pytest.mark.parametrize(("gy", "needs", "error", "message"), [
    (np.zeros((1, 3, 2, 2)), None, ValueError, r"^conv2d_relu_backward: expected gy of .* shape \(1, 3, 2, 3\), got"),
    (np.zeros((1, 3, 2, 3), "float32"), None, TypeError, "expected gy of .* dtype float64, got float32"),
    (np.zeros((1, 3, 2, 3)), (True,), ValueError, "^conv2d_relu_backward: expected needs with 3 values, .* got 1"),
])
def test_bad_gradients(gy, needs, error, message):
    _, cache = ops.conv2d_relu(X, WEIGHT)
    with pytest.raises(error, match=message):
        ops.conv2d_relu_backward(gy, cache, needs=needs)
