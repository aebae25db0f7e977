"""A U-Net and its twin in PyTorch, written here from the paper: scores, gradients, and 20 steps of training.

In float64 the two go side by side. In float32 each step starts from the twin's state: see test_parity_fcn8s.
"""

import numpy as np
import pytest

from minifcn import models, ops
from minifcn.data import batch_indices, load_batch, open_dataset
from minifcn.optim import SGD

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
F = torch.nn.functional

STEPS, CLASSES, WIDTH = 20, 7, 1 / 32
LR, MOMENTUM, DECAY = 0.1, 0.9, 5e-4
CROPS = {3: 4, 2: 16, 1: 40, 0: 88}  # the paper's, typed here on purpose: the library derives them
SIZES = {"paper": (204, 220), "same": (45, 54)}  # 45 and 54 are halved with a rest, at one level or another
SEEN = {"paper": np.s_[:, 92:112, 92:128], "same": np.s_[:]}  # the labels of what is scored


def twin_forward(p, x, padding):
    """U-Net with dropout off, from a dictionary of tensors."""
    skips = {}
    for level in range(5):
        x = twice(p, f"d{level}", x, padding)
        if level < 4:
            skips[level] = x
            x = F.max_pool2d(x, 2, ceil_mode=True)
    for level in (3, 2, 1, 0):
        x = F.conv_transpose2d(x, p[f"up{level}.weight"], p[f"up{level}.bias"], stride=2)
        skip = skips[level]
        if padding == "paper":
            crop = CROPS[level]
            skip = skip[:, :, crop:-crop, crop:-crop]
        x = torch.cat([x[:, :, : skip.shape[2], : skip.shape[3]], skip], 1)
        x = twice(p, f"u{level}", x, padding)
    return F.conv2d(x, p["score.weight"], p["score.bias"])


def twice(p, place, x, padding):
    for index in (1, 2):
        name = f"conv_{place}_{index}"
        x = F.relu(F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=int(padding == "same")))
    return x


class Twin:
    """The same network in PyTorch, with autograd and torch.optim.SGD."""

    def __init__(self, net, padding):
        self.padding = padding
        self.parameters = {name: torch.tensor(p.data.copy(), requires_grad=True) for name, p in
                           net.parameters().items()}
        self.optimizer = torch.optim.SGD(self.parameters.values(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)

    def loss_and_gradients(self, x, target):
        self.optimizer.zero_grad()
        scores = twin_forward(self.parameters, torch.tensor(x), self.padding)
        F.cross_entropy(scores, torch.tensor(target), ignore_index=255).backward()
        gradients = {name: p.grad.numpy() for name, p in self.parameters.items()}
        return scores.detach().numpy(), precise_loss(scores.detach().numpy(), target), gradients


def precise_loss(scores, target):
    """The loss of float32 scores read in float64: a float32 loss has too few digits to compare by."""
    return float(F.cross_entropy(torch.tensor(scores).double(), torch.tensor(target), ignore_index=255))


def make(padding, dtype):
    """A small network in evaluation mode (no dropout) with non-zero biases."""
    net = models.build("unet", num_classes=CLASSES, width=WIDTH, padding=padding, rng=1, dtype=dtype).eval()
    rng = np.random.default_rng(2)
    for name, parameter in net.parameters().items():
        if name.endswith("bias"):
            parameter.data[...] = rng.normal(0, 0.05, parameter.data.shape)
    return net


def batches(padding, dtype):
    dataset = open_dataset("street", size=SIZES[padding])
    samples = [dataset[index] for index in range(4)]
    for step in range(STEPS):
        indices = batch_indices(4, 2, seed=0, step=step)
        x, target = load_batch(samples, indices, mean=(110.0,) * 3, scale=(1 / 60,) * 3, dtype=dtype)
        yield x, target[SEEN[padding]]


def loss_and_gradients(net, x, target):
    scores = net.forward(x, record=True)
    loss, cache = ops.softmax_cross_entropy(scores, target)
    for parameter in net.parameters().values():
        parameter.grad = None
    net.backward(ops.softmax_cross_entropy_backward(1.0, cache), needs=(False,))
    loss = float(loss) if scores.dtype == np.float64 else precise_loss(scores, target)
    return scores, loss, {name: p.grad for name, p in net.parameters().items()}


def worst(found, expected, floor):
    """The largest relative error of a tensor, and its name."""
    errors = {name: abs(found[name] - right).max() / max(abs(right).max(), floor) for name, right in expected.items()}
    name = max(errors, key=errors.get)
    return errors[name], name


@pytest.mark.parametrize("padding", ["paper", "same"])
def test_twenty_steps_in_float64(padding):
    net = make(padding, np.float64)
    twin, optimizer = Twin(net, padding), SGD(net.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)
    ours, theirs = [], []
    for x, target in batches(padding, np.float64):
        scores, loss, gradients = loss_and_gradients(net, x, target)
        twin_scores, twin_loss, twin_gradients = twin.loss_and_gradients(x, target)
        assert scores.shape == twin_scores.shape == (2, CLASSES, *target.shape[1:])
        np.testing.assert_allclose(scores, twin_scores, rtol=0, atol=1e-9 * abs(twin_scores).max())
        error, name = worst(gradients, twin_gradients, 1e-6 * max(abs(g).max() for g in twin_gradients.values()))
        assert error <= 1e-9, f"{name}: relative error {error:.1e}"
        ours.append(loss)
        theirs.append(twin_loss)
        optimizer.step()
        twin.optimizer.step()
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert np.mean(ours[-5:]) < 0.9 * np.mean(ours[:5]), "the loss must fall by a tenth for this to show anything"


@pytest.mark.parametrize("padding", ["paper", "same"])
def test_each_step_from_the_same_state_in_float32(padding):
    net = make(padding, np.float32)
    twin = Twin(net, padding)
    for x, target in batches(padding, np.float32):
        net.load({name: tensor.detach().numpy() for name, tensor in twin.parameters.items()})
        _, loss, gradients = loss_and_gradients(net, x, target)
        _, twin_loss, twin_gradients = twin.loss_and_gradients(x, target)
        assert abs(loss - twin_loss) <= 1e-5 * abs(twin_loss)
        assert gradients.keys() == twin_gradients.keys()
        error, name = worst(gradients, twin_gradients, 1e-3 * max(abs(g).max() for g in twin_gradients.values()))
        assert error <= 1e-4, f"{name}: relative error {error:.1e}"
        twin.optimizer.step()
