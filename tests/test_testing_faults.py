"""Each fault that is planted in a layer is found by the gradient check, named with its element, and explained."""

import numpy as np
import pytest

from minifcn.layers import Layer, Parameter
from minifcn.testing import check_gradients, tie_free


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


def faults():
    def sign(self, x, needs, gy):
        return -Affine._backward(self, x, needs, gy)

    def factor(self, x, needs, gy):
        return Affine._backward(self, x, needs, gy) / 2

    def transposed(self, x, needs, gy):
        gx = Affine._backward(self, x, needs, gy)
        self.weight.grad -= gy.T @ x**2
        self.weight.grad += (gy.T @ x**2).T
        return gx

    def overwritten(self, x, needs, gy):
        gx = Affine._backward(self, x, needs, gy)
        self.weight.grad = gy.T @ x**2
        return gx

    def flipped(self, x, needs, gy):
        return Affine._backward(self, x, needs, gy)[:, ::-1]

    def mean(self, x, needs, gy):
        gx = Affine._backward(self, x, needs, gy)
        self.bias.grad = self.bias.grad - gy.sum(axis=0) + gy.mean(axis=0)
        return gx

    def missing_term(self, x, needs, gy):
        gx = Affine._backward(self, x, needs, gy)
        gx[2, 1] -= 2 * x[2, 1] * gy[2, 0] * self.weight.data[0, 1]
        return gx

    def lost(self, x, needs, gy):
        return 0 * Affine._backward(self, x, needs, gy)

    def nan(self, x, needs, gy):
        gx = Affine._backward(self, x, needs, gy)
        gx[1, 2] = np.nan
        return gx

    def none(self, x, needs, gy):
        Affine._backward(self, x, needs, gy)

    def shape(self, x, needs, gy):
        return Affine._backward(self, x, needs, gy).T

    return [
        (sign, "x", "Every element has the wrong sign"),
        (factor, "x", r"Every element is 0\.5 times the right one"),
        (transposed, "weight", r"axes in the order \(1, 0\): look for a transpose"),
        (overwritten, "weight", "after a second forward and backward: a backward pass adds to the parameter's grad"),
        (flipped, "x", r"right gradient flipped along axes \(1,\)"),
        (mean, "bias", r"Every element is 0\.25 times .* a mean in place of a sum"),
        (missing_term, "x", r"11 of 12 elements are right\. Where windows overlap"),
        (lost, "x", "Every element is 0: this gradient is never computed"),
        (nan, "x", r"x\[1, 2\]: got nan"),
        (none, "x", r"backward gives no gradient for it \(None\)"),
        (shape, "x", r"gradient of shape \(3, 4\), the tensor has \(4, 3\)"),
    ]


@pytest.mark.parametrize(("fault", "name", "hint"), faults(), ids=lambda value: getattr(value, "__name__", ""))
def test_planted_faults_are_found_and_explained(fault, name, hint):
    report = check_gradients(wrong(_backward=fault), X)
    assert not report
    assert not check_gradients(wrong(_backward=fault), X, samples=3)
    assert report.worst.name == name
    assert [tensor.name for tensor in report.tensors if tensor.error > report.tolerance] == [name]  # and only that
    with pytest.raises(AssertionError, match=rf"(?s){name} +FAILED.*{hint}"):
        report.raise_if_failed()


def test_the_message_names_element_got_and_expected():
    def one_wrong(self, x, needs, gy):
        gx = Affine._backward(self, x, needs, gy)
        gx[2, 1] += 5
        return gx

    worst = check_gradients(wrong(_backward=one_wrong), X).worst
    assert worst.index == (2, 1)
    assert worst.got == pytest.approx(worst.expected + 5, abs=1e-6)
    message = check_gradients(wrong(_backward=one_wrong), X).message()
    assert f"x[2, 1]: got {worst.got:.10g}, expected {worst.expected:.10g} (central difference)" in message


def test_a_constant_layer_is_no_success():
    class Constant(Layer):
        def _forward(self, x):
            return np.ones(3), x

        def _backward(self, x, needs, gy):
            return np.zeros_like(x)

    report = check_gradients(Constant(), tie_free((3,)))
    assert not report.passed
    assert "Every numerical gradient of every tensor is 0" in report.message()


def test_a_forward_that_writes_into_its_input_fails():
    class InPlace(Layer):
        def _forward(self, x):
            x[x < 0] = 0
            return x, x > 0

        def _backward(self, is_open, needs, gy):
            return gy * is_open

    report = check_gradients(InPlace(), tie_free((2, 3)))
    assert not report.passed
    assert "forward writes into its input" in report.message()


def test_a_forward_that_is_not_finite_fails():
    class Log(Layer):
        def _forward(self, x):
            with np.errstate(invalid="ignore"):
                return np.log(x), x

        def _backward(self, x, needs, gy):
            return gy / x

    report = check_gradients(Log(), np.array([0.5, -0.5]))
    assert not report.passed
    assert report.worst_relative_error == np.inf
