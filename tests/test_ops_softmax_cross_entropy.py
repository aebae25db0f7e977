"""Softmax cross-entropy against SciPy's log_softmax pixel by pixel, and against central differences."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax

import minifcn
from minifcn import ops
from minifcn.layers import SoftmaxCrossEntropy
from minifcn.ops.softmax_cross_entropy import REDUCTIONS

SHAPE = (3, 4, 2, 5)  # (N, C, H, W)


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on every kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


def case(rng, dtype=np.float64):
    """Scores, labels with four void pixels, and class weights."""
    x = (2 * rng.normal(size=SHAPE)).astype(dtype)
    target = rng.integers(0, 4, (3, 2, 5))
    target[0, 0, 0] = target[0, 1, 4] = target[2, 1, 0] = target[2, 1, 3] = 255
    return x, target, rng.uniform(0.5, 3, 4).astype(dtype)


def pixel_weights(rng, dtype=np.float64):
    """What pixels count, one of the valid ones nothing."""
    weights = rng.uniform(0.1, 11, (3, 2, 5)).astype(dtype)
    weights[1, 1, 2] = 0
    return weights


def brute_force(x, target, weight=None, ignore_index=255, reduction="mean", pixel_weight=None):
    """The definition, from SciPy's log_softmax and exact sums."""
    losses, weights = [], []
    for n, p, q in np.ndindex(target.shape):
        label = int(target[n, p, q])
        if label != ignore_index:
            weights.append(1.0 if weight is None else float(weight[label]))
            weights[-1] *= 1.0 if pixel_weight is None else float(pixel_weight[n, p, q])
            losses.append(-weights[-1] * log_softmax(x[n, :, p, q].astype(np.float64))[label])
    divisor = {"sum": 1, "mean": math.fsum(weights), "valid": len(losses), "batch": len(x)}[reduction]
    return math.fsum(losses) / divisor


@pytest.mark.parametrize("by_pixel", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 5e-7)])
def test_definition(rng, by_pixel, weighted, reduction, dtype, tolerance):
    x, target, weight = case(rng, dtype)
    weight = weight if weighted else None
    pixel_weight = pixel_weights(rng, dtype) if by_pixel else None
    y, _ = ops.softmax_cross_entropy(x, target, weight=weight, pixel_weight=pixel_weight, reduction=reduction)
    assert isinstance(y, np.ndarray)
    assert (y.shape, y.dtype) == ((), dtype)
    expected = brute_force(x, target, weight, reduction=reduction, pixel_weight=pixel_weight)
    assert float(y) == pytest.approx(expected, rel=tolerance)


def test_the_reductions_differ(rng):
    x, target, weight = case(rng)
    values = {float(ops.softmax_cross_entropy(x, target, weight=weight, reduction=r)[0]) for r in REDUCTIONS}
    assert len(values) == 4


@pytest.mark.parametrize("by_pixel", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient_by_central_differences(rng, by_pixel, weighted, reduction):
    x, target, weight = case(rng)
    options = {"weight": weight if weighted else None, "reduction": reduction,
               "pixel_weight": pixel_weights(rng) if by_pixel else None}
    gx = ops.softmax_cross_entropy_backward(0.7, ops.softmax_cross_entropy(x, target, **options)[1])
    expected = np.empty_like(x)
    with minifcn.use_kernels("array"):  # the forward pass has its own test
        for at in np.ndindex(SHAPE):
            above, below = x.copy(), x.copy()
            above[at] += 1e-5
            below[at] -= 1e-5
            rise = ops.softmax_cross_entropy(above, target, **options)[0]
            rise = rise - ops.softmax_cross_entropy(below, target, **options)[0]
            expected[at] = 0.7 * rise / 2e-5
    assert np.abs(gx - expected).max() <= 1e-6 * np.abs(expected).max()


def test_adding_to_all_scores_of_a_pixel_has_no_gradient(rng):
    x, target, weight = case(rng)
    gx = ops.softmax_cross_entropy_backward(1.0, ops.softmax_cross_entropy(x, target, weight=weight)[1])
    np.testing.assert_allclose(gx.sum(axis=1), 0, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ignored_pixels_count_nowhere(rng, dtype):
    x, target, weight = case(rng, dtype)
    void = target == 255
    other = x.copy()
    other.transpose(0, 2, 3, 1)[void] = np.nan  # not even these
    for reduction in REDUCTIONS:
        y, _ = ops.softmax_cross_entropy(x, target, weight=weight, reduction=reduction)
        z, cache = ops.softmax_cross_entropy(other, target, weight=weight, reduction=reduction)
        assert y == z
        gx = ops.softmax_cross_entropy_backward(1.0, cache).transpose(0, 2, 3, 1)
        assert not gx[void].any()
        assert gx[~void].all()


def test_nan_at_a_valid_pixel_reaches_loss_and_gradient(rng):
    x, target, _ = case(rng)
    target[1, 1, 2] = 3
    for channel in range(4):
        bad = x.copy()
        bad[1, channel, 1, 2] = np.nan
        y, cache = ops.softmax_cross_entropy(bad, target)
        assert np.isnan(y)
        assert np.isnan(ops.softmax_cross_entropy_backward(1.0, cache)[1, :, 1, 2]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_large_scores_do_not_overflow(dtype, size):
    for top, label in np.ndindex(3, 3):
        scores = np.roll([size, -size, 0.0], top)
        x = scores.astype(dtype).reshape(1, 3, 1, 1)
        y, cache = ops.softmax_cross_entropy(x, np.full((1, 1, 1), label), reduction="sum")
        assert float(y) == pytest.approx(size - scores[label], rel=1e-6)
        gx = ops.softmax_cross_entropy_backward(1.0, cache)[0, :, 0, 0]
        np.testing.assert_allclose(gx, np.eye(3)[top] - np.eye(3)[label], atol=1e-6)


def test_equal_scores_are_a_guess():
    x, target = np.full((1, 8, 2, 3), 5.0), np.full((1, 2, 3), 2)
    assert float(ops.softmax_cross_entropy(x, target)[0]) == pytest.approx(math.log(8), rel=1e-14)


def test_a_sure_and_right_network_has_a_small_loss_in_float32():
    """The difference of two numbers near 100 would leave three digits of it."""
    x = np.array([100, 95], np.float32).reshape(1, 2, 1, 1)
    y, _ = ops.softmax_cross_entropy(x, np.zeros((1, 1, 1), int))
    assert float(y) == pytest.approx(math.log1p(math.exp(-5)), rel=2e-5)


def test_the_sum_over_many_pixels_is_exact_to_float32():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1, 2, 150, 200)).astype(np.float32)
    target = rng.integers(0, 2, (1, 150, 200))
    y, _ = ops.softmax_cross_entropy(x, target, reduction="sum")
    logs = log_softmax(x.astype(np.float64), axis=1)
    exact = -math.fsum(np.where(target == 0, logs[:, 0], logs[:, 1]).ravel())
    assert float(y) == pytest.approx(exact, rel=2e-7)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_any_integer_dtype(rng, kind):
    x, target, weight = case(rng)
    ignore_index = 127 if kind == "i1" else 255
    target[target == 255] = ignore_index
    y, cache = ops.softmax_cross_entropy(x, target.astype(kind), weight=weight, ignore_index=ignore_index)
    assert float(y) == pytest.approx(brute_force(x, target, weight, ignore_index), rel=1e-13)
    assert np.isfinite(ops.softmax_cross_entropy_backward(1.0, cache)).all()


@pytest.mark.parametrize("ignore_index", [-1, -100, 0, 3, 200, np.int64(7)])
def test_any_ignore_index(rng, ignore_index):
    x, target, weight = case(rng)
    target[target == 255] = ignore_index
    y, _ = ops.softmax_cross_entropy(x, target, weight=weight, ignore_index=ignore_index)
    assert float(y) == pytest.approx(brute_force(x, target, weight, ignore_index), rel=1e-13)


def test_an_ignore_index_that_the_dtype_cannot_hold_ignores_nothing(rng):
    x, target, _ = case(rng)
    target[target == 255] = 1
    y, _ = ops.softmax_cross_entropy(x, target.astype(np.uint8), ignore_index=-1)
    assert float(y) == pytest.approx(brute_force(x, target), rel=1e-13)


@pytest.mark.parametrize("reduction", ["sum", "batch"])
def test_an_all_void_batch_is_zero_where_nothing_is_divided_by_its_pixels(rng, reduction):
    y, cache = ops.softmax_cross_entropy(case(rng)[0], np.full((3, 2, 5), 255), reduction=reduction)
    assert float(y) == 0
    assert not ops.softmax_cross_entropy_backward(1.0, cache).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_are_left_alone_and_backward_runs_twice(rng, dtype):
    arrays = case(rng, dtype)
    kept = [a.copy() for a in arrays]
    _, cache = ops.softmax_cross_entropy(arrays[0], arrays[1], weight=arrays[2])
    first, second = (ops.softmax_cross_entropy_backward(np.float64(0.5), cache) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == dtype
    for now, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(now, before)
    assert ops.softmax_cross_entropy_backward(1.0, cache, needs=(False,)) is None


def test_memory_layout_does_not_matter(rng):
    x, target, weight = case(rng)
    y, cache = ops.softmax_cross_entropy(x, target, weight=weight)
    gx = ops.softmax_cross_entropy_backward(1.0, cache)
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
        z, cache = ops.softmax_cross_entropy(change(x), change(target), weight=weight)
        assert float(z) == pytest.approx(float(y), rel=1e-13)
        np.testing.assert_allclose(ops.softmax_cross_entropy_backward(1.0, cache), gx, rtol=1e-11)


# Pixel weights.

def test_pixel_weights_of_one_change_no_bit(rng):
    x, target, weight = case(rng, np.float32)
    ones = np.ones(target.shape, np.float32)
    for reduction in REDUCTIONS:
        y, cache = ops.softmax_cross_entropy(x, target, weight=weight, reduction=reduction)
        z, other = ops.softmax_cross_entropy(x, target, weight=weight, pixel_weight=ones, reduction=reduction)
        assert y == z
        np.testing.assert_array_equal(ops.softmax_cross_entropy_backward(1.0, cache),
                                      ops.softmax_cross_entropy_backward(1.0, other))


def test_a_pixel_of_weight_zero_is_void_but_for_the_number_of_pixels(rng):
    x, target, weight = case(rng)
    pixel_weight = np.where(rng.random(target.shape) < 0.5, 0.0, 2.0)
    less = np.where(pixel_weight == 0, 255, target)
    for reduction in ("mean", "sum", "batch"):
        y, cache = ops.softmax_cross_entropy(x, target, weight=weight, pixel_weight=pixel_weight, reduction=reduction)
        z, other = ops.softmax_cross_entropy(x, less, weight=weight, pixel_weight=pixel_weight, reduction=reduction)
        assert float(y) == pytest.approx(float(z), rel=1e-13)
        np.testing.assert_allclose(ops.softmax_cross_entropy_backward(1.0, cache),
                                   ops.softmax_cross_entropy_backward(1.0, other), rtol=1e-13)


def test_pixel_weights_of_void_pixels_do_not_matter(rng):
    x, target, _ = case(rng)
    pixel_weight = pixel_weights(rng)
    y, cache = ops.softmax_cross_entropy(x, target, pixel_weight=pixel_weight)
    z, other = ops.softmax_cross_entropy(x, target, pixel_weight=np.where(target == 255, 1e9, pixel_weight))
    assert y == z
    np.testing.assert_array_equal(ops.softmax_cross_entropy_backward(1.0, cache),
                                  ops.softmax_cross_entropy_backward(1.0, other))


def test_the_layout_of_pixel_weights_does_not_matter(rng):
    x, target, _ = case(rng)
    pixel_weight = pixel_weights(rng)
    y, cache = ops.softmax_cross_entropy(x, target, pixel_weight=pixel_weight)
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
        z, other = ops.softmax_cross_entropy(x, target, pixel_weight=change(pixel_weight))
        assert float(z) == pytest.approx(float(y), rel=1e-13)
        np.testing.assert_allclose(ops.softmax_cross_entropy_backward(1.0, cache),
                                   ops.softmax_cross_entropy_backward(1.0, other), rtol=1e-13)


# What it refuses.

@pytest.mark.parametrize("value", [4, 37, -1, 254])
def test_a_label_that_is_no_class(rng, value):
    x, target, _ = case(rng)
    target[1, 0, 3] = target[2, 1, 1] = value  # the first in reading order is named
    with pytest.raises(ValueError, match=rf"expected labels 0\.\.3 \(x has 4 classes\) or ignore_index 255, got {value}"
                                         rf" at image 1, row 0, column 3\. .*set ignore_index={value}"):
        ops.softmax_cross_entropy(x, target)


def test_void_without_its_ignore_index(rng):
    x, target, _ = case(rng)
    with pytest.raises(ValueError, match=r"got 255 at image 0, row 0, column 0\. .*set ignore_index=255"):
        ops.softmax_cross_entropy(x, target, ignore_index=-1)


@pytest.mark.parametrize("reduction", ["mean", "valid"])
def test_an_all_void_batch_has_no_mean(rng, reduction):
    with pytest.raises(ValueError, match=rf"one valid pixel \(reduction '{reduction}'.*got 0 valid pixels of 30"):
        ops.softmax_cross_entropy(case(rng)[0], np.full((3, 2, 5), 255), reduction=reduction)


def test_weights_that_are_all_zero_have_no_mean(rng):
    x, target, _ = case(rng)
    with pytest.raises(ValueError, match=r"weights that are not zero for every label .*got sum 0 over 26 valid"):
        ops.softmax_cross_entropy(x, target, weight=np.zeros(4))
    assert float(ops.softmax_cross_entropy(x, target, weight=np.zeros(4), reduction="valid")[0]) == 0


@pytest.mark.parametrize("shape", [(3, 1, 2, 5), (3, 4, 2, 5), (3, 5, 2), (2, 2, 5), (30,)])
def test_target_shape(rng, shape):
    with pytest.raises(ValueError, match=r"expected target of shape \(3, 2, 5\), one label for each pixel"):
        ops.softmax_cross_entropy(case(rng)[0], np.zeros(shape, int))


@pytest.mark.parametrize("target", [np.zeros((3, 2, 5)), np.zeros((3, 2, 5), bool), [[[0]]]])
def test_target_dtype(rng, target):
    with pytest.raises(TypeError, match="softmax_cross_entropy: expected target as an array of integers"):
        ops.softmax_cross_entropy(case(rng)[0], target)


def test_weight_shape_and_dtype(rng):
    x, target, weight = case(rng)
    with pytest.raises(ValueError, match=r"expected weight of shape \(4,\), one number for each class .*got \(5,\)"):
        ops.softmax_cross_entropy(x, target, weight=np.ones(5))
    with pytest.raises(TypeError, match="expected weight of the dtype of x"):
        ops.softmax_cross_entropy(x, target, weight=weight.astype(np.float32))


def test_pixel_weight_shape_and_dtype(rng):
    x, target, _ = case(rng)
    for shape in ((3, 5, 2), (3, 1, 2, 5), (2, 5)):
        with pytest.raises(ValueError, match=r"expected pixel_weight of shape \(3, 2, 5\), one number for each pixel "
                                             r"of x \(3, 4, 2, 5\), got \(.*\)\. Crop or resize it as the labels"):
            ops.softmax_cross_entropy(x, target, pixel_weight=np.ones(shape))
    with pytest.raises(TypeError, match=r"expected pixel_weight of the dtype of x \(float64\), got float32"):
        ops.softmax_cross_entropy(x, target, pixel_weight=np.ones(target.shape, np.float32))
    with pytest.raises(TypeError, match="expected pixel_weight to be a NumPy or CuPy array, got list"):
        ops.softmax_cross_entropy(x, target, pixel_weight=np.ones(target.shape).tolist())


@pytest.mark.parametrize("value", [-0.5, np.nan, np.inf, -np.inf])
def test_a_pixel_weight_that_is_no_weight(rng, value):
    x, target, _ = case(rng)
    pixel_weight = pixel_weights(rng)
    pixel_weight[1, 0, 3] = pixel_weight[2, 1, 1] = value  # the first in reading order is named
    with pytest.raises(ValueError, match=rf"expected pixel_weight finite and 0 or more, got {value} at image 1, row 0, "
                                         rf"column 3\. Look at how the weight map was made"):
        ops.softmax_cross_entropy(x, target, pixel_weight=pixel_weight)


def test_pixel_weights_that_are_all_zero_have_no_mean(rng):
    x, target, _ = case(rng)
    nothing = np.where(target == 255, 1.0, 0.0)  # what void pixels would count does not help
    with pytest.raises(ValueError, match=r"not zero for every label .* by class or by pixel .*got sum 0 over 26 valid"):
        ops.softmax_cross_entropy(x, target, pixel_weight=nothing)


def test_nothing_to_learn_from():
    with pytest.raises(ValueError, match="expected at least one image, class and pixel"):
        ops.softmax_cross_entropy(np.ones((0, 4, 2, 5)), np.ones((0, 2, 5), int))


def test_settings(rng):
    x, target, _ = case(rng)
    with pytest.raises(ValueError, match="expected reduction to be one of sum, mean, valid, batch, got 'none'"):
        ops.softmax_cross_entropy(x, target, reduction="none")
    for ignore_index in (None, 2.5, 2**31):
        with pytest.raises(TypeError, match="expected ignore_index as a 32-bit int"):
            ops.softmax_cross_entropy(x, target, ignore_index=ignore_index)
    with pytest.raises(ValueError, match="expected x with 4 axes"):
        ops.softmax_cross_entropy(x[0], target)


@pytest.mark.parametrize("gy", [np.ones(3), "1", None, [1.0]])
def test_gradient_is_one_number(rng, gy):
    x, target, _ = case(rng)
    _, cache = ops.softmax_cross_entropy(x, target)
    with pytest.raises(ValueError, match="softmax_cross_entropy_backward: expected gy as a single number"):
        ops.softmax_cross_entropy_backward(gy, cache)
    with pytest.raises(ValueError, match="softmax_cross_entropy_backward: expected needs with 1 value"):
        ops.softmax_cross_entropy_backward(1.0, cache, needs=(True, False))


# The layer.

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer(rng, dtype):
    x, target, weight = case(rng, dtype)
    layer = SoftmaxCrossEntropy(weight=[float(w) for w in weight], reduction="valid")
    y = layer.forward(x, target)
    assert y.dtype == dtype
    assert float(y) == pytest.approx(brute_force(x, target, weight, reduction="valid"), rel=5e-7)
    gx, gtarget = layer.backward()
    _, cache = ops.softmax_cross_entropy(x, target, weight=weight, reduction="valid")
    np.testing.assert_array_equal(gx, ops.softmax_cross_entropy_backward(1.0, cache))
    assert gtarget is None


def test_layer_by_pixel(rng):
    x, target, weight = case(rng)
    pixel_weight = pixel_weights(rng)
    layer = SoftmaxCrossEntropy(weight=weight)
    y = layer.forward(x, target, pixel_weight)
    assert float(y) == pytest.approx(brute_force(x, target, weight, pixel_weight=pixel_weight), rel=1e-13)
    gx, *others = layer.backward()
    _, cache = ops.softmax_cross_entropy(x, target, weight=weight, pixel_weight=pixel_weight)
    np.testing.assert_array_equal(gx, ops.softmax_cross_entropy_backward(1.0, cache))
    assert others == [None, None]  # one for each input


def test_layer_scales_and_skips_its_gradient(rng):
    x, target, _ = case(rng)
    layer = SoftmaxCrossEntropy()
    layer.forward(x, target)
    layer.forward(x, target)
    layer.forward(x, target)
    np.testing.assert_allclose(layer.backward(np.array(3.0))[0], 3 * layer.backward()[0], rtol=1e-13)
    assert layer.backward(needs=(False, False)) == (None, None)


def test_layer_settings():
    assert repr(SoftmaxCrossEntropy()) == "SoftmaxCrossEntropy()"
    assert SoftmaxCrossEntropy().parameters() == {}
    with pytest.raises(ValueError, match="SoftmaxCrossEntropy: expected reduction"):
        SoftmaxCrossEntropy(reduction="average")
    with pytest.raises(TypeError, match="SoftmaxCrossEntropy: expected ignore_index"):
        SoftmaxCrossEntropy(ignore_index=None)
