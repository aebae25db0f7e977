"""A U-Net and its twin in PyTorch, written here from the paper: scores, gradients, and 20 steps of training."""

from functools import partial

import numpy as np
import pytest

from minifcn import models
from minifcn.data import batch_indices, load_batch, open_dataset

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
F = torch.nn.functional

STEPS, CLASSES, WIDTH = 20, 7, 1 / 32
LR = 0.1  # which both paddings bear, and with which the loss falls in 20 steps
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


@pytest.mark.parametrize("padding", ["paper", "same"])
def test_twenty_steps_in_float64(padding, same_curve):
    same_curve(make(padding, np.float64), partial(twin_forward, padding=padding), batches(padding, np.float64), LR)


@pytest.mark.parametrize("padding", ["paper", "same"])
def test_each_step_from_the_same_state_in_float32(padding, same_steps):
    same_steps(make(padding, np.float32), partial(twin_forward, padding=padding), batches(padding, np.float32), LR)
