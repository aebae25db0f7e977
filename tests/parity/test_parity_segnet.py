"""SegNet-Basic and SegNet beside twins in PyTorch, written here from the published description."""

import numpy as np
import pytest

from minifcn import models
from minifcn.data import batch_indices, load_batch, open_dataset

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
F = torch.nn.functional

CLASSES = 7
ENCODER = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}  # convolutions of each stage


def conv_bn(p, name, x):
    kernel = p[f"{name}.weight"].shape[2]
    x = F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=kernel // 2)
    mean, var = p[f"{name}_bn.running_mean"], p[f"{name}_bn.running_var"]
    return F.batch_norm(x, mean, var, p[f"{name}_bn.weight"], p[f"{name}_bn.bias"], training=True, eps=1e-5)


def basic(p, x):
    x, pooled = F.local_response_norm(x, 5, 1e-4, 0.75, 1.0), {}
    for level in (1, 2, 3, 4):
        x = F.relu(conv_bn(p, f"conv{level}", x))
        size = x.shape[2:]
        x, places = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        pooled[level] = places, size
    for level in (4, 3, 2, 1):
        places, size = pooled[level]
        x = conv_bn(p, f"conv_decode{level}", F.max_unpool2d(x, places, 2, output_size=size))
    return F.conv2d(x, p["conv_classifier.weight"], p["conv_classifier.bias"])


def whole(p, x):
    pooled = {}
    for stage, count in ENCODER.items():
        for index in range(1, count + 1):
            x = F.relu(conv_bn(p, f"conv{stage}_{index}", x))
        size = x.shape[2:]
        x, places = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        pooled[stage] = places, size
    for stage in (5, 4, 3, 2, 1):
        places, size = pooled[stage]
        x = F.max_unpool2d(x, places, 2, output_size=size)
        for index in range(ENCODER[stage], 1 if stage == 1 else 0, -1):
            x = F.relu(conv_bn(p, f"conv{stage}_{index}_D", x))
    return F.conv2d(x, p["conv1_1_D.weight"], p["conv1_1_D.bias"], padding=1)


# Twin, width, steps. In the depth of the whole SegNet, on maps of 2x2, batch norm enlarges rounding until somewhere a
# ReLU closes or another maximum wins; that is some ten steps away.
TWINS = {"segnet-basic": (basic, 1 / 8, 20), "segnet": (whole, 1 / 16, 5)}


def make(name, dtype):
    net = models.build(name, num_classes=CLASSES, width=TWINS[name][1], rng=1, dtype=dtype)
    rng = np.random.default_rng(2)
    for key, parameter in net.parameters().items():
        if key.endswith("bias"):
            parameter.data[...] = rng.normal(0, 0.05, parameter.data.shape)
    return net


def batches(dtype, steps):
    dataset = open_dataset("street", size=(36, 52))  # no multiples of 16 or 32: unpooling must know the sizes
    for step in range(steps):
        indices = batch_indices(16, 4, seed=0, step=step)
        yield load_batch(dataset, indices, mean=(110.0,) * 3, scale=(1 / 60,) * 3, dtype=dtype)


@pytest.mark.parametrize("name", TWINS)
def test_many_steps_in_float64(name, same_curve):
    twin, _, steps = TWINS[name]
    same_curve(make(name, np.float64), twin, batches(np.float64, steps))


def test_each_step_from_the_same_state_in_float32(same_steps):
    same_steps(make("segnet-basic", np.float32), basic, batches(np.float32, 6))


def test_running_averages_are_the_twins():
    """The network's buffers moved as PyTorch's did, which evaluation then goes by."""
    net = make("segnet-basic", np.float64)
    p = {name: torch.tensor(array.copy()) for name, array in net.state().items()}
    (x, _), = batches(np.float64, 1)
    net.forward(x, record=False)
    basic(p, torch.tensor(x))
    for name, array in net.buffers().items():
        np.testing.assert_allclose(array, p[name].numpy(), rtol=1e-12, err_msg=name)
