"""Local response normalisation against its definition, pixel by pixel, and against central differences."""

import numpy as np
import pytest

import minifcn
from minifcn import ops
from minifcn.layers import LocalResponseNorm

SHAPE = (2, 6, 3, 4)  # (N, C, H, W)
STRONG = {"alpha": 0.7, "beta": 0.6, "k": 1.5}  # settings under which every term of the gradient matters


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on every kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


def brute_force(x, size, alpha, beta, k):
    """The definition: channels c - size//2 ... c + (size-1)//2, those that do not exist counted as 0."""
    y = np.zeros_like(x)
    for n, c, p, q in np.ndindex(x.shape):
        window = [x[n, d, p, q] for d in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= d < x.shape[1]]
        y[n, c, p, q] = x[n, c, p, q] / (k + alpha / size * sum(v * v for v in window)) ** beta
    return y


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11, 40])
def test_definition(rng, size):
    x = rng.normal(size=SHAPE)
    y, _ = ops.local_response_norm(x, size=size, **STRONG)
    np.testing.assert_allclose(y, brute_force(x, size, **STRONG), rtol=1e-12)


def test_an_even_window_reaches_further_down(folder):
    x = np.zeros((1, 4, 1, 1))
    x[0, 1] = 1.0
    _, (_, scale, *_) = ops.local_response_norm(x, size=2, alpha=2.0)
    assert scale[0, :, 0, 0].tolist() == [1, 2, 2, 1]  # channel 2 sees channel 1, channel 0 does not


def test_default_settings(rng):
    x = 30 * rng.normal(size=SHAPE)
    y, _ = ops.local_response_norm(x, size=5)
    np.testing.assert_allclose(y, brute_force(x, 5, 1e-4, 0.75, 1.0), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 13])
def test_gradient_by_central_differences(rng, size):
    x, gy = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    _, cache = ops.local_response_norm(x, size=size, **STRONG)
    gx = ops.local_response_norm_backward(gy, cache)
    expected = np.empty_like(x)
    with minifcn.use_kernels("array"):  # the forward pass has its own test
        for at in np.ndindex(SHAPE):
            x_above, x_below = x.copy(), x.copy()
            x_above[at] += 1e-5
            x_below[at] -= 1e-5
            above, below = (ops.local_response_norm(v, size=size, **STRONG)[0] for v in (x_above, x_below))
            expected[at] = ((above - below) * gy).sum() / 2e-5
    assert np.abs(gx - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_inputs_are_left_alone(rng, dtype):
    x, gy = (rng.normal(size=SHAPE).astype(dtype) for _ in range(2))
    kept = x.copy(), gy.copy()
    y, cache = ops.local_response_norm(x, size=3, alpha=np.float64(0.1), beta=np.float64(0.75), k=np.float64(2))
    gx = ops.local_response_norm_backward(gy, cache)
    assert y.dtype == gx.dtype == dtype
    np.testing.assert_array_equal((x, gy), kept)


def test_float32_agrees_with_float64(rng):
    x, gy = (rng.normal(size=SHAPE) for _ in range(2))
    exact = ops.local_response_norm(x, size=5, **STRONG)
    single = ops.local_response_norm(x.astype(np.float32), size=5, **STRONG)
    np.testing.assert_allclose(single[0], exact[0], rtol=2e-6)
    gx = ops.local_response_norm_backward(gy.astype(np.float32), single[1])
    np.testing.assert_allclose(gx, ops.local_response_norm_backward(gy, exact[1]), rtol=2e-5, atol=2e-6)


def test_memory_layout_does_not_matter(rng):
    x, gy = (rng.normal(size=SHAPE) for _ in range(2))
    y, cache = ops.local_response_norm(x, size=3, **STRONG)
    gx = ops.local_response_norm_backward(gy, cache)
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        z, cache = ops.local_response_norm(change(x), size=3, **STRONG)
        np.testing.assert_allclose(z, y, rtol=1e-12)
        np.testing.assert_allclose(ops.local_response_norm_backward(change(gy), cache), gx, rtol=1e-10, atol=1e-14)


def test_nan_reaches_the_windows_that_hold_it(rng):
    x = rng.normal(size=SHAPE)
    x[1, 2, 1, 3] = np.nan
    y, cache = ops.local_response_norm(x, size=3, **STRONG)
    assert np.argwhere(np.isnan(y)).tolist() == [[1, c, 1, 3] for c in (1, 2, 3)]
    assert np.isnan(ops.local_response_norm_backward(np.ones(SHAPE), cache)[1, 2, 1, 3])


def test_backward_twice_gives_the_same_and_needs_are_heard(rng):
    gy = rng.normal(size=SHAPE)
    _, cache = ops.local_response_norm(rng.normal(size=SHAPE), size=3, **STRONG)
    first, second = (ops.local_response_norm_backward(gy, cache) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert ops.local_response_norm_backward(gy, cache, needs=(False,)) is None


# What it refuses.

@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_size_counts_channels(size):
    with pytest.raises(ValueError, match="local_response_norm: expected size as a whole number of channels from 1"):
        ops.local_response_norm(np.ones(SHAPE), size=size)


@pytest.mark.parametrize("settings", [{"alpha": -1e-4}, {"k": 0.0}, {"k": float("nan")}])
def test_nothing_is_divided_by_zero(settings):
    with pytest.raises(ValueError, match="local_response_norm: expected alpha of at least 0 and k above 0"):
        ops.local_response_norm(np.ones(SHAPE), size=5, **settings)


def test_wrong_arrays():
    with pytest.raises(ValueError, match="local_response_norm: expected x with 4 axes"):
        ops.local_response_norm(np.ones((3, 4, 5)), size=5)
    with pytest.raises(TypeError, match="local_response_norm: expected x of dtype float32 or float64"):
        ops.local_response_norm(np.ones(SHAPE, np.int64), size=5)
    _, cache = ops.local_response_norm(np.ones(SHAPE), size=5)
    with pytest.raises(ValueError, match="local_response_norm_backward: expected gy of the forward output's shape"):
        ops.local_response_norm_backward(np.ones((2, 6, 4, 3)), cache)
    with pytest.raises(ValueError, match="local_response_norm_backward: expected needs with 1 value"):
        ops.local_response_norm_backward(np.ones(SHAPE), cache, needs=(True, True))


# The layer.

def test_layer(rng):
    x, gy = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    layer = LocalResponseNorm(3, **STRONG)
    np.testing.assert_allclose(layer.forward(x), brute_force(x, 3, **STRONG), rtol=1e-12)
    expected = ops.local_response_norm_backward(gy, ops.local_response_norm(x, size=3, **STRONG)[1])
    np.testing.assert_array_equal(layer.backward(gy), expected)
    assert layer.parameters() == {}
    assert repr(LocalResponseNorm(5)) == "LocalResponseNorm(size=5)"
    with pytest.raises(ValueError, match="LocalResponseNorm: expected size"):
        LocalResponseNorm(0)
