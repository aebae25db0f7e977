"""The compiled passes that go number by number or channel by channel, against `reference` and against float64.

Shapes are chosen for what threads, blocks and vectors do to them: one pixel, rows that no vector divides, several
blocks, several pieces a plane. What each op means is tested in its own file, on all kernel folders.
"""

import math

import numpy as np
import pytest

from minifcn.kernels import array, cpu, reference
from minifcn.kernels.cpu import _planes
from minifcn.kernels.cpu._compile import compiled
from minifcn.kernels.cpu._exp import exp, log
from minifcn.kernels.cpu._threads import use_threads

SHAPES = [(1, 1, 1, 1), (2, 3, 1, 1), (1, 2, 3, 5), (3, 5, 4, 17), (2, 1, 33, 63), (1, 7, 16, 16), (0, 3, 4, 5)]
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-11)])


@pytest.fixture(autouse=True)
def small_shares(monkeypatch):
    """Two threads share even small arrays, and planes are cut, so that small tests see what large maps do."""
    monkeypatch.setattr(_planes, "GRAIN", 1)
    for name in ("relu", "updates"):
        monkeypatch.setattr(__import__(f"minifcn.kernels.cpu.{name}", fromlist=["GRAIN"]), "GRAIN", 2)
    for name in ("local_response_norm", "softmax_cross_entropy"):
        monkeypatch.setattr(__import__(f"minifcn.kernels.cpu.{name}", fromlist=["BLOCK"]), "BLOCK", 48)
    monkeypatch.setattr(_planes.pieces_in, "__defaults__", (100,))
    with use_threads(2):
        yield


def compare(found, expected, tolerance):
    found, expected = (r if isinstance(r, tuple) else (r,) for r in (found, expected))
    for one, other in zip(found, expected, strict=True):
        if isinstance(other, np.ndarray):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def layouts(x):
    """The same numbers, laid out in memory in several ways, and read-only."""
    frozen = x.copy()
    frozen.flags.writeable = False
    return [x, np.asfortranarray(x), x[..., ::-1].copy()[..., ::-1], np.repeat(x, 2, axis=-1)[..., ::2], frozen]


def unaligned(x):
    """The same numbers one byte beside an address that is a multiple of their size."""
    room = np.zeros(x.nbytes + 1, np.uint8)
    y = room[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def per_channel(rng, channels, dtype):
    mean, bias, weight = (rng.normal(size=channels).astype(dtype) for _ in range(3))
    return mean, rng.uniform(0.5, 2, channels).astype(dtype), weight, bias  # mean, inv_std, weight, bias


def labels(rng, shape):
    """Labels (N, H, W) for scores of this shape (N, C, H, W), some of them ignored."""
    target = rng.integers(0, shape[1], (shape[0], *shape[2:])).astype(np.int32)
    target[rng.random(target.shape) < 0.2] = 255
    return target


def passes(rng, shape, dtype):
    """Name, and what more to say -> arguments of every pass of this file's ops, but the updates."""
    x, gy = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    y = np.maximum(x, 0)
    mean, inv_std, weight, bias = per_channel(rng, shape[1], dtype)
    scale = rng.uniform(1, 3, shape).astype(dtype)
    target, weights = labels(rng, shape), rng.uniform(0.5, 2, shape[1]).astype(dtype)
    log_sum_exp, pixel_weight = (rng.uniform(2, 4, target.shape).astype(dtype) for _ in range(2))
    return {
        "relu": (x,), "relu_grad": (gy, y),
        "batch_norm_normalize": (x, mean, inv_std, weight, bias),
        "batch_norm_relu": (x, mean, inv_std, weight, bias),
        "batch_norm_frozen_grad": (gy, x, mean, inv_std, weight),
        "batch_norm_relu_frozen_grad": (gy, y, x, mean, inv_std, weight),
        "local_response_norm": (x, 5, 0.3, 0.75, 1.5), "local_response_norm_grad": (gy, x, scale, 4, 0.3, 0.75),
        "softmax_cross_entropy": (x, target, weights, None, 255),
        "softmax_cross_entropy by pixel": (x, target, weights, pixel_weight, 255),
        "softmax_cross_entropy_grad": (x, target, weights, None, log_sum_exp, 255, 0.7),
        "softmax_cross_entropy_grad by pixel": (x, target, weights, pixel_weight, log_sum_exp, 255, 0.7),
    } | ({
        "batch_norm_statistics": (x,),
        "batch_norm_grad": (gy, x, mean, inv_std, weight),
        "batch_norm_relu_grad": (gy, y, x, mean, inv_std, weight),
    } if x.size else {})  # without numbers there are no statistics


def kernel(folder, name):
    return getattr(folder, name.split()[0])


NAMES = sorted(passes(np.random.default_rng(0), (1, 1, 1, 1), np.float32))


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_as_the_reference(rng, name, shape, dtype, tolerance):
    arguments = passes(rng, shape, dtype).get(name)
    if arguments is None:
        pytest.skip("no statistics of no numbers")
    compare(kernel(cpu, name)(*arguments), kernel(reference, name)(*arguments), tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_alignment_do_not_matter(rng, name):
    arguments = passes(rng, (2, 3, 5, 7), np.float32)[name]
    expected = kernel(cpu, name)(*arguments)
    for change in (*range(5), unaligned):
        moved = [a if not isinstance(a, np.ndarray) or a.ndim < 3 else
                 layouts(a)[change] if isinstance(change, int) else unaligned(a) for a in arguments]
        compare(kernel(cpu, name)(*moved), expected, 0)


@pytest.mark.parametrize("name", NAMES)
def test_repeats_to_the_last_bit(rng, name):
    arguments = passes(rng, (2, 5, 19, 23), np.float32)[name]
    for threads in (1, 2, 3):
        with use_threads(threads):
            compare(kernel(cpu, name)(*arguments), kernel(cpu, name)(*arguments), 0)
    with use_threads(1):
        alone = kernel(cpu, name)(*arguments)
    compare(kernel(cpu, name)(*arguments), alone, 0)  # and these do not even depend on the number of threads


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("folder", [reference, array, cpu])
def test_add_bias_happens_in_place(rng, folder, shape, dtype, tolerance):
    x, bias = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype)
    expected = np.stack([x[:, c] + bias[c] for c in range(shape[1])], axis=1)
    for change in range(4):
        y = layouts(x.copy())[change]
        folder.add_bias(y, np.repeat(bias, 2)[::2])
        compare(y, expected, tolerance)


# Numbers that are none.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_of_special_numbers(dtype):
    x = np.tile(np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0], dtype), 9)
    expected = np.tile(np.array([np.nan, np.inf, 0, 0, 0, 1, 0], dtype), 9)
    y = cpu.relu(x)
    np.testing.assert_array_equal(y, expected)
    assert not np.signbit(y[~np.isnan(y)]).any()
    gy = np.full(x.shape, np.inf, dtype)
    np.testing.assert_array_equal(cpu.relu_grad(gy, y), np.where(y <= 0, 0, gy))  # no inf * 0


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("softmax")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_spread_as_in_the_reference(rng, name, value):
    arguments = passes(rng, (2, 3, 5, 7), np.float32)[name]
    for position, argument in enumerate(arguments):
        if isinstance(argument, np.ndarray) and argument.ndim == 4:
            if (name, position, value) == ("local_response_norm_grad", 2, -np.inf):
                continue  # a scale is at least k
            for at in ((0, 1, 0, 0), (1, 1, 2, 3)):
                bad = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
                bad[position][at] = value
                with np.errstate(all="ignore"):
                    compare(kernel(cpu, name)(*bad), kernel(reference, name)(*bad), 1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e4, -1e4])
def test_scores_out_of_the_ordinary(rng, value):
    x, target, weight, _, _ = passes(rng, (2, 4, 5, 7), np.float32)["softmax_cross_entropy"]
    target[0, 1, 2], target[0, 1, 3] = 2, 255
    for label in range(4):
        x[0, label, 1, 2] = x[0, label, 1, 3] = value
        with np.errstate(all="ignore"):
            expected = reference.softmax_cross_entropy(x, target, weight, None, 255)
            found = cpu.softmax_cross_entropy(x, target, weight, None, 255)
            compare(found, expected, 2e-6)
            backward = x, target, weight, None, expected[3], 255, 1.0
            gradient = cpu.softmax_cross_entropy_grad(*backward)
            compare(gradient, reference.softmax_cross_entropy_grad(*backward), 2e-6)
        assert not gradient[0, :, 1, 3].any()


# Accuracy.


@pytest.mark.parametrize("first", [1e4, -3e4, 0])
def test_a_large_mean_and_a_small_variance(rng, first):
    x = rng.normal(1e4, 1e-2, (4, 2, 40, 41)).astype(np.float32)
    x[0, :, 0, 0] = first  # what the sums are taken around, in or far out of the ordinary
    mean, var = cpu.batch_norm_statistics(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2, 3)), rtol=6e-8)
    np.testing.assert_allclose(var, exact.var(axis=(0, 2, 3)), rtol=1e-7)


def test_sums_of_many_numbers(rng):
    gy, x = rng.uniform(0, 1, (2, 1, 200, 300)).astype(np.float32), rng.normal(size=(2, 1, 200, 300)).astype(np.float32)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    _, gweight, gbias = cpu.batch_norm_grad(gy, x, zero, one, one)
    assert float(gbias[0]) == pytest.approx(math.fsum(map(float, gy.ravel())), rel=1e-7)
    exact = gy.astype(np.float64) * x
    assert abs(float(gweight[0]) - exact.sum()) < 1e-7 * np.abs(exact).sum()


@compiled
def exp_of(x, y):
    for i in range(x.size):
        y[i] = exp(x[i])


@compiled
def log_of(x, y):
    for i in range(x.size):
        y[i] = log(x[i])


def units_off(found, exact):
    return np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32))


def test_exp_within_two_units_in_the_last_place(rng):
    x = np.concatenate([rng.uniform(-86.9, 88.7, 200_000), rng.normal(0, 1e-3, 20_000)]).astype(np.float32)
    y = np.empty_like(x)
    exp_of(x, y)
    assert units_off(y, np.exp(x.astype(np.float64))).max() < 2


def test_exp_of_special_numbers():
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, 88.72, 88.73, 200, 3e38, -87.5, -1e4, -3e38] * 3, np.float32)
    y = np.empty_like(x)
    exp_of(x, y)
    expected = [1, 1, np.inf, 0, np.nan, np.exp(float(x[5])), np.inf, np.inf, np.inf, 0, 0, 0]
    np.testing.assert_allclose(y, np.float32(expected * 3), rtol=3e-7)


def test_log_within_two_units_in_the_last_place(rng):
    x = np.concatenate([np.exp(rng.uniform(-87, 88, 200_000)), rng.uniform(0.5, 2, 20_000), [3.4e38, 1.2e-38]])
    x = x.astype(np.float32)
    y = np.empty_like(x)
    log_of(x, y)
    assert units_off(y, np.log(x.astype(np.float64))).max() < 2
    log_of(np.float32([1, np.inf, np.nan]), y)
    np.testing.assert_array_equal(y[:3], [0, np.inf, np.nan])


@DTYPES
@pytest.mark.parametrize("beta", [0.75, 0.5, 1.0, 2.3])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
def test_response_norm_windows_and_powers(rng, size, beta, dtype, tolerance):
    x, gy = (3 * rng.normal(size=(2, 9, 3, 37)).astype(dtype) for _ in range(2))
    y, scale = cpu.local_response_norm(x, size, 0.5, beta, 2.0)
    compare((y, scale), reference.local_response_norm(x, size, 0.5, beta, 2.0), tolerance)
    compare(cpu.local_response_norm_grad(gy, x, scale, size, 0.5, beta),
            reference.local_response_norm_grad(gy, x, scale, size, 0.5, beta), tolerance)


# Updates.


PARAMETERS = [(), (1,), (3, 5), (0, 4), (2, 3, 7, 11), (64,)]  # threads meet inside the largest


def sgd(folder, parameters, gradients, velocities, _):
    folder.sgd_update(parameters, gradients, velocities, [0.1, 0.2, 0.3, 0.4, 0.5, 0.0], 0.9, [0.01, 0, 0, 0, 0.02, 1])


def adam(folder, parameters, gradients, firsts, seconds):
    lrs = [0.1, 0.2, 0.3, 0.4, 0.5, 0.0]
    folder.adam_update(parameters, gradients, firsts, seconds, lrs, 0.9, 0.99, 1e-6, [0.01, 0, 0, 0, 0.02, 1], 3)


def drawn(rng, dtype):
    """Parameters, gradients, first and second memory."""
    lists = [[np.asarray(rng.normal(size=shape), dtype) for shape in PARAMETERS] for _ in range(3)]
    return *lists, [np.asarray(rng.uniform(0.1, 1, shape), dtype) for shape in PARAMETERS]


@DTYPES
@pytest.mark.parametrize("update", [sgd, adam])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_updates_as_the_reference(rng, update, threads, dtype, tolerance):
    found = drawn(rng, dtype)
    expected = [[a.copy() for a in arrays] for arrays in found]
    with use_threads(threads):
        update(cpu, *found)
    update(reference, *expected)
    for one, other in zip(found, expected, strict=True):
        compare(tuple(one), tuple(other), tolerance)


@pytest.mark.parametrize("change", range(4))
def test_updates_happen_in_place_whatever_the_layout(rng, change):
    start = [[rng.normal(size=shape).astype(np.float32) for shape in ((3, 4, 5), (2, 7))] for _ in range(3)]
    found = [[layouts(a.copy())[change] for a in arrays] for arrays in start]
    for folder, (parameters, gradients, velocities) in ((reference, start), (cpu, found)):
        folder.sgd_update(parameters, gradients, velocities, [0.1, 0.2], 0.9, [0.01, 0.0])
    for one, other in zip(found, start, strict=True):
        compare(tuple(one), tuple(other), 1e-6)
