"""Dropout: what is dropped, how often, and that the backward pass drops the same."""

import math

import numpy as np
import pytest

from minifcn import ops
from minifcn.layers import Dropout, SpatialDropout

SHAPE = (2, 5, 3, 4)  # (N, C, H, W)
BOTH = pytest.mark.parametrize(("op", "backward"), [
    (ops.dropout, ops.dropout_backward), (ops.spatial_dropout, ops.spatial_dropout_backward),
])


@BOTH
@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.9])
def test_numbers_are_dropped_or_scaled(rng, op, backward, p):
    x = rng.uniform(1, 2, SHAPE)
    y, _ = op(x, p=p, rng=1, training=True)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - p), rtol=1e-12)
    assert kept.all() == (p == 0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_as_often_as_asked(p):
    count = 40_000
    spread = 5 * math.sqrt(p * (1 - p) / count)  # five standard deviations: a seed in two million lies outside
    y, _ = ops.dropout(np.ones((1, 4, 100, 100)), p=p, rng=3, training=True)
    assert (y == 0).mean() == pytest.approx(p, abs=spread)
    y, _ = ops.spatial_dropout(np.ones((100, 400, 1, 1)), p=p, rng=3, training=True)
    assert (y == 0).mean() == pytest.approx(p, abs=spread)


def test_spatial_dropout_takes_whole_channels_of_single_images():
    y, _ = ops.spatial_dropout(np.ones((30, 20, 3, 4)), p=0.5, rng=0, training=True)
    planes = y.reshape(30, 20, 12)
    assert (planes == planes[:, :, :1]).all()
    dropped = planes[:, :, 0] == 0  # (N, C)
    assert 0 < dropped.mean() < 1
    assert not (dropped == dropped[:1]).all(), "each image draws its own channels"


def test_dropout_takes_single_numbers():
    y, _ = ops.dropout(np.ones((1, 1, 20, 20)), p=0.5, rng=0, training=True)
    assert len(np.unique(y[0, 0], axis=0)) == len(np.unique(y[0, 0], axis=1).T) == 20


def test_dropout_takes_any_shape():
    assert ops.dropout(np.ones((3, 7)), p=0.5, rng=0, training=True)[0].shape == (3, 7)


@BOTH
def test_backward_drops_the_same(rng, op, backward):
    x, gy = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    y, cache = op(x, p=0.4, rng=5, training=True)
    gx = backward(gy, cache)
    np.testing.assert_array_equal(gx == 0, y == 0)
    assert (y * gy).sum() == pytest.approx((x * gx).sum(), rel=1e-12)  # linear, and its own adjoint
    np.testing.assert_allclose(gx * x, gy * y, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(backward(gy, cache), gx)
    assert backward(gy, cache, needs=(False,)) is None


@BOTH
def test_dropping_everything(rng, op, backward):
    y, cache = op(rng.normal(size=SHAPE), p=1, rng=0, training=True)
    assert not y.any()
    assert not backward(np.ones(SHAPE), cache).any()


@BOTH
def test_evaluation_passes_everything_and_draws_nothing(rng, op, backward):
    x, gy = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    generator = np.random.default_rng(2)
    y, cache = op(x, p=0.5, rng=generator, training=False)
    assert y is x
    np.testing.assert_array_equal(backward(gy, cache), gy)
    assert backward(gy, cache, needs=(False,)) is None
    assert generator.random() == np.random.default_rng(2).random()


@BOTH
def test_seeds(op, backward):
    def mask(rng):
        return op(np.ones(SHAPE), p=0.5, rng=rng, training=True)[0]

    np.testing.assert_array_equal(mask(7), mask(7))
    np.testing.assert_array_equal(mask(7), mask(np.random.default_rng(7)))
    assert (mask(7) != mask(8)).any()
    generator = np.random.default_rng(7)
    assert (mask(generator) != mask(generator)).any(), "a Generator moves on"


@BOTH
def test_global_random_state_is_neither_read_nor_moved(op, backward):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - it is what is being watched
    op(np.ones(SHAPE), p=0.5, rng=0, training=True)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_inputs_are_left_alone(rng, op, backward, dtype):
    x, gy = (rng.normal(size=SHAPE).astype(dtype) for _ in range(2))
    kept = x.copy(), gy.copy()
    y, cache = op(x, p=np.float64(0.5), rng=0, training=True)
    assert y.dtype == backward(gy, cache).dtype == dtype
    np.testing.assert_array_equal((x, gy), kept)


@BOTH
def test_mask_does_not_depend_on_dtype_or_memory_layout(rng, op, backward):
    x = rng.normal(size=SHAPE)
    y, _ = op(x, p=0.5, rng=0, training=True)
    np.testing.assert_array_equal(op(np.asfortranarray(x), p=0.5, rng=0, training=True)[0], y)
    np.testing.assert_array_equal(op(np.repeat(x, 2, axis=3)[..., ::2], p=0.5, rng=0, training=True)[0], y)
    np.testing.assert_array_equal(op(x.astype(np.float32), p=0.5, rng=0, training=True)[0] == 0, y == 0)


@BOTH
def test_nan_propagates(op, backward):
    y, _ = op(np.full(SHAPE, np.nan), p=0.5, rng=0, training=True)
    assert np.isnan(y).all()  # also where it is dropped, so that it cannot hide


# What they refuse.

@BOTH
@pytest.mark.parametrize("p", [-0.1, 1.1, 50, math.nan])
@pytest.mark.parametrize("training", [True, False])
def test_p_is_a_probability(op, backward, p, training):
    with pytest.raises(ValueError, match=f"{op.__name__}: expected p, the probability of being dropped, from 0 to 1"):
        op(np.ones(SHAPE), p=p, rng=0, training=training)


@BOTH
def test_wrong_arrays(op, backward):
    with pytest.raises(TypeError, match=f"{op.__name__}: expected x of dtype float32 or float64"):
        op(np.ones(SHAPE, np.int32), p=0.5, rng=0, training=True)
    _, cache = op(np.ones(SHAPE), p=0.5, rng=0, training=True)
    with pytest.raises(ValueError, match=f"{backward.__name__}: expected gy of the forward output's shape"):
        backward(np.ones((2, 5, 4, 3)), cache)
    with pytest.raises(ValueError, match=f"{backward.__name__}: expected needs with 1 value"):
        backward(np.ones(SHAPE), cache, needs=())


def test_spatial_dropout_needs_channels():
    with pytest.raises(ValueError, match="spatial_dropout: expected x with 4 axes"):
        ops.spatial_dropout(np.ones((3, 7)), p=0.5, rng=0, training=True)


# The layers.

@pytest.mark.parametrize(("cls", "op"), [(Dropout, ops.dropout), (SpatialDropout, ops.spatial_dropout)])
def test_layer(rng, cls, op):
    x, gy = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    layer, generator = cls(0.3, rng=4), np.random.default_rng(4)
    first, second = layer.forward(x), layer.forward(x)
    np.testing.assert_array_equal(first, op(x, p=0.3, rng=generator, training=True)[0])
    np.testing.assert_array_equal(second, op(x, p=0.3, rng=generator, training=True)[0])
    for y in (second, first):  # backed out in reverse, each with its own mask
        np.testing.assert_array_equal(layer.backward(gy) == 0, y == 0)
    assert layer.eval().forward(x) is x
    assert repr(layer) == f"{cls.__name__}(p=0.3)"
    with pytest.raises(ValueError, match=f"{cls.__name__}: expected p"):
        cls(1.5)


@pytest.mark.parametrize("cls", [Dropout, SpatialDropout])
def test_layer_can_be_reseeded(cls):
    layer, x = cls(), np.ones(SHAPE)
    layer.reseed(np.random.SeedSequence(11))
    first = layer.forward(x)
    second = layer.forward(x)
    layer.reseed(np.random.SeedSequence(11))
    np.testing.assert_array_equal(layer.forward(x), first)
    assert (first != second).any()


def test_monte_carlo_dropout_keeps_no_caches():
    layer = Dropout()
    layer.forward(np.ones(SHAPE), record=False)
    with pytest.raises(RuntimeError, match=r"Dropout\.backward: expected a recorded forward"):
        layer.backward(np.ones(SHAPE))
