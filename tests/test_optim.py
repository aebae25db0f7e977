"""Optimisers against their formulas written out for single Python floats; policies against values found by hand."""

import dataclasses
import math

import numpy as np
import pytest

import minifcn
from minifcn.layers import Parameter
from minifcn.optim import SGD, Adam, Fixed, Poly, Step

BOTH = pytest.mark.parametrize("make", [SGD, Adam])


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on every kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


def two_parameters(rng, dtype=np.float64):
    """A filter bank, and a bias with the multipliers that FCN's files give it."""
    return {
        "conv.weight": Parameter(rng.normal(size=(2, 3, 1, 2)).astype(dtype)),
        "conv.bias": Parameter(rng.normal(size=2).astype(dtype), lr_mult=2, decay_mult=0),
    }


def give_gradients(parameters, rng):
    for p in parameters.values():
        p.grad = rng.normal(size=p.data.shape).astype(p.data.dtype)


def sgd_by_hand(w, gradients, rates, momentum, decay):
    """One number through several steps."""
    v = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        v = momentum * v + lr * (g + decay * w)
        w = w - v
    return w


def adam_by_hand(w, gradients, rates, betas, eps, decay):
    """One number through several steps: algorithm 1 of the paper, line by line."""
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        g = g + decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w = w - lr * (m / (1 - betas[0] ** t)) / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


RATES = [0.1, 0.1, 0.03, 0.2, 0.0]
CASES = [
    (lambda p: SGD(p, 1.0), lambda w, g, r, decays: sgd_by_hand(w, g, r, 0.9, 0)),
    (lambda p: SGD(p, 1.0, 0, 0.1), lambda w, g, r, decays: sgd_by_hand(w, g, r, 0, 0.1 * decays)),
    (lambda p: SGD(p, 1.0, 0.5, 0.3), lambda w, g, r, decays: sgd_by_hand(w, g, r, 0.5, 0.3 * decays)),
    (lambda p: Adam(p), lambda w, g, r, decays: adam_by_hand(w, g, r, (0.9, 0.999), 1e-8, 0)),
    (lambda p: Adam(p, 1.0, (0.5, 0.7), 1e-2, 0.3),
     lambda w, g, r, decays: adam_by_hand(w, g, r, (0.5, 0.7), 1e-2, 0.3 * decays)),
]


@pytest.mark.parametrize(("make", "by_hand"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 3e-6)])
def test_steps(rng, make, by_hand, dtype, tolerance):
    parameters = two_parameters(rng, dtype)
    start = {name: p.data.copy() for name, p in parameters.items()}
    optimizer, gradients = make(parameters), {name: [] for name in parameters}
    for lr in RATES:
        give_gradients(parameters, rng)
        for name, p in parameters.items():
            gradients[name].append(p.grad.copy())
        optimizer.step(np.float64(lr))
    for name, p in parameters.items():
        assert p.data.dtype == dtype
        for at in np.ndindex(p.data.shape):
            ours = [float(g[at]) for g in gradients[name]]
            rates = [lr * p.lr_mult for lr in RATES]
            expected = by_hand(float(start[name][at]), ours, rates, p.decay_mult)
            assert p.data[at] == pytest.approx(expected, rel=tolerance, abs=tolerance)


@BOTH
def test_default_rate_is_the_constructor_s(rng, make):
    first, second = two_parameters(rng), two_parameters(np.random.default_rng(0))
    one, other = make(first, lr=0.25), make(second, lr=0.5)
    for parameters in (first, second):
        give_gradients(parameters, np.random.default_rng(1))
    one.step()
    other.step(0.25)
    for name in first:
        np.testing.assert_array_equal(first[name].data, second[name].data)


@BOTH
def test_steps_are_in_place_and_leave_the_gradient_alone(rng, make):
    parameters = two_parameters(rng)
    arrays = {name: p.data for name, p in parameters.items()}
    give_gradients(parameters, rng)
    gradients = {name: p.grad.copy() for name, p in parameters.items()}
    optimizer = make(parameters, lr=0.1, weight_decay=0.1)
    optimizer.step()
    for name, p in parameters.items():
        assert p.data is arrays[name]
        np.testing.assert_array_equal(p.grad, gradients[name])
    optimizer.zero_grad()
    assert all(p.grad is None for p in parameters.values())


@BOTH
def test_memory_layout_does_not_matter(rng, make):
    start, gradient = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    results = []
    for change in (np.array, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], np.transpose):
        p = Parameter(change(start.copy()))
        p.grad = change(gradient)
        make({"w": p}, lr=0.1).step()
        results.append(p.data.T if change is np.transpose else p.data)
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-14)


@BOTH
def test_frozen_parameters_and_missing_gradients_are_skipped(rng, make):
    parameters = two_parameters(rng)
    parameters["conv.weight"].lr_mult = 0
    give_gradients(parameters, rng)
    parameters["extra"] = Parameter(np.ones(3))
    kept = {name: p.data.copy() for name, p in parameters.items()}
    make(parameters, lr=0.1, weight_decay=0.5).step()
    np.testing.assert_array_equal(parameters["conv.weight"].data, kept["conv.weight"])
    np.testing.assert_array_equal(parameters["extra"].data, kept["extra"])
    assert (parameters["conv.bias"].data != kept["conv.bias"]).all()


@BOTH
def test_a_parameter_frozen_on_the_way_stops_at_once(rng, make):
    parameters = two_parameters(rng)
    optimizer = make(parameters, lr=0.1)
    give_gradients(parameters, rng)
    optimizer.step()
    parameters["conv.bias"].lr_mult = 0
    kept, state = parameters["conv.bias"].data.copy(), optimizer.state()
    optimizer.step()
    np.testing.assert_array_equal(parameters["conv.bias"].data, kept)
    for name, array in optimizer.state().items():
        assert (array == state[name]).all() == name.endswith("bias")


@BOTH
def test_a_scalar_parameter(make):
    p = Parameter(np.array(2.0))
    p.grad = np.array(1.0)
    optimizer = make({"s": p}, lr=0.5)
    optimizer.step()
    assert p.data.shape == ()
    assert float(p.data) == pytest.approx(1.5, rel=1e-7)
    optimizer.load(optimizer.state())


def test_velocity_keeps_the_old_rate_when_the_rate_drops():
    """Caffe's form: what was gathered at rate 1 still moves at rate 1; in PyTorch's it would stop at once."""
    p = Parameter(np.zeros(1))
    optimizer = SGD({"w": p}, lr=1.0, momentum=0.5)
    p.grad = np.ones(1)
    optimizer.step(1.0)
    optimizer.step(0.0)
    assert p.data[0] == -1.5


@BOTH
def test_learning(make):
    """The lowest point of a bowl that is ten times steeper one way than the other."""
    p, steepness = Parameter(np.array([3.0, -2.0])), np.array([1.0, 10.0])
    optimizer = make({"w": p}, lr=0.05)
    for _ in range(400):
        p.grad = steepness * p.data
        optimizer.step()
    assert np.abs(p.data).max() < 1e-2


# State.

@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_loaded_state_goes_on_bit_for_bit(rng, make, dtype):
    def train(parameters, optimizer, steps):
        for step in steps:
            give_gradients(parameters, np.random.default_rng(step))
            optimizer.step()

    whole = two_parameters(np.random.default_rng(3), dtype)
    optimizer = make(whole, lr=0.1)
    train(whole, optimizer, range(3))
    state, data = optimizer.state(), {name: p.data.copy() for name, p in whole.items()}
    train(whole, optimizer, range(3, 6))  # does not reach the copies

    resumed = {name: Parameter(data[name], p.lr_mult, p.decay_mult) for name, p in whole.items()}
    fresh = make(resumed, lr=0.1)
    fresh.load(state)
    train(resumed, fresh, range(3, 6))
    for name, p in whole.items():
        assert p.data.tobytes() == resumed[name].data.tobytes()
    for name, array in optimizer.state().items():
        assert array.tobytes() == fresh.state()[name].tobytes()


def test_state_names(rng):
    assert list(SGD(two_parameters(rng), 1).state()) == ["velocity.conv.weight", "velocity.conv.bias"]
    state = Adam(two_parameters(rng)).state()
    assert sorted(state) == ["first.conv.bias", "first.conv.weight", "second.conv.bias", "second.conv.weight", "step"]
    assert (state["step"].dtype, state["step"].shape) == (np.int64, (1,))


@BOTH
def test_a_state_that_does_not_fit_changes_nothing(rng, make):
    optimizer = make(two_parameters(rng), lr=0.1)
    before = optimizer.state()
    good = {name: array + 1 for name, array in before.items()}
    last = list(good)[-1]
    broken = [
        ({name: a for name, a in good.items() if name != last}, rf"'{last}' is missing \(1 such\)"),
        (good | {"odd": np.ones(2)}, r"'odd' is unknown here \(1 such\)"),
        ({}, rf"expected the {len(good)} arrays of this optimiser, got 0; .*missing \({len(good)} such\)"),
        (good | {last: np.ones(7, good[last].dtype)}, rf"expected '{last}' as .* of shape .*got .* of shape \(7,\)"),
        (good | {last: good[last].astype(np.float16)}, rf"expected '{last}' as .*got float16"),
    ]
    for state, message in broken:
        with pytest.raises(ValueError, match=rf"{make.__name__}\.load: .*{message}"):
            optimizer.load(state)
        for name, array in optimizer.state().items():
            np.testing.assert_array_equal(array, before[name])


# What they refuse.

@BOTH
def test_settings(rng, make):
    parameters, who = two_parameters(rng), make.__name__
    for lr in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"{who}: expected lr above 0, got"):
            make(parameters, lr=lr)
    for decay in (-1e-4, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"{who}: expected weight_decay of at least 0, got"):
            make(parameters, lr=1, weight_decay=decay)
    with pytest.raises(ValueError, match=f"{who}: expected at least one parameter"):
        make({}, lr=1)


def test_settings_of_their_own(rng):
    parameters = two_parameters(rng)
    for momentum in (-0.1, 1, math.nan):
        with pytest.raises(ValueError, match="SGD: expected momentum from 0 to below 1"):
            SGD(parameters, 1, momentum)
    for betas in ((1, 0.5), (0.5, -0.1), (0.9, math.nan)):
        with pytest.raises(ValueError, match="Adam: expected betas from 0 to below 1"):
            Adam(parameters, betas=betas)
    with pytest.raises(ValueError, match="Adam: expected eps above 0"):
        Adam(parameters, eps=0)


@BOTH
def test_arrays_of_any_layout_are_moved_alike(rng, make):
    """Kernels update in place and trust that rows follow each other: what lies otherwise comes out the same."""
    results = []
    for data, gradient in ((np.ascontiguousarray, np.ascontiguousarray), (np.asfortranarray, np.asfortranarray),
                           (lambda a: np.repeat(a, 2, axis=-1)[..., ::2], np.flip)):
        rng = np.random.default_rng(1)
        p = Parameter(data(rng.normal(size=(3, 2, 2))))
        optimizer, own = make({"p": p}, lr=0.1, weight_decay=0.01), p.data
        for _ in range(3):
            g = rng.normal(size=p.data.shape)
            p.grad = gradient(g) if gradient is not np.flip else np.flip(np.flip(g).copy())
            optimizer.step()
        assert p.data is own
        results.append(p.data)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@BOTH
def test_a_bad_step_moves_nothing(rng, make):
    parameters = two_parameters(rng)
    optimizer, who = make(parameters, lr=0.1), make.__name__
    give_gradients(parameters, rng)
    data, state = {name: p.data.copy() for name, p in parameters.items()}, optimizer.state()
    for lr in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"{who}\.step: expected lr of at least 0"):
            optimizer.step(lr)
    bias = parameters["conv.bias"]
    for gradient in (np.ones(1), np.ones(2, np.float32)):
        bias.grad = gradient
        with pytest.raises(ValueError, match=rf"{who}\.step: expected the gradient of 'conv\.bias' as float64 of shape "
                                             rf"\(2,\), got .*Look at the backward"):
            optimizer.step()
    bias.grad = np.ones(2)
    bias.data.flags.writeable = False
    with pytest.raises(RuntimeError, match=rf"{who}\.step: .* got 'conv\.bias', which is read-only\. Call unfreeze"):
        optimizer.step()
    for name, p in parameters.items():
        np.testing.assert_array_equal(p.data, data[name])
    for name, array in optimizer.state().items():
        np.testing.assert_array_equal(array, state[name])


# Learning-rate policies.

def test_fixed():
    assert [Fixed(0.1)(iteration) for iteration in (0, 10, 10**6)] == [0.1] * 3


def test_step():
    policy = Step(lr=8.0, gamma=0.5, step_size=10)
    assert [policy(iteration) for iteration in (0, 9, 10, 19, 20, 35)] == [8, 8, 4, 4, 2, 1]


def test_poly():
    policy = Poly(lr=2.0, power=2, max_iterations=10)
    assert [policy(iteration) for iteration in (0, 5, 10, 11)] == [2, 0.5, 0, 0]
    assert Poly(1.0, 0.9, 100)(75) == pytest.approx(0.25**0.9, rel=1e-15)


@pytest.mark.parametrize(("make", "good"), [
    (Fixed, {"lr": 0.1}),
    (Step, {"lr": 0.1, "gamma": 0.1, "step_size": 5}),
    (Poly, {"lr": 0.1, "power": 0.9, "max_iterations": 5}),
])
def test_policies_check_their_settings(make, good):
    policy = make(**good)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.lr = 1
    for name in good:
        for value in (0, -1, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"{make.__name__}: expected {name} above 0, got {value}"):
                make(**(good | {name: value}))


@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_network_converted_after_its_optimiser_was_made(make):
    p = Parameter(np.ones(3, np.float32))
    optimizer = make({"w": p}, lr=0.1)
    p.replace(np.ones(3))
    p.grad = np.ones(3)
    with pytest.raises(ValueError, match=r"step: expected 'w' as float32, as it was when the optimiser was made"):
        optimizer.step()
    np.testing.assert_array_equal(p.data, np.ones(3))
