"""The normalisations and the passes by channel in CUDA C++, on the emulator, against `reference`."""

import numpy as np
import pytest

from minifcn.kernels import cuda, reference
from minifcn.kernels.cuda import _channels, _program

pytestmark = pytest.mark.emulator

DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
SHAPES = [(1, 1, 1, 1), (3, 5, 1, 1), (2, 3, 7, 11), (1, 2, 13, 16), (3, 2, 1, 64), (5, 1, 9, 5), (0, 3, 4, 5)]
BY_CHANNEL = ["batch_norm_normalize", "batch_norm_relu", "batch_norm_grad", "batch_norm_relu_grad",
              "batch_norm_frozen_grad", "batch_norm_relu_frozen_grad", "batch_norm_statistics", "channel_sums"]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several blocks share a channel of a few numbers, and each of their threads goes on to a second and third one."""
    monkeypatch.setattr(_channels, "NUMBERS", 40)
    monkeypatch.setattr(_channels, "MOST_CHUNKS", 3)


def compare(found, expected, tolerance):
    found, expected = (r if isinstance(r, tuple) else (r,) for r in (found, expected))
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def arguments_of(name, rng, shape, dtype):
    x, gy, y = (rng.normal(1, 2, shape).astype(dtype) for _ in range(3))
    mean, bias, weight = rng.normal(1, 1, (3, shape[1])).astype(dtype)
    inv_std = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    y[y < 0] = 0
    return {
        "batch_norm_normalize": (x, mean, inv_std, weight, bias), "batch_norm_relu": (x, mean, inv_std, weight, bias),
        "batch_norm_grad": (gy, x, mean, inv_std, weight), "batch_norm_relu_grad": (gy, y, x, mean, inv_std, weight),
        "batch_norm_frozen_grad": (gy, x, mean, inv_std, weight),
        "batch_norm_relu_frozen_grad": (gy, y, x, mean, inv_std, weight),
        "batch_norm_statistics": (x,), "channel_sums": (gy,),
        "local_response_norm": (x, 5, 0.3, 0.75, 1.5),
        "local_response_norm_grad": (gy, x, 1 + np.square(y), 5, 0.3, 0.75),
    }[name]


def spread(array):
    """The same numbers with gaps between them."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", BY_CHANNEL)
def test_passes_by_channel_are_those_of_the_reference(rng, name, shape, dtype, tolerance):
    arguments = arguments_of(name, rng, shape, dtype)
    with np.errstate(all="ignore"):  # the mean of no numbers
        expected = getattr(reference, name)(*arguments)
    compare(getattr(cuda, name)(*arguments), expected, tolerance)


@pytest.mark.parametrize("name", [*BY_CHANNEL, "local_response_norm", "local_response_norm_grad"])
def test_views_are_read_in_their_own_order(rng, name):
    arguments = arguments_of(name, rng, (2, 3, 5, 7), np.float32)
    views = [spread(a) if isinstance(a, np.ndarray) else a for a in arguments]
    compare(getattr(cuda, name)(*views), getattr(cuda, name)(*arguments), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [*BY_CHANNEL, "local_response_norm", "local_response_norm_grad"])
def test_nan_and_infinity_spread_as_in_the_reference(rng, name, value):
    arguments = arguments_of(name, rng, (2, 7, 3, 5), np.float32)
    for position, argument in enumerate(arguments):
        if np.ndim(argument) == 4 and (name, position, value) != ("local_response_norm_grad", 2, -np.inf):
            bad = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]  # (a scale is at least k)
            bad[position][1, 3, 2, 1] = value
            with np.errstate(all="ignore"):
                compare(getattr(cuda, name)(*bad), getattr(reference, name)(*bad), 1e-5)


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
def test_a_bias_is_added_in_place(rng, shape, dtype, tolerance):
    start, bias = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype)
    for y in (start.copy(), spread(start), start.copy(order="F")):
        cuda.add_bias(y, spread(bias))
        np.testing.assert_array_equal(y, start + bias[:, None, None], strict=True)


def test_a_large_mean_and_a_small_variance(rng, monkeypatch):
    monkeypatch.undo()  # chunks as they are on a GPU: 4920 numbers a channel are two
    x = rng.normal(1e4, 1e-2, (3, 2, 40, 41)).astype(np.float32)
    exact, pixels = x.astype(np.float64), (0, 2, 3)
    mean, var = cuda.batch_norm_statistics(x)
    np.testing.assert_allclose(mean, exact.mean(axis=pixels), rtol=6e-8)
    np.testing.assert_allclose(var, exact.var(axis=pixels), rtol=1e-7)  # E[x^2] - mean^2 has no right digit here
    hundred, bias = np.full(2, 100, np.float32), np.full(2, 0.5, np.float32)
    z = (exact - mean.astype(np.float64)[:, None, None]) * 100  # nor has x * 100 - mean * 100
    np.testing.assert_allclose(
        cuda.batch_norm_normalize(x, mean, hundred, np.ones(2, np.float32), bias), z + 0.5, rtol=1e-6, atol=1e-6)


def test_a_thread_adds_a_thousand_numbers_in_double(monkeypatch):
    monkeypatch.setattr(_channels, "MOST_CHUNKS", 1)
    x = np.full((1, 1, 240, 256), 1 / 3, np.float32)  # adding it up in float32 is off by the same amount every time
    x[..., 1::2] *= -1
    gy, one = np.abs(x), np.ones(1, np.float32)
    third = float(gy[0, 0, 0, 0])
    assert cuda.channel_sums(gy) == np.float32(third * x.size)
    mean, var = cuda.batch_norm_statistics(x)
    assert (mean, var) == (0, np.float32(third**2))
    assert cuda.batch_norm_statistics(gy)[0] == np.float32(third)
    z = (x + 1).astype(np.float64)
    for grad in (cuda.batch_norm_grad, cuda.batch_norm_frozen_grad):
        _, gweight, gbias = grad(gy, x, -one, one, one)
        assert gbias == np.float32(third * x.size)
        np.testing.assert_allclose(gweight, (gy * z).sum(), rtol=1.2e-7)


def test_more_chunks_than_a_block_has_threads(rng, monkeypatch):
    monkeypatch.setattr(_channels, "NUMBERS", 1)
    monkeypatch.setattr(_channels, "MOST_CHUNKS", 70)
    x = rng.normal(size=(1, 1, 67, 68)).astype(np.float32)
    np.testing.assert_allclose(cuda.channel_sums(x), x.sum(axis=(0, 2, 3), dtype=np.float64), rtol=6e-8)


def test_the_number_of_chunks_is_bounded(monkeypatch):
    monkeypatch.undo()
    assert [_channels._chunks(count) for count in (0, 1, 4096, 4097, 10**9)] == [1, 1, 1, 2, 1024]


@pytest.mark.parametrize(("size", "beta", "dtype", "tolerance"), [
    (5, 0.75, np.float32, 1e-5), (5, 2.3, np.float32, 1e-5), (1, 0.75, np.float32, 1e-5), (2, 0.75, np.float32, 1e-5),
    (50, 0.5, np.float32, 1e-5), (5, 0.75, np.float64, 1e-12), (5, 2.3, np.float64, 1e-12), (4, 1, np.float64, 1e-12),
])
def test_response_norm_windows_and_powers(rng, size, beta, dtype, tolerance):
    for shape in ((2, 37, 5, 15), (3, 1, 1, 1), (1, 16, 2, 3), (2, 3, 4, 0)):  # three runs of channels, two blocks
        x, gy = (3 * rng.normal(size=shape).astype(dtype) for _ in range(2))
        y, scale = cuda.local_response_norm(x, size, 0.5, beta, 2.0)
        compare((y, scale), reference.local_response_norm(x, size, 0.5, beta, 2.0), tolerance)
        compare(cuda.local_response_norm_grad(gy, x, scale, size, 0.5, beta),
                reference.local_response_norm_grad(gy, x, scale, size, 0.5, beta), tolerance)


def test_response_norm_of_more_runs_than_blocks(rng, monkeypatch):
    monkeypatch.setattr(_program, "MOST_BLOCKS", 2)
    x, gy = (rng.normal(size=(3, 20, 2, 3)).astype(np.float32) for _ in range(2))  # 6 runs
    y, scale = cuda.local_response_norm(x, 5, 0.5, 0.75, 2.0)
    compare((y, scale), reference.local_response_norm(x, 5, 0.5, 0.75, 2.0), 1e-5)
    compare(cuda.local_response_norm_grad(gy, x, scale, 5, 0.5, 0.75),
            reference.local_response_norm_grad(gy, x, scale, 5, 0.5, 0.75), 1e-5)
