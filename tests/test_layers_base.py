"""What every layer inherits: the stack of recorded forwards, parameters that gather gradients, modes."""

import numpy as np
import pytest

from minifcn.layers import Layer, Parameter
from minifcn.layers.base import first_needed


class ScaledSquare(Layer):
    """y = weight * x^2: nonlinear, so that a gradient tells which forward it belongs to."""

    shown = ("start",)
    buffer_names = ("calls",)

    def __init__(self, start=3.0):
        super().__init__()
        self.start = start
        self.weight = Parameter(np.array([start]))
        self.bias = None
        self.calls = np.zeros(1)
        self.rng = np.random.default_rng(0)

    def _forward(self, x):
        return self.weight.data * x**2, x

    def _backward(self, x, needs, gy):
        self.weight.accumulate((gy * x**2).sum(keepdims=True) if self.weight.trains else None)
        return 2 * self.weight.data * x * gy if first_needed(needs) else None


@pytest.fixture
def layer():
    return ScaledSquare()


ONE, TWO, FIVE = np.array([1.0]), np.array([2.0]), np.array([5.0])


def test_two_forwards_are_backed_out_in_reverse(layer):
    np.testing.assert_array_equal(layer.forward(TWO), [12])
    np.testing.assert_array_equal(layer.forward(FIVE), [75])
    np.testing.assert_array_equal(layer.backward(ONE), [30])  # 2 * 3 * 5: the last forward first
    np.testing.assert_array_equal(layer.backward(ONE), [12])
    np.testing.assert_array_equal(layer.weight.grad, [29])  # 25 + 4


def test_one_backward_too_many(layer):
    layer.forward(TWO)
    layer.backward(ONE)
    message = (r"^ScaledSquare\.backward: expected a recorded forward that is still open, got none\. "
               r"Call forward\(\.\.\., record=True\) first; each forward allows one backward")
    with pytest.raises(RuntimeError, match=message):
        layer.backward(ONE)


def test_calling_is_forward(layer):
    np.testing.assert_array_equal(layer(TWO), [12])
    np.testing.assert_array_equal(layer.backward(ONE), [12])


@pytest.mark.parametrize(("training", "record", "recorded"), [
    (True, None, True), (False, None, False), (True, False, False), (False, True, True)])
def test_record_goes_by_training_unless_said(layer, training, record, recorded):
    layer.train(training)
    layer.forward(TWO, record=record)
    if recorded:
        np.testing.assert_array_equal(layer.backward(ONE), [12])
    with pytest.raises(RuntimeError, match="expected a recorded forward"):
        layer.backward(ONE)


def test_modes(layer):
    assert layer.training
    assert layer.eval() is layer
    assert not layer.training
    assert layer.train() is layer
    assert layer.training


def test_discard_forgets_everything(layer):
    layer.forward(TWO)
    layer.forward(FIVE)
    layer.discard()
    with pytest.raises(RuntimeError, match="expected a recorded forward"):
        layer.backward(ONE)


def test_discard_last_forgets_one(layer):
    layer.forward(TWO)
    layer.forward(FIVE)
    layer.discard_last()
    np.testing.assert_array_equal(layer.backward(ONE), [12])
    with pytest.raises(RuntimeError, match="expected a recorded forward"):
        layer.discard_last()


def test_needs_reach_the_layer(layer):
    layer.forward(TWO)
    assert layer.backward(ONE, needs=(False,)) is None
    np.testing.assert_array_equal(layer.weight.grad, [4])


def test_first_needed():
    assert first_needed(None)
    assert first_needed((True, False))
    assert not first_needed((False, True))


def test_a_parameter_adopts_the_first_gradient_and_adds_the_later_ones():
    parameter, first = Parameter(np.zeros(2)), np.array([1.0, 2.0])
    parameter.accumulate(None)
    assert parameter.grad is None
    parameter.accumulate(first)
    assert parameter.grad is first
    parameter.accumulate(np.array([10.0, 20.0]))
    parameter.accumulate(None)
    np.testing.assert_array_equal(parameter.grad, [11, 22])


def test_a_frozen_parameter_gets_no_gradient(layer):
    layer.weight.lr_mult = 0
    assert not layer.weight.trains
    layer.forward(TWO)
    np.testing.assert_array_equal(layer.backward(ONE), [12])
    assert layer.weight.grad is None


def test_parameters_and_buffers_by_name(layer):
    assert layer.parameters() == {"weight": layer.weight}  # a bias of None is none
    assert layer.buffers() == {"calls": layer.calls}
    layer.calls = np.ones(1)
    assert layer.buffers()["calls"] is layer.calls


def test_repr():
    assert repr(ScaledSquare(0.5)) == "ScaledSquare(start=0.5)"
    assert repr(Parameter(np.zeros((2, 3), np.float32))) == "Parameter(2x3 float32)"
    assert repr(Parameter(np.zeros(4), 2, 0)) == "Parameter(4 float64, lr x2, decay x0)"


def test_reseed_draws_from_a_child(layer):
    first, again, other = ScaledSquare(), ScaledSquare(), ScaledSquare()
    for each, entropy in ((first, 7), (again, 7), (other, 8)):
        each.reseed(np.random.SeedSequence(entropy))
    drawn = first.rng.random()
    assert drawn == again.rng.random()
    assert drawn != other.rng.random()
    seeds = np.random.SeedSequence(7)
    first.reseed(seeds)
    again.reseed(seeds)
    assert first.rng.random() != again.rng.random()  # two layers of a network differ
    del layer.rng
    layer.reseed(seeds)  # a layer without randomness has nothing to do


def test_coordinates_stay_unless_a_layer_says_otherwise(layer):
    assert layer.coordinate_map() == ((1, 0), (1, 0))


def test_a_layer_that_is_not_written_yet():
    class Unwritten(Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"^Unwritten: write _forward\(self, \*xs\) -> \(y, cache\)$"):
        Unwritten().forward(ONE)

    class HalfWritten(Layer):
        def _forward(self, x):
            return x, None

    layer = HalfWritten()
    layer.forward(ONE)
    with pytest.raises(NotImplementedError, match=r"^HalfWritten: write _backward\(self, cache, needs, \*gys\) -> gx$"):
        layer.backward(ONE)
