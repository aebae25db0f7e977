"""A step of training on compiled kernels is a step on array kernels: the same loss, the same gradients, to rounding."""

import numpy as np
import pytest

from minifcn import use_kernels, use_winograd
from minifcn.learner import Learner
from minifcn.progress import Progress
from minifcn.settings import Settings

FLOOR = 1e-3  # times the largest gradient of the network: below, float32 has no digits left


@pytest.fixture(scope="module")
def settings():
    # Wide enough for Winograd's method to be chosen, small enough for a test.
    return Settings(data="street", model="fcn8s", width=0.25, batch_size=2, optimizer="sgd", iterations=3, seed=1)


def gradients(settings, folder, winograd):
    """Loss and gradients of the first iteration, from the same weights, batch and dropout masks."""
    with use_kernels(folder), use_winograd(winograd):
        learner = Learner(settings, Progress())
        learner.iterations = 3
        found = {}
        learner.optimizer.step = lambda lr: found.update(
            {name: p.grad.copy() for name, p in learner.net.parameters().items() if p.grad is not None})
        loss, _, _ = learner.train_step(0)
    return loss, found


def test_one_step_agrees_with_array(settings):
    loss, expected = gradients(settings, "array", False)
    floor = FLOOR * max(np.abs(g).max() for g in expected.values())
    for winograd, loss_bar, bar in ((False, 1e-5, 1e-5), (True, 1e-4, 1e-4)):
        found_loss, found = gradients(settings, "cpu", winograd)
        assert abs(found_loss - loss) <= loss_bar * abs(loss)
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            error = np.abs(gradient - expected[name]).max() / max(np.abs(expected[name]).max(), floor)
            assert error <= bar, (name, error, winograd)


def test_winograd_was_really_used(settings):
    """Else the comparison above would show nothing: its rounding is another one."""
    _, exact = gradients(settings, "cpu", False)
    _, fast = gradients(settings, "cpu", True)
    assert any((exact[name] != fast[name]).any() for name in exact)


def test_a_run_repeats_to_the_last_bit(settings):
    (loss, one), (again, other) = (gradients(settings, "cpu", True) for _ in range(2))
    assert loss == again
    assert all(np.array_equal(one[name], other[name]) for name in one)
