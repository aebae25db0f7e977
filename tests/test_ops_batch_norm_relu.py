"""Batch norm with ReLU against the definition and central differences, in every kernel folder."""

import numpy as np
import pytest

import minifcn
from minifcn import ops

SHAPE = (2, 3, 4, 5)  # (N, C, H, W), no two alike


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on each kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


def case(dtype=np.float64):
    """x with another mean and spread in each channel, and weight, bias, running_mean, running_var."""
    rng, c = np.random.default_rng(5), np.arange(3)[:, None, None]
    x = (rng.normal(size=SHAPE) * (c + 1) + 2 * c - 1).astype(dtype)
    weight, bias, mean = (rng.normal(size=3).astype(dtype) for _ in range(3))
    return x, weight, bias, mean, rng.uniform(0.5, 2, 3).astype(dtype)


def run(x, weight, bias, mean, var, training, **options):
    """The op on copies of the running statistics."""
    return ops.batch_norm_relu(
        x, weight, bias, running_mean=mean.copy(), running_var=var.copy(), training=training, **options
    )


def by_hand(x, weight, bias, mean, var, training, eps=1e-5):
    """The definition before the ReLU, in one line of whole arrays."""
    if training:
        mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    weight, bias, mean, var = (a[:, None, None] for a in (weight, bias, mean, var))
    return weight * (x - mean) / np.sqrt(var + eps) + bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_forward_is_the_definition_without_what_is_negative(training, dtype, tolerance):
    arrays = case(dtype)
    y, _ = run(*arrays, training)
    z = by_hand(*case(), training)
    assert (y.shape, y.dtype) == (SHAPE, dtype)
    np.testing.assert_allclose(y, np.maximum(z, 0), rtol=tolerance, atol=tolerance)
    assert 0.2 < (y == 0).mean() < 0.8
    wide, _ = run(*arrays, training, eps=3.0)
    np.testing.assert_allclose(wide, np.maximum(by_hand(*case(), training, 3.0), 0), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_central_differences(training, rng):
    arrays, step = list(case()), 1e-6
    assert np.abs(by_hand(*arrays, training)).min() > 1e-3  # no step of the differences goes over the kink
    gy = rng.normal(size=SHAPE)
    gradients = ops.batch_norm_relu_backward(gy, run(*arrays, training)[1])
    for position in range(3):
        expected = np.empty_like(arrays[position])
        for place in np.ndindex(expected.shape):
            ends = []
            for sign in (1, -1):
                moved = [array.copy() for array in arrays]
                moved[position][place] += sign * step
                ends.append(np.sum(gy * np.maximum(by_hand(*moved, training), 0)))
            expected[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(gradients[position], expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_training_moves_the_running_statistics_as_batch_norm_does():
    x, weight, bias, mean, var = case()
    statistics = [(mean.copy(), var.copy()) for _ in range(2)]
    for op, (m, v) in zip((ops.batch_norm, ops.batch_norm_relu), statistics, strict=True):
        op(x, weight, bias, running_mean=m, running_var=v, training=True, momentum=0.3)
    np.testing.assert_array_equal(statistics[0], statistics[1])
    np.testing.assert_allclose(statistics[1][0], 0.7 * mean + 0.3 * x.mean(axis=(0, 2, 3)))
    before = mean.copy(), var.copy()
    ops.batch_norm_relu(x, weight, bias, running_mean=mean, running_var=var, training=False)
    np.testing.assert_array_equal((mean, var), before)


@pytest.mark.parametrize("training", [True, False])
def test_needs_and_backward_twice(training):
    arrays = case()
    y, cache = run(*arrays, training)
    every = ops.batch_norm_relu_backward(y, cache)
    for needs in ((True, False, False), (False, True, False), (False, False, True), (False,) * 3):
        some = ops.batch_norm_relu_backward(y, cache, needs=needs)
        for full, gradient, need in zip(every, some, needs, strict=True):
            if need:
                np.testing.assert_array_equal(gradient, full)
            else:
                assert gradient is None


@pytest.mark.parametrize("training", [True, False])
def test_layout_dtype_and_inputs_are_kept(training):
    arrays = case(np.float32)
    y, cache = run(*arrays, training)
    expected = (y, *ops.batch_norm_relu_backward(y, cache))
    assert {array.dtype for array in expected} == {np.dtype(np.float32)}
    others = [np.asfortranarray(np.repeat(array, 2, axis=-1))[..., ::2] for array in (*arrays, y)]
    z, cache = run(*others[:5], training)
    for result, right in zip((z, *ops.batch_norm_relu_backward(others[5], cache)), expected, strict=True):
        np.testing.assert_allclose(result, right, rtol=1e-5, atol=1e-5)
    for other, array in zip(others, (*arrays, y), strict=True):
        np.testing.assert_array_equal(other, array)


def test_nan_is_not_clipped():
    x, *others = case()
    x[1, 2, 0, 3] = np.nan
    y, _ = run(x, *others, False)
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 2, 0, 3]]
    y, _ = run(x, *others, True)
    assert np.isnan(y).any(axis=(0, 2, 3)).tolist() == [False, False, True]


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"x": np.zeros((2, 4, 5))}, ValueError, "^batch_norm_relu: expected x with 4 axes"),
    ({"bias": np.zeros(2)}, ValueError, r"^batch_norm_relu: expected bias of shape \(3,\), .* got \(2,\)"),
    ({"running_var": np.ones(3, "float32")}, TypeError, "expected running_var of the dtype of x"),
    ({"x": np.zeros((1, 3, 1, 1))}, ValueError, "^batch_norm_relu: expected more than one value per channel"),
    ({"eps": 0.0}, ValueError, "^batch_norm_relu: expected eps above 0"),
    ({"momentum": 2}, ValueError, "^batch_norm_relu: expected momentum from 0 to 1"),
])
def test_bad_arguments(change, error, message):
    given = dict(zip(("x", "weight", "bias", "running_mean", "running_var"), case(), strict=True)) | change
    with pytest.raises(error, match=message):
        ops.batch_norm_relu(given.pop("x"), given.pop("weight"), given.pop("bias"), training=True, **given)


@pytest.mark.parametrize(("gy", "needs", "error", "message"), [
    (np.zeros((2, 3, 4, 4)), None, ValueError, "^batch_norm_relu_backward: expected gy of the forward output's shape"),
    (np.zeros(SHAPE, "float32"), None, TypeError, "expected gy of .* dtype float64, got float32"),
    (np.zeros(SHAPE), (True,), ValueError, "^batch_norm_relu_backward: expected needs with 3 values, .* got 1"),
])
def test_bad_gradients(gy, needs, error, message):
    _, cache = run(*case(), True)
    with pytest.raises(error, match=message):
        ops.batch_norm_relu_backward(gy, cache, needs=needs)
