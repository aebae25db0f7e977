"""A whole training against PyTorch: an FCN-8s and its twin, written here from the published description.

In float64 the two take 50 steps side by side. In float32 free-running curves of correct implementations drift apart
(PyTorch drifts from itself when only the memory layout changes), so there each step starts from the twin's state, and
the free-running curve is held against the twin's own spread.
"""

from functools import partial

import numpy as np
import pytest

from minifcn import models
from minifcn.data import batch_indices, load_batch, open_dataset
from minifcn.optim import SGD

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
F = torch.nn.functional

STEPS, CLASSES, WIDTH = 50, 7, 1 / 32
LR, MOMENTUM, DECAY = 0.01, 0.9, 5e-4
BLOCKS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
# The published crops, and for padding "same" what they become; typed here on purpose: the library derives them.
CROPS = {"paper": {"pool4": 5, "pool3": 9, "end": 31}, "same": {"pool4": -1, "pool3": -1, "end": 4}}


def twin_forward(p, x, padding, layout=torch.contiguous_format):
    """FCN-8s on VGG-16 with dropout off, from a dictionary of tensors with the published names."""
    x = x.contiguous(memory_format=layout)
    size, pools = x.shape[2:], {}
    for block, convs in BLOCKS.items():
        for index in range(1, convs + 1):
            pad = 100 if (block, index) == (1, 1) and padding == "paper" else 1
            name = f"conv{block}_{index}"
            x = F.relu(F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=pad))
        x = pools[f"pool{block}"] = F.max_pool2d(x, 2, 2, ceil_mode=True)
    x = F.relu(F.conv2d(x, p["fc6.weight"], p["fc6.bias"], padding=0 if padding == "paper" else 3))
    x = F.relu(F.conv2d(x, p["fc7.weight"], p["fc7.bias"]))
    x = F.conv2d(x, p["score_fr.weight"], p["score_fr.bias"])
    for up, skip in (("upscore2", "pool4"), ("upscore_pool4", "pool3")):
        x = F.conv_transpose2d(x, p[f"{up}.weight"], stride=2)
        score = F.conv2d(pools[skip], p[f"score_{skip}.weight"], p[f"score_{skip}.bias"])
        x = torch.add(*cropped_alike(x, score, CROPS[padding][skip]))
    x = F.conv_transpose2d(x, p["upscore8.weight"], stride=8)
    end = CROPS[padding]["end"]
    return x[:, :, end : end + size[0], end : end + size[1]]


def cropped_alike(up, score, offset):
    """The skip cut to the upsampled map, or the other way round where the offset is negative."""
    if offset >= 0:
        return up, score[:, :, offset : offset + up.shape[2], offset : offset + up.shape[3]]
    return up[:, :, -offset : -offset + score.shape[2], -offset : -offset + score.shape[3]], score


def make(padding, dtype):
    """A small network in evaluation mode (no dropout) with random non-zero numbers in every layer that trains."""
    net = models.build("fcn8s", num_classes=CLASSES, width=WIDTH, padding=padding, rng=1, dtype=dtype).eval()
    rng = np.random.default_rng(2)
    for name, parameter in net.parameters().items():
        if name.endswith("bias"):
            parameter.data[...] = rng.normal(0, 0.05, parameter.data.shape)
        elif name.startswith("score"):
            parameter.data[...] = rng.normal(0, 0.1, parameter.data.shape)
    return net


def batches(dtype):
    dataset = open_dataset("street", size=(32, 48))
    for step in range(STEPS):
        indices = batch_indices(16, 2, seed=0, step=step)
        yield load_batch(dataset, indices, mean=(110.0,) * 3, scale=(1 / 60,) * 3, dtype=dtype)


@pytest.mark.parametrize("padding", ["paper", "same"])
def test_fifty_steps_in_float64(padding, twins):
    net = make(padding, np.float64)
    twin = twins(net, partial(twin_forward, padding=padding), LR)
    optimizer = SGD(net.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)
    ours, theirs = [], []
    for x, target in batches(np.float64):
        ours.append(twins.ours(net, x, target)[1])
        optimizer.step()
        theirs.append(twin.step(x, target))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert np.mean(ours[-5:]) < 0.8 * np.mean(ours[:5]), "the loss must fall by a fifth for this to show anything"


def test_each_step_from_the_same_state_in_float32(twins):
    net = make("same", np.float32)
    twin = twins(net, partial(twin_forward, padding="same"), LR)
    for x, target in batches(np.float32):
        net.load({name: tensor.detach().numpy() for name, tensor in twin.tensors.items()})
        _, loss, gradients = twins.ours(net, x, target)
        _, twin_loss, twin_gradients = twin.scores_loss_gradients(x, target)
        assert abs(loss - twin_loss) <= 1e-5 * abs(twin_loss)
        assert gradients.keys() == twin_gradients.keys()
        floor = 1e-3 * max(abs(g).max() for g in twin_gradients.values())
        for name, expected in twin_gradients.items():
            error = abs(gradients[name] - expected).max() / max(abs(expected).max(), floor)
            assert error <= 1e-4, f"{name}: relative error {error:.1e}"
        twin.optimizer.step()


def test_the_free_running_curve_stays_within_the_twins_own_spread(twins):
    net = make("same", np.float32)
    pair = [twins(net, partial(twin_forward, padding="same", layout=layout), LR)
            for layout in (torch.contiguous_format, torch.channels_last)]
    optimizer = SGD(net.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)
    ours, theirs = [], []
    for x, target in batches(np.float32):
        ours.append(twins.ours(net, x, target)[1])
        optimizer.step()
        theirs.append([twin.step(x, target) for twin in pair])
    theirs = np.array(theirs)  # (steps, 2)
    spread = abs(theirs[:, 0] - theirs[:, 1]).max()
    assert spread > 0, "the two layouts must differ in rounding, or the comparison means nothing"
    distance = abs(np.array(ours) - theirs[:, 0]).max()
    assert distance <= 4 * spread, f"distance {distance:.1e}, spread {spread:.1e}"
