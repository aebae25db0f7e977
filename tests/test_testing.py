"""The checker is itself checked: right layers pass, kinks are kept clear of, bad use is refused with advice."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

import minifcn
from minifcn import init, ops
from minifcn.layers import Conv2d, Layer, Parameter
from minifcn.testing import check_adjoint, check_gradients, check_op_gradients, tie_free

RNG = np.random.default_rng(0)


class Affine(Layer):
    """y[n, o] = sum over f of weight[o, f] * x[n, f]**2 + bias[o]: small, and not linear in x."""

    def __init__(self, dtype=np.float64):
        super().__init__()
        rng = np.random.default_rng(1)
        self.weight = Parameter(rng.normal(size=(3, 3)).astype(dtype))
        self.bias = Parameter(rng.normal(size=3).astype(dtype))

    def _forward(self, x):
        return x**2 @ self.weight.data.T + self.bias.data, x

    def _backward(self, x, needs, gy):
        self.weight.accumulate(gy.T @ x**2)
        self.bias.accumulate(gy.sum(axis=0))
        return 2 * x * (gy @ self.weight.data)


X = tie_free((4, 3))


def wrong(**overrides):
    """Affine with one method of its backward replaced."""
    return type("Wrong", (Affine,), overrides)()


# The checker on layers that are right.

def test_a_right_layer_passes_and_every_element_is_probed():
    report = check_gradients(Affine(), X)
    assert report
    assert report.passed
    report.raise_if_failed()
    assert [(tensor.name, tensor.elements) for tensor in report.tensors] == [("x", 12), ("weight", 9), ("bias", 3)]
    assert report.worst_relative_error == max(tensor.error for tensor in report.tensors) < 1e-8
    assert report.floor == pytest.approx(1e-6 * max(tensor.largest for tensor in report.tensors))
    message = report.message()
    assert "gradients of Affine(): passed" in message
    assert f"floor {report.floor:.1e}" in message
    assert message.count("\n") == 3


def test_public_names():
    assert minifcn.check_gradients is check_gradients
    assert minifcn.check_adjoint is check_adjoint
    assert minifcn.tie_free is tie_free


def test_samples_and_directions():
    report = check_gradients(Affine(), X, samples=2)
    assert report.passed
    assert [(t.name, t.elements) for t in report.tensors] == [("x", 2), ("weight", 2), ("bias", 2), ("directions", 3)]


def test_directions_see_a_wrong_element_that_no_sample_hit():
    class OneWrong(Affine):
        def _backward(self, x, needs, gy):
            gx = super()._backward(x, needs, gy)
            gx[3, 2] += 1
            return gx

    reports = [check_gradients(OneWrong(), X, samples=1, rng=seed) for seed in range(10)]
    assert not any(reports)
    by_name = [{t.name: t.error for t in report.tensors} for report in reports]
    assert sum(errors["x"] < 1e-6 for errors in by_name) > 5  # the samples mostly missed it
    assert all(errors["directions"] > 1e-6 for errors in by_name)


def test_everything_is_left_as_it_was():
    class Noisy(Affine):
        buffer_names = ("calls",)

        def __init__(self):
            super().__init__()
            self.rng, self.calls = np.random.default_rng(7), np.zeros(1)

        def _forward(self, x):
            self.calls += 1
            mask = self.rng.random(x.shape) < 0.5
            y, x = super()._forward(x * mask)
            return y, (x, mask)

        def _backward(self, cache, needs, gy):
            x, mask = cache
            return super()._backward(x, needs, gy) * mask

    layer, x = Noisy(), X.copy()
    grad = layer.weight.grad = np.ones((3, 3))
    weight, state = layer.weight.data.copy(), layer.rng.bit_generator.state
    assert check_gradients(layer, x).passed  # the mask stands still
    assert np.array_equal(x, X)
    assert np.array_equal(layer.weight.data, weight)
    assert layer.weight.grad is grad
    assert (grad == 1).all()
    assert layer.bias.grad is None
    assert layer.calls == 0
    assert layer.rng.bit_generator.state == state
    with pytest.raises(RuntimeError, match="expected a recorded forward"):
        layer.backward(np.ones((4, 3)))


def test_integers_and_records_are_passed_on_and_not_differentiated():
    class Record(NamedTuple):
        indices: np.ndarray

    class Pick(Layer):
        def _forward(self, x, places, record):
            assert isinstance(record, Record)
            return x[places] * 3, (x.shape, places)

        def _backward(self, cache, needs, gy):
            shape, places = cache
            gx = np.zeros(shape)
            np.add.at(gx, places, 3 * gy)
            return (gx, None, None) if self.training else gx  # both forms are allowed

    places = np.array([0, 2, 2])
    for layer in (Pick(), Pick().eval()):
        report = check_gradients(layer, tie_free((4,)), places, Record(places), names=["x", "places", "record"])
        assert report.passed
        assert [tensor.name for tensor in report.tensors] == ["x"]


def test_none_is_a_right_gradient_for_an_input_that_has_no_influence():
    class ShapeOf(Layer):
        def _forward(self, x, like):
            return x[:like.shape[0]] * 2, x.shape

        def _backward(self, shape, needs, gy):
            return np.concatenate([2 * gy, np.zeros(shape[0] - len(gy))]), None

    report = check_gradients(ShapeOf(), tie_free((5,)), tie_free((2,)))
    assert report.passed
    assert [tensor.name for tensor in report.tensors] == ["x0", "x1"]


def test_an_output_that_is_the_input_itself():
    class Identity(Layer):
        def _forward(self, x):
            return x, None

        def _backward(self, cache, needs, gy):
            return gy

    assert check_gradients(Identity(), tie_free((5,))).passed


def test_several_outputs_get_a_gradient_each_and_none_for_integers():
    class Split(Layer):
        def _forward(self, x):
            return (x * 2, np.argsort(x), x**2), x

        def _backward(self, x, needs, ga, gb, gc):
            assert gb is None
            return 2 * ga + 2 * x * gc

    assert check_gradients(Split(), tie_free((5,))).passed


def test_any_object_with_forward_and_backward():
    class Square:  # no Layer, no record, no parameters(): it remembers its input itself
        def __init__(self):
            self.gain = Parameter(np.array([1.5]))

        def forward(self, x):
            self.x = x
            return self.gain.data * x**2

        def backward(self, gy):
            self.gain.accumulate((gy * self.x**2).sum(keepdims=True).reshape(1))
            return 2 * self.gain.data * self.x * gy

    report = check_gradients(Square(), tie_free((2, 3)))
    assert report.passed
    assert [tensor.name for tensor in report.tensors] == ["x", "gain"]
    assert report.subject == "Square"


def test_a_function_that_returns_its_backward():
    def cube(x):
        return x**3, lambda gy: 3 * x**2 * gy

    report = check_gradients(cube, tie_free((3, 2)))
    assert report.passed
    assert report.subject == "cube"
    with pytest.raises(TypeError, match="expected <lambda> to be a layer, or a function that returns y and its backw"):
        check_gradients(lambda x: x, tie_free((3,)))


def test_pairs_of_functions():
    arrays = (tie_free((2, 2, 5, 6)), RNG.normal(size=(3, 2, 3, 2)), None)
    report = check_op_gradients(partial(ops.conv2d, stride=(2, 1)), ops.conv2d_backward, arrays,
                                names=["x", "weight", "bias"])
    assert report.passed
    assert [tensor.name for tensor in report.tensors] == ["x", "weight"]
    assert report.subject == "conv2d"
    assert not check_op_gradients(ops.conv2d, lambda gy, cache: [
        None if g is None else -g for g in ops.conv2d_backward(gy, cache)], arrays)


def test_frozen_parameters_are_left_out():
    layer = Conv2d(2, 3, 3, bias_init=init.gaussian(1), dtype=np.float64)
    layer.weight.lr_mult = 0
    assert [tensor.name for tensor in check_gradients(layer, tie_free((1, 2, 4, 5))).tensors] == ["x", "bias"]


def test_zero_by_construction_is_compared_with_the_floor_and_named():
    class Centred(Layer):
        """The mean is taken away again, so the shift has no effect but rounding."""

        def __init__(self):
            super().__init__()
            self.shift = Parameter(np.array([0.3]))

        def _forward(self, x):
            moved = x + self.shift.data
            return moved - moved.mean(), None

        def _backward(self, cache, needs, gy):
            gx = gy - gy.mean()
            self.shift.accumulate(gx.sum(keepdims=True))
            return gx

    report = check_gradients(Centred(), tie_free((7,)))
    assert report.passed
    assert report.tensors[1].largest < report.floor
    assert report.tensors[1].error * report.floor < 1e-12
    assert "shift  passed" in report.message()
    assert "zero but for rounding (below the floor)" in report.message()


def test_gradients_a_million_times_smaller_than_others_are_still_checked():
    class Faint(Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor, self.faint = factor, Parameter(np.array([0.7, 0.2]))

        def _forward(self, x):
            return 1 + x + 3e-6 * np.sin(self.faint.data), None

        def _backward(self, cache, needs, gy):
            self.faint.accumulate(self.factor * 3e-6 * np.cos(self.faint.data) * gy)
            return gy

    assert check_gradients(Faint(1), tie_free((2,))).passed
    report = check_gradients(Faint(1.001), tie_free((2,)))
    assert not report.passed
    assert report.worst.name == "faint"


# Kinks.

class Relu(Layer):
    def _forward(self, x):
        self.open = x > 0
        return x * self.open, self.open

    def _backward(self, is_open, needs, gy):
        return gy * is_open


def test_tie_free_keeps_clear_of_ties_and_zero():
    for shape in ((3, 4, 5), (7,), ()):
        values = tie_free(shape, rng=3)
        assert values.shape == shape
        assert values.dtype == np.float64
        ordered = np.sort(values.ravel())
        spacing = 2 / values.size
        np.testing.assert_allclose(np.diff(ordered), spacing, rtol=1e-9)
        assert np.abs(values).min() == pytest.approx(spacing / 2)
        assert np.abs(values).max() <= 1
    assert np.array_equal(tie_free((9,), rng=1), tie_free((9,), rng=np.random.default_rng(1)))
    assert not np.array_equal(tie_free((9,), rng=1), tie_free((9,), rng=2))
    assert tie_free((4,), dtype=np.float32).dtype == np.float32
    assert np.sort(tie_free((4,), spacing=3)).tolist() == [-4.5, -1.5, 1.5, 4.5]
    with pytest.raises(ValueError, match=r"tie_free: expected a spacing of at least 1e-5, .* got 1.0e-06"):
        tie_free((4,), spacing=1e-6)


def test_a_probe_across_a_kink_spoils_the_check_unless_patterns_are_watched():
    x = np.array([0.5, 3e-7, -0.5, 2e-8, -0.2])  # the second is on a kink for eps, the fourth for eps / 32 too
    assert not check_gradients(Relu(), x).passed
    layer = Relu()
    report = check_gradients(layer, x, patterns=lambda: {"relu": (layer.open, [np.arange(3)])})
    assert report.passed
    (tensor,) = report.tensors
    assert tensor.elements == 4
    assert tensor.kinks == 1
    assert "4 probed, 1 across a kink not counted" in report.message()
    sampled = check_gradients(layer, x, samples=3, patterns=lambda: layer.open)
    assert sampled.passed
    assert sampled.tensors[0].elements == 3
    assert sampled.tensors[1].elements == 3


def test_nothing_but_kinks_is_no_success():
    layer = Relu()
    for samples in (None, 2):
        report = check_gradients(layer, np.array([1e-9, -1e-9]), samples=samples, patterns=lambda: layer.open)
        assert not report.passed
        assert "Every probe of it crossed a kink" in report.message()


# Bad use.

def test_float32_is_refused_with_advice():
    with pytest.raises(TypeError, match=r"expected x in float64, got float32, .* astype\(numpy.float64\)"):
        check_gradients(Affine(), X.astype(np.float32))
    with pytest.raises(TypeError, match=r"expected weight in float64, got float32, .* give layers dtype=numpy.float64"):
        check_gradients(Affine(np.float32), X)


def test_other_bad_use():
    with pytest.raises(TypeError, match="expected an input or a parameter of floats, got none"):
        check_gradients(Relu(), np.arange(3))
    with pytest.raises(ValueError, match="expected 1 names, one for each input, got 2"):
        check_gradients(Affine(), X, names=["x", "y"])
    with pytest.raises(ValueError, match="expected names that no parameter has, got bias"):
        check_gradients(Affine(), X, names=["bias"])
    with pytest.raises(ValueError, match=r"backward of Wrong\(\) to return 1 gradients, one for each input, got 2"):
        check_gradients(wrong(_backward=lambda self, x, needs, gy: (x, x)), X)
    with pytest.raises(TypeError, match=r"parameters\(\) to return a dictionary of names and Parameters, got list"):
        check_gradients(wrong(parameters=lambda self: []), X)


# Adjoints.

def test_check_adjoint():
    a = RNG.normal(size=(5, 3))
    assert check_adjoint(lambda x: a @ x, lambda y: a.T @ y, (3,), (5,))
    wrong = check_adjoint(lambda x: a @ x, lambda y: 1.001 * a.T @ y, (3,), (5,))
    assert not wrong.passed
    with pytest.raises(AssertionError, match=r"adjoint: FAILED, <Ax, y> = .* relative difference"):
        wrong.raise_if_failed()
    assert "adjoint: passed" in check_adjoint(lambda x: a @ x, lambda y: a.T @ y, (3,), (5,)).message()
    assert not check_adjoint(lambda x: 0 * a @ x, lambda y: 0 * a.T @ y, (3,), (5,))  # nothing was compared
    with pytest.raises(ValueError, match=r"check_adjoint: expected forward\(x\) of shape \(4,\), got \(5,\)"):
        check_adjoint(lambda x: a @ x, lambda y: a.T[:, :4] @ y, (3,), (4,))
    with pytest.raises(ValueError, match=r"check_adjoint: expected adjoint\(y\) of shape \(3,\), got \(5,\)"):
        check_adjoint(lambda x: a @ x, lambda y: y, (3,), (5,))
