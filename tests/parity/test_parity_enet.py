"""ENet beside a twin in PyTorch, written here from the published description, with its dropout switched off."""

import numpy as np
import pytest

from minifcn import models, ops
from minifcn.data import batch_indices, load_batch, open_dataset
from minifcn.gradcheck.network import Watched
from minifcn.layers import SpatialDropout

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
F = torch.nn.functional

STEPS, CLASSES, WIDTH = 20, 7, 1 / 4
# What stands in the middle of each bottleneck that keeps its size: a dilation, or the pair of 1x5 and 5x1.
LATE = (1, 2, "pair", 4, 1, 8, "pair", 16)


def bn(p, name, x):
    mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"], training=True, eps=1e-3)


def conv_bn(p, name, x, **options):
    return bn(p, f"{name}_bn", F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), **options))


def down(p, name, x, middle=1, halved=False):
    """A bottleneck of the encoder; also the places of the maxima, if it halves the map."""
    main = F.prelu(conv_bn(p, f"{name}/reduce", x, stride=2 if halved else 1), p[f"{name}/reduce_prelu.weight"])
    if middle == "pair":
        main = F.conv2d(main, p[f"{name}/conv1x5.weight"], padding=(0, 2))
        main = F.prelu(conv_bn(p, f"{name}/conv5x1", main, padding=(2, 0)), p[f"{name}/conv5x1_prelu.weight"])
    else:
        main = conv_bn(p, f"{name}/conv", main, padding=middle, dilation=middle)
        main = F.prelu(main, p[f"{name}/conv_prelu.weight"])
    main, places = conv_bn(p, f"{name}/expand", main), None
    if halved:
        x, places = F.max_pool2d(x, 2, return_indices=True)
        n, c, h, w = x.shape
        x = torch.cat((x, torch.zeros((n, main.shape[1] - c, h, w), dtype=x.dtype)), dim=1)
    return F.prelu(main + x, p[f"{name}.weight"]), places


def up(p, name, x, places=None):
    """A bottleneck of the decoder; with places one that doubles the map."""
    main = F.relu(conv_bn(p, f"{name}/reduce", x))
    weight, bias = p[f"{name}/conv.weight"], p[f"{name}/conv.bias"]
    if places is None:
        main = F.conv2d(main, weight, bias, padding=1)
    else:
        main = F.conv_transpose2d(main, weight, bias, stride=2, padding=1, output_padding=1)
        x = F.max_unpool2d(conv_bn(p, f"{name}/skip", x), places, 2)
    main = conv_bn(p, f"{name}/expand", F.relu(bn(p, f"{name}/conv_bn", main)))
    return F.relu(main + x)


def twin(p, x):
    conv = F.conv2d(x, p["initial/conv.weight"], p["initial/conv.bias"], stride=2, padding=1)
    x = bn(p, "initial/concat_bn", torch.cat((conv, F.max_pool2d(x, 2)), dim=1))
    x = F.prelu(x, p["initial.weight"])
    x, places1 = down(p, "bottleneck1_0", x, halved=True)
    for index in (1, 2, 3, 4):
        x, _ = down(p, f"bottleneck1_{index}", x)
    x, places2 = down(p, "bottleneck2_0", x, halved=True)
    for stage in (2, 3):
        for index, middle in enumerate(LATE, start=1):
            x, _ = down(p, f"bottleneck{stage}_{index}", x, middle)
    x = up(p, "bottleneck4_0", x, places2)
    for name in ("bottleneck4_1", "bottleneck4_2"):
        x = up(p, name, x)
    x = up(p, "bottleneck5_0", x, places1)
    x = up(p, "bottleneck5_1", x)
    return F.conv_transpose2d(x, p["fullconv.weight"], p["fullconv.bias"], stride=2)


def make(dtype):
    """In training mode; biases, slopes and scales of batch norm each of their own size.

    A quick head on a slow body: so twenty steps are enough for the loss to fall, and too few for rounding to grow.
    """
    net = models.build("enet", num_classes=CLASSES, width=WIDTH, rng=1, dtype=dtype)
    rng = np.random.default_rng(2)
    for name, parameter in net.parameters().items():
        if parameter.data.ndim == 1:
            parameter.data += rng.normal(0, 0.05, parameter.data.shape).astype(dtype)
        parameter.lr_mult = 10 if name.startswith("fullconv") else 0.3
    net["fullconv"].weight.data *= 2
    for layer in net.layers():
        if isinstance(layer, SpatialDropout):
            layer.p = 0.0  # the two would draw different masks
    return net


def batches(dtype, steps=STEPS):
    """With noise, because in a flat patch all are maxima, and rounding would choose whose place is noted."""
    dataset, rng = open_dataset("street", size=(40, 56)), np.random.default_rng(3)
    for step in range(steps):
        indices = batch_indices(16, 3, seed=0, step=step)
        x, target = load_batch(dataset, indices, mean=(110.0,) * 3, scale=(1 / 60,) * 3, dtype=dtype)
        yield x + rng.normal(0, 0.1, x.shape).astype(dtype), target


def test_twenty_steps_in_float64(same_curve):
    same_curve(make(np.float64), twin, batches(np.float64))


def test_each_step_from_the_same_state_in_float32():
    """Beside the twin in float64, from numbers that float32 can hold.

    Through eighty batch norms PyTorch's own float32 strays by 1e-4 from its float64, so the bounds are those for
    convolutions by Winograd. And where rounding carries a number over the kink of a ReLU, or makes another one the
    maximum, a gradient jumps: such a batch says nothing and is passed over.
    """
    net, exact = make(np.float32), make(np.float64)
    p = {name: torch.tensor(array.astype(np.float64)) for name, array in net.state().items()}
    trained = {name: p[name].requires_grad_(True) for name in net.parameters()}
    compared = 0
    for x, target in batches(np.float32, 6):
        net.load({name: tensor.detach().numpy().astype(np.float32) for name, tensor in p.items()})
        exact.load({name: tensor.detach().numpy() for name, tensor in p.items()})
        loss, gradients, patterns = ours(net, x, target)
        twin_loss = F.cross_entropy(twin(p, torch.tensor(x).double()), torch.tensor(target), ignore_index=255)
        theirs = dict(zip(trained, torch.autograd.grad(twin_loss, trained.values()), strict=True))
        if all(map(np.array_equal, patterns, ours(exact, x.astype(np.float64), target)[2])):
            assert loss == pytest.approx(twin_loss.item(), rel=1e-4)
            compare(gradients, {name: gradient.numpy() for name, gradient in theirs.items()})
            compared += 1
        with torch.no_grad():
            for name, tensor in p.items():
                tensor -= 0.003 * theirs.get(name, 0)
                tensor.copy_(tensor.float())
    assert compared >= 3


def ours(net, x, target):
    """Loss (read in float64), gradients, and on which side of its kinks the network was."""
    watched = Watched(net)
    scores = watched.forward(x, record=True)
    _, cache = ops.softmax_cross_entropy(scores, target)
    for parameter in net.parameters().values():
        parameter.grad = None
    net.backward(ops.softmax_cross_entropy_backward(1.0, cache), needs=(False,))
    loss = float(ops.softmax_cross_entropy(scores.astype(np.float64), target)[0])
    return loss, {name: p.grad for name, p in net.parameters().items()}, watched.patterns()


def compare(gradients, theirs):
    floor = 1e-3 * max(abs(expected).max() for expected in theirs.values())
    for name, expected in theirs.items():
        if name.endswith(("/conv.bias", "/conv5x1.bias")):  # batch norm takes them away again
            assert abs(expected).max() < 1e-9 * floor, name
            assert abs(gradients[name]).max() < 1e-2 * floor, name
            continue
        error = abs(gradients[name] - expected).max() / max(abs(expected).max(), floor)
        assert error <= 1e-3, f"{name}: relative error {error:.1e}"


def test_running_averages_are_the_twins():
    """Which evaluation then goes by."""
    net = make(np.float64)
    p = {name: torch.tensor(array.copy()) for name, array in net.state().items()}
    (x, _), = batches(np.float64, 1)
    net.forward(x, record=False)
    twin(p, torch.tensor(x))
    for name, array in net.buffers().items():
        np.testing.assert_allclose(array, p[name].numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
