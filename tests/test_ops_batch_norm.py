"""Batch normalisation against its definition, channel by channel with exact sums, and against central differences."""

import math

import numpy as np
import pytest

import minifcn
from minifcn import ops
from minifcn.layers import BatchNorm2d

SHAPE = (2, 3, 4, 5)  # (N, C, H, W), no two alike


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on every kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


def case(rng, dtype=np.float64):
    """x with another mean and spread in each channel, and weight, bias, running_mean, running_var."""
    c = np.arange(3)[:, None, None]
    x = (rng.normal(size=SHAPE) * (c + 1) + 2 * c - 1).astype(dtype)
    weight, bias, mean = (rng.normal(size=3).astype(dtype) for _ in range(3))
    return x, weight, bias, mean, rng.uniform(0.5, 2, 3).astype(dtype)


def run(x, weight, bias, mean, var, training, **options):
    """The op on copies of the running statistics."""
    return ops.batch_norm(
        x, weight, bias, running_mean=mean.copy(), running_var=var.copy(), training=training, **options
    )


def exact_statistics(values):
    """Mean and biased variance of a list of numbers, without rounding in the sums."""
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((v - mean) ** 2 for v in values) / len(values)


def differences(function, x, step=1e-5):
    """Central differences of a number, for every element of x: the shape of x."""
    gradient = np.empty_like(x)
    for at in np.ndindex(x.shape):
        kept = x[at]
        x[at] = kept + step
        above = function()
        x[at] = kept - step
        gradient[at] = (above - function()) / (2 * step)
        x[at] = kept
    return gradient


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_training_normalises_by_the_batch(rng, dtype, tolerance):
    x, weight, bias, mean, var = case(rng, dtype)
    y, _ = run(x, weight, bias, mean, var, True, eps=1e-3)
    for c in range(3):
        m, v = exact_statistics([float(value) for value in x[:, c].ravel()])
        for at in np.ndindex(2, 4, 5):
            n, p, q = at
            expected = float(weight[c]) * (float(x[n, c, p, q]) - m) / math.sqrt(v + 1e-3) + float(bias[c])
            assert y[n, c, p, q] == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_evaluation_normalises_by_the_running_statistics(rng):
    x, weight, bias, mean, var = case(rng)
    kept = mean.copy(), var.copy()
    y, _ = ops.batch_norm(x, weight, bias, running_mean=mean, running_var=var, training=False, eps=0.01)
    for c in range(3):
        expected = weight[c] * (x[:, c] - mean[c]) / math.sqrt(var[c] + 0.01) + bias[c]
        np.testing.assert_allclose(y[:, c], expected, rtol=1e-12)
    np.testing.assert_array_equal((mean, var), kept)


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, 0.75])
def test_training_moves_the_running_statistics_in_place(rng, momentum):
    x, weight, bias, mean, var = case(rng)
    old_mean, old_var = mean.copy(), var.copy()
    ops.batch_norm(x, weight, bias, running_mean=mean, running_var=var, training=True, momentum=momentum)
    for c in range(3):
        m, v = exact_statistics(list(x[:, c].ravel()))
        unbiased = v * 40 / 39  # 2 * 4 * 5 values
        assert mean[c] == pytest.approx((1 - momentum) * old_mean[c] + momentum * m, rel=1e-12)
        assert var[c] == pytest.approx((1 - momentum) * old_var[c] + momentum * unbiased, rel=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_by_central_differences(rng, training):
    x, weight, bias, mean, var = case(rng)
    gy = rng.normal(size=SHAPE)

    def loss():
        return float((run(x, weight, bias, mean, var, training)[0] * gy).sum())

    gradients = ops.batch_norm_backward(gy, run(x, weight, bias, mean, var, training)[1])
    for gradient, array in zip(gradients, (x, weight, bias), strict=True):
        expected = differences(loss, array)
        assert np.abs(gradient - expected).max() <= 1e-6 * np.abs(expected).max()


def test_shifting_or_stretching_a_channel_has_no_gradient_in_training(rng):
    x, weight, bias, mean, var = case(rng)
    _, cache = run(x, weight, bias, mean, var, True, eps=1e-12)
    gx, _, _ = ops.batch_norm_backward(rng.normal(size=SHAPE), cache)
    for c in range(3):
        assert abs(gx[:, c].sum()) < 1e-10
        assert abs((gx[:, c] * x[:, c]).sum()) < 1e-9


def test_evaluation_is_linear_and_backward_its_adjoint(rng):
    x, weight, _, _, var = case(rng)
    y, cache = run(x, weight, np.zeros(3), np.zeros(3), var, False)
    gy = rng.normal(size=SHAPE)
    gx, _, _ = ops.batch_norm_backward(gy, cache)
    assert (y * gy).sum() == pytest.approx((x * gx).sum(), rel=1e-12)


@pytest.mark.parametrize("offset", [1e3, 1e5, 4e6])
def test_a_large_mean_does_not_drown_the_variance_in_float32(rng, offset):
    x = (rng.integers(-8, 9, SHAPE) + offset).astype(np.float32)  # whole numbers: exact in float32
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    var = np.zeros(3, np.float32)
    ops.batch_norm(x, one, zero, running_mean=zero.copy(), running_var=var, training=True, momentum=1.0)
    expected = [exact_statistics([float(v) for v in x[:, c].ravel()])[1] * 40 / 39 for c in range(3)]
    np.testing.assert_allclose(var, expected, rtol=1e-6)


def test_statistics_of_many_pixels_are_exact_to_float32(rng):
    x = rng.normal(100, 3, (1, 1, 150, 200)).astype(np.float32)
    one, mean, var = (np.ones(1, np.float32) for _ in range(3))
    ops.batch_norm(x, one, one, running_mean=mean, running_var=var, training=True, momentum=1.0)
    m, v = exact_statistics([float(value) for value in x.ravel()])
    assert float(mean[0]) == pytest.approx(m, rel=7e-8)
    assert float(var[0]) == pytest.approx(v * 30000 / 29999, rel=3e-7)


def test_gradients_of_many_pixels_are_exact_to_float32(rng):
    x = rng.normal(size=(1, 1, 150, 200)).astype(np.float32)
    gy = rng.uniform(0, 1, x.shape).astype(np.float32)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    _, cache = run(x, one, zero, zero, one, False)
    _, _, gbias = ops.batch_norm_backward(gy, cache)
    assert gbias.dtype == np.float32
    assert float(gbias[0]) == pytest.approx(math.fsum(map(float, gy.ravel())), rel=1e-7)


def test_a_constant_channel_comes_out_as_its_bias():
    x = np.full((2, 1, 3, 2), 0.1, np.float32)
    zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    y, _ = run(x, one, np.full(1, 7, np.float32), zero, one, True)
    np.testing.assert_allclose(y, 7, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_inputs_are_left_alone(rng, dtype, training):
    arrays = case(rng, dtype)
    gy = rng.normal(size=SHAPE).astype(dtype)
    kept = [a.copy() for a in (*arrays, gy)]
    y, cache = run(*arrays, training, momentum=np.float64(0.1), eps=np.float64(1e-5))
    gradients = ops.batch_norm_backward(gy, cache)
    assert [a.dtype for a in (y, *gradients)] == [dtype] * 4
    for now, before in zip((*arrays, gy), kept, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("training", [True, False])
def test_memory_layout_does_not_matter(rng, training):
    x, *others = case(rng)
    gy = rng.normal(size=SHAPE)
    y, cache = run(x, *others, training)
    expected = (y, *ops.batch_norm_backward(gy, cache))
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=3)[..., ::2]):
        y, cache = run(change(x), *others, training)
        for a, b in zip((y, *ops.batch_norm_backward(change(gy), cache)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_nan_stays_in_its_channel(rng):
    x, weight, bias, mean, var = case(rng)
    x[0, 1, 2, 3] = np.nan
    ops.batch_norm(x, weight, bias, running_mean=mean, running_var=var, training=True)
    y, _ = run(x, weight, bias, np.zeros(3), np.ones(3), True)
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(y[:, [0, 2]]).all()
    assert np.isnan(mean).tolist() == np.isnan(var).tolist() == [False, True, False]


@pytest.mark.parametrize("training", [True, False])
def test_backward_twice_gives_the_same(rng, training):
    _, cache = run(*case(rng), training)
    gy = rng.normal(size=SHAPE)
    for first, second in zip(ops.batch_norm_backward(gy, cache), ops.batch_norm_backward(gy, cache), strict=True):
        np.testing.assert_array_equal(first, second)


def test_needs(rng):
    _, cache = run(*case(rng), True)
    gy = rng.normal(size=SHAPE)
    full = ops.batch_norm_backward(gy, cache)
    for needs in ((True, False, True), (False, True, False), (False, False, False)):
        for got, need, expected in zip(ops.batch_norm_backward(gy, cache, needs=needs), needs, full, strict=True):
            assert (got is not None) == need
            if need:
                np.testing.assert_array_equal(got, expected)


def test_a_frozen_forward_keeps_its_own_statistics(rng):
    """A training step between an evaluation and its backward moves the running mean in place."""
    x, weight, bias, mean, var = case(rng)
    gy = rng.normal(size=SHAPE)
    _, cache = ops.batch_norm(x, weight, bias, running_mean=mean, running_var=var, training=False)
    expected = ops.batch_norm_backward(gy, cache)
    ops.batch_norm(x, weight, bias, running_mean=mean, running_var=var, training=True)
    for got, want in zip(ops.batch_norm_backward(gy, cache), expected, strict=True):
        np.testing.assert_array_equal(got, want)


# What it refuses.

@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (0, 3, 4, 5)])
def test_one_value_per_channel_cannot_be_normalised(rng, shape):
    _, *others = case(rng)
    with pytest.raises(ValueError, match=r"batch_norm: expected more than one value per channel in training .*larger "
                                         r"batch .*or call eval\(\)"):
        run(np.zeros(shape), *others, True)


def test_one_value_per_channel_is_fine_in_evaluation_or_twice(rng):
    _, *others = case(rng)
    assert np.isfinite(run(np.ones((1, 3, 1, 1)), *others, False)[0]).all()
    assert np.isfinite(run(np.ones((2, 3, 1, 1)), *others, True)[0]).all()


@pytest.mark.parametrize("position", [1, 2, 3, 4])
def test_wrong_number_of_channels(rng, position):
    arrays = list(case(rng))
    name = ("x", "weight", "bias", "running_mean", "running_var")[position]
    arrays[position] = np.ones(4)
    with pytest.raises(ValueError, match=rf"expected {name} of shape \(3,\), .*got \(4,\)\. Change num_features"):
        run(*arrays, True)


def test_missing_running_statistics(rng):
    x, weight, bias, _, var = case(rng)
    with pytest.raises(ValueError, match=r"expected running_mean of shape \(3,\), .*got None"):
        ops.batch_norm(x, weight, bias, running_mean=None, running_var=var, training=True)


def test_other_dtype(rng):
    x, weight, *others = case(rng)
    with pytest.raises(TypeError, match="expected weight of the dtype of x"):
        run(x, weight.astype(np.float32), *others, True)


def test_wrong_number_of_axes(rng):
    x, *others = case(rng)
    with pytest.raises(ValueError, match="batch_norm: expected x with 4 axes"):
        run(x[0], *others, True)


@pytest.mark.parametrize("eps", [0.0, -1e-5, math.nan])
def test_eps_must_be_positive(rng, eps):
    with pytest.raises(ValueError, match="batch_norm: expected eps above 0"):
        run(*case(rng), True, eps=eps)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, math.nan])
def test_momentum_is_a_share(rng, momentum):
    with pytest.raises(ValueError, match="batch_norm: expected momentum from 0 to 1"):
        run(*case(rng), True, momentum=momentum)


def test_wrong_gradient(rng):
    _, cache = run(*case(rng), True)
    with pytest.raises(ValueError, match="batch_norm_backward: expected gy of the forward output's shape"):
        ops.batch_norm_backward(np.ones((2, 3, 5, 4)), cache)
    with pytest.raises(ValueError, match="batch_norm_backward: expected needs with 3 values"):
        ops.batch_norm_backward(np.ones(SHAPE), cache, needs=(True,))


# The layer.

def test_layer_goes_from_batch_to_running_statistics(rng):
    layer = BatchNorm2d(3, momentum=1.0, dtype=np.float64)
    x = case(rng)[0]
    y = layer.forward(x)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=(0, 2, 3)), rtol=1e-12)
    assert list(layer.parameters()) == ["weight", "bias"]
    assert list(layer.buffers()) == ["running_mean", "running_var"]
    kept = layer.running_mean.copy()
    z = layer.eval().forward(x)
    std = np.sqrt(layer.running_var + 1e-5)
    np.testing.assert_allclose(z, (x - kept[:, None, None]) / std[:, None, None], rtol=1e-12)
    np.testing.assert_array_equal(layer.running_mean, kept)


@pytest.mark.parametrize("training", [True, False])
def test_layer_backward_fills_the_gradients(rng, training):
    layer = BatchNorm2d(3, dtype=np.float64).train(training)
    x, gy = case(rng)[0], rng.normal(size=SHAPE)
    layer.forward(x, record=True)
    layer.forward(x, record=True)
    first, second = layer.backward(gy), layer.backward(gy)
    np.testing.assert_allclose(first, second, rtol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, 2 * gy.sum(axis=(0, 2, 3)), rtol=1e-12)


def test_layer_does_not_compute_what_is_frozen(rng):
    layer = BatchNorm2d(3, dtype=np.float64)
    layer.weight.lr_mult = 0
    layer.forward(case(rng)[0])
    assert layer.backward(np.ones(SHAPE), needs=(False,)) is None
    assert layer.weight.grad is None
    assert layer.bias.grad is not None


def test_layer_settings():
    assert repr(BatchNorm2d(8)) == "BatchNorm2d(num_features=8)"
    assert BatchNorm2d(8).running_var.dtype == np.float32
    with pytest.raises(ValueError, match="BatchNorm2d: expected num_features of at least 1"):
        BatchNorm2d(0)
    with pytest.raises(ValueError, match="BatchNorm2d: expected eps above 0"):
        BatchNorm2d(3, eps=0)
