"""The loss in CUDA C++, on the emulator, against `reference`."""

import importlib

import numpy as np
import pytest

from minifcn import kernels, ops
from minifcn.kernels import cuda, reference

pytestmark = pytest.mark.emulator

SHAPES = [(1, 1, 1, 1), (2, 3, 7, 11), (3, 21, 5, 13), (1, 4, 1, 64), (1, 2, 33, 8)]
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-12)])


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch):
    """Several blocks share few pixels, and each thread goes on to a second and third one."""
    launcher = importlib.import_module("minifcn.kernels.cuda.softmax_cross_entropy")  # not the function of that name
    monkeypatch.setattr(launcher, "BLOCK", 64)
    monkeypatch.setattr(launcher, "MOST_BLOCKS", 2)


def drawn(rng, shape, dtype, labels=np.int32):
    """x, target with some of it void, class weights and pixel weights."""
    x = rng.normal(0, 3, shape).astype(dtype)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:])).astype(labels)
    target[rng.random(target.shape) < 0.2] = 255
    weight, pixel_weight = (rng.uniform(0, 2, s).astype(dtype) for s in (shape[1], target.shape))
    return x, target, weight, pixel_weight


def check(x, target, weight, pixel_weight, tolerance, ignore_index=255):
    expected = reference.softmax_cross_entropy(x, target, weight, pixel_weight, ignore_index)
    found = cuda.softmax_cross_entropy(x, target, weight, pixel_weight, ignore_index)
    assert found[2] == expected[2]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert [one.dtype for one in (*found[:2], found[3])] == [x.dtype] * 3
    backward = x, target, weight, pixel_weight, expected[3], ignore_index, 0.7
    gx = cuda.softmax_cross_entropy_grad(*backward)
    assert gx.dtype == x.dtype
    np.testing.assert_allclose(gx, reference.softmax_cross_entropy_grad(*backward), rtol=tolerance, atol=tolerance)
    return gx


@DTYPES
@pytest.mark.parametrize("by_pixel", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_loss_is_that_of_the_reference(rng, shape, by_pixel, dtype, tolerance):
    x, target, weight, pixel_weight = drawn(rng, shape, dtype)
    check(x, target, weight, pixel_weight if by_pixel else None, tolerance)


@pytest.mark.parametrize("labels", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integers_and_views(rng, labels):
    x, target, weight, pixel_weight = drawn(rng, (2, 3, 5, 7), np.float32, labels)
    for one in (target, target[:, ::-1], np.repeat(target, 2, axis=2)[..., ::2]):
        check(x[..., ::-1], one, np.repeat(weight, 2)[::2], np.asfortranarray(pixel_weight), 2e-6)
    if labels is not np.uint8:
        check(x, np.where(target == 255, -1, target), weight, None, 2e-6, ignore_index=-1)


def test_no_image_and_void_alone(rng):
    x, target, weight, _ = drawn(rng, (2, 3, 5, 7), np.float32)
    total, weight_total, valid, log_sum_exp = cuda.softmax_cross_entropy(x[:0], target[:0], weight, None, 255)
    assert (total, weight_total, valid, log_sum_exp.shape) == (0, 0, 0, (0, 5, 7))
    assert cuda.softmax_cross_entropy_grad(x[:0], target[:0], weight, None, log_sum_exp, 255, 1.0).shape == (0, 3, 5, 7)
    target[:] = 255
    assert not check(x, target, weight, None, 2e-6).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e4, -1e4])
def test_scores_out_of_the_ordinary(rng, value):
    x, target, weight, _ = drawn(rng, (2, 4, 5, 7), np.float32)
    target[0, 1, 2], target[0, 1, 3] = 2, 255
    for label in range(4):
        x[0, label, 1, 2] = x[0, label, 1, 3] = value
        with np.errstate(all="ignore"):
            gx = check(x, target, weight, None, 2e-6)
        assert not gx[0, :, 1, 3].any()


def test_where_the_network_is_sure_the_loss_is_small_and_not_zero():
    x = np.zeros((1, 2, 1, 1))
    x[0, 0] = 20  # the exact loss is log(1 + exp(-20)), and 1 + exp(-20) is 1 in float32
    for dtype in (np.float32, np.float64):
        total, *_ = cuda.softmax_cross_entropy(
            x.astype(dtype), np.zeros((1, 1, 1), np.int32), np.ones(2, dtype), None, 255)
        assert total == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-6, abs=0)


def test_the_op_gets_what_it_needs(rng):
    x, target, weight, pixel_weight = drawn(rng, (2, 3, 5, 7), np.float32, np.int64)
    results = []
    for folder in ("cuda", "reference"):
        with kernels.use_kernels(folder):
            y, cache = ops.softmax_cross_entropy(x, target, weight=weight, pixel_weight=pixel_weight, reduction="mean")
            results.append((y, ops.softmax_cross_entropy_backward(1.0, cache)))
    (y, gx), (other_y, other_gx) = results
    assert (y.shape, y.dtype) == ((), np.float32)
    np.testing.assert_allclose(y, other_y, rtol=2e-6)
    np.testing.assert_allclose(gx, other_gx, rtol=2e-6, atol=1e-8)
