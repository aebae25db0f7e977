"""Training beside a twin: the same network written once more in PyTorch, with autograd and torch.optim.SGD.

In float64 the two take many steps side by side. In float32 free-running curves of correct implementations drift apart,
so there each step starts from the twin's state.
"""

import numpy as np
import pytest

from minifcn import ops
from minifcn.arrays import use_winograd
from minifcn.optim import SGD

MOMENTUM, DECAY = 0.9, 5e-4


class Twin:
    """`forward(tensors, x)` computes the scores from a dictionary of the network's own names."""

    def __init__(self, net, forward, lr):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
        self.torch, self.forward = torch, forward
        self.tensors = {name: torch.tensor(array.copy()) for name, array in net.state().items()}
        self.trained = {n: self.tensors[n].requires_grad_(True) for n, p in net.parameters().items() if p.trains}
        groups = [{"params": [self.trained[name]], "lr": lr * p.lr_mult, "weight_decay": DECAY * p.decay_mult}
                  for name, p in net.parameters().items() if p.trains]
        self.optimizer = torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM)

    def scores_loss_gradients(self, x, target):
        self.optimizer.zero_grad()
        scores = self.forward(self.tensors, self.torch.tensor(x))
        cross_entropy, target = self.torch.nn.functional.cross_entropy, self.torch.tensor(target)
        cross_entropy(scores, target, ignore_index=255).backward()
        # Read in float64: a loss in float32 has too few digits to compare curves by.
        loss = float(cross_entropy(scores.detach().double(), target, ignore_index=255))
        return scores.detach().numpy(), loss, {name: p.grad.numpy() for name, p in self.trained.items()}

    def step(self, x, target):
        _, loss, _ = self.scores_loss_gradients(x, target)
        self.optimizer.step()
        return loss


def scores_loss_gradients(net, x, target):
    """The same from our network, by our loss; its gradients stay in the parameters."""
    scores = net.forward(x, record=True)
    _, cache = ops.softmax_cross_entropy(scores, target)
    for parameter in net.parameters().values():
        parameter.grad = None
    net.backward(ops.softmax_cross_entropy_backward(1.0, cache), needs=(False,))
    loss = float(ops.softmax_cross_entropy(scores.astype(np.float64), target)[0])
    return scores, loss, {n: p.grad for n, p in net.parameters().items() if p.grad is not None}


def close(ours, theirs, tolerance):
    """Relative to the largest number of each array. Rounding alone is left of the gradient of a bias before a batch
    norm, which takes it away again: such ones are small beside all others, and nothing else is asked of them.
    """
    assert ours.keys() == theirs.keys()
    floor = (1e-6 if tolerance < 1e-6 else 1e-3) * max(abs(array).max() for array in theirs.values())
    for name, expected in theirs.items():
        if name.endswith(".bias") and f"{name.removesuffix('.bias')}_bn.weight" in theirs:
            assert max(abs(ours[name]).max(), abs(expected).max()) <= floor, f"{name}: zero by construction"
            continue
        error = abs(ours[name] - expected).max() / max(abs(expected).max(), floor)
        assert error <= tolerance, f"{name}: relative error {error:.1e}"


@pytest.fixture
def twins():
    """For a test that goes its own way: twins(net, forward, lr) makes a Twin, twins.ours is scores_loss_gradients."""
    def make(net, forward, lr):
        return Twin(net, forward, lr)

    make.ours = scores_loss_gradients
    return make


@pytest.fixture
def same_curve():
    """same_curve(net, forward, batches): scores and gradients of the first step, and the losses of all, in float64."""
    def check(net, forward, batches, lr=0.01):
        twin, ours, theirs = Twin(net, forward, lr), [], []
        optimizer = SGD(net.parameters(), lr, momentum=MOMENTUM, weight_decay=DECAY)
        for x, target in batches:
            scores, loss, gradients = scores_loss_gradients(net, x, target)
            twin_scores, twin_loss, twin_gradients = twin.scores_loss_gradients(x, target)
            assert scores.shape == twin_scores.shape
            if not ours:
                close({"scores": scores}, {"scores": twin_scores}, 1e-9)
                close(gradients, twin_gradients, 1e-9)
            ours.append(loss)
            theirs.append(twin_loss)
            optimizer.step()
            twin.optimizer.step()
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
        if len(ours) >= 20:
            assert np.mean(ours[-3:]) < 0.9 * np.mean(ours[:3]), "the loss must fall for this to show anything"
    return check


@pytest.fixture
def same_steps():
    """same_steps(net, forward, batches): loss and gradients in float32, each step from the twin's state."""
    def check(net, forward, batches, lr=0.01):
        twin = Twin(net, forward, lr)
        for x, target in batches:
            net.load({name: tensor.detach().numpy() for name, tensor in twin.tensors.items()})
            with use_winograd(False):
                _, loss, gradients = scores_loss_gradients(net, x, target)
            _, twin_loss, twin_gradients = twin.scores_loss_gradients(x, target)
            assert abs(loss - twin_loss) <= 1e-5 * abs(twin_loss)
            close(gradients, twin_gradients, 1e-4)
            twin.optimizer.step()
    return check
