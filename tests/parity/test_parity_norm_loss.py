"""Batch norm, local response norm, the loss and the optimisers against PyTorch, forward and backward."""

import numpy as np
import pytest

import minifcn
from minifcn import ops
from minifcn.layers import Parameter
from minifcn.optim import SGD, Adam

torch = pytest.importorskip("torch")
functional = torch.nn.functional

SHAPE = (2, 6, 3, 5)  # (N, C, H, W)


@pytest.fixture(params=["reference", "array", "cpu"], autouse=True)
def folder(request):
    """Every test here runs on every kernel folder."""
    with minifcn.use_kernels(request.param):
        yield request.param


def twin(array, trains=True):
    """The same numbers as a tensor that gathers its gradient."""
    return torch.from_numpy(array.copy()).requires_grad_(trains)


def close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(rng, training):
    x, gy = 3 * rng.normal(size=SHAPE) + 1, rng.normal(size=SHAPE)
    weight, bias, mean = (rng.normal(size=6) for _ in range(3))
    var = rng.uniform(0.5, 2, 6)
    tensors, their_mean, their_var = [twin(a) for a in (x, weight, bias)], twin(mean, False), twin(var, False)
    theirs = functional.batch_norm(
        tensors[0], their_mean, their_var, tensors[1], tensors[2], training, momentum=0.3, eps=1e-3
    )
    theirs.backward(torch.from_numpy(gy))
    y, cache = ops.batch_norm(
        x, weight, bias, running_mean=mean, running_var=var, training=training, momentum=0.3, eps=1e-3
    )
    close(y, theirs)
    close(mean, their_mean)
    close(var, their_var)
    for gradient, tensor in zip(ops.batch_norm_backward(gy, cache), tensors, strict=True):
        close(gradient, tensor.grad)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_local_response_norm(rng, size):
    x, gy = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    tensor = twin(x)
    theirs = functional.local_response_norm(tensor, size, alpha=0.7, beta=0.6, k=1.5)
    theirs.backward(torch.from_numpy(gy))
    y, cache = ops.local_response_norm(x, size=size, alpha=0.7, beta=0.6, k=1.5)
    close(y, theirs)
    close(ops.local_response_norm_backward(gy, cache), tensor.grad)


def test_local_response_norm_has_the_same_defaults(rng):
    x = 50 * rng.normal(size=SHAPE)
    close(ops.local_response_norm(x, size=5)[0], functional.local_response_norm(torch.from_numpy(x), 5))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("ignore_index", [255, 2])
def test_softmax_cross_entropy(rng, weighted, reduction, ignore_index):
    x, target = 4 * rng.normal(size=SHAPE), rng.integers(0, 6, (2, 3, 5))
    target[0, 1, :3] = ignore_index
    weight = rng.uniform(0.2, 3, 6) if weighted else None
    tensor = twin(x)
    theirs = functional.cross_entropy(
        tensor, torch.from_numpy(target), twin(weight, False) if weighted else None,
        ignore_index=ignore_index, reduction=reduction,
    )
    (0.3 * theirs).backward()
    y, cache = ops.softmax_cross_entropy(x, target, weight=weight, ignore_index=ignore_index, reduction=reduction)
    close(y, theirs)
    close(ops.softmax_cross_entropy_backward(0.3, cache), tensor.grad)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean", "valid", "batch"])
def test_softmax_cross_entropy_by_pixel(rng, weighted, reduction):
    """PyTorch has no pixel weights: its losses of single pixels, multiplied and put together here."""
    x, target = 4 * rng.normal(size=SHAPE), rng.integers(0, 6, (2, 3, 5))
    target[0, 1, :3] = 255
    weight = rng.uniform(0.2, 3, 6) if weighted else None
    pixel_weight = rng.uniform(0, 11, target.shape)
    tensor, labels, by_pixel = twin(x), torch.from_numpy(target), twin(pixel_weight, False)
    by_class = twin(weight, False) if weighted else None
    losses = functional.cross_entropy(tensor, labels, by_class, ignore_index=255, reduction="none")  # 0 where void
    valid = labels != 255
    counts = by_pixel[valid] * (by_class[labels[valid]] if weighted else 1)
    divisor = {"sum": 1, "mean": counts.sum(), "valid": valid.sum(), "batch": len(x)}[reduction]
    theirs = (by_pixel * losses).sum() / divisor
    (0.3 * theirs).backward()
    y, cache = ops.softmax_cross_entropy(x, target, weight=weight, pixel_weight=pixel_weight, reduction=reduction)
    close(y, theirs)
    close(ops.softmax_cross_entropy_backward(0.3, cache), tensor.grad)


def test_softmax_cross_entropy_in_float32(rng):
    x, target = (20 * rng.normal(size=(2, 21, 8, 9))).astype(np.float32), rng.integers(0, 21, (2, 8, 9))
    tensor = twin(x)
    theirs = functional.cross_entropy(tensor, torch.from_numpy(target))
    theirs.backward()
    y, cache = ops.softmax_cross_entropy(x, target)
    close(y, theirs, 1e-6)
    np.testing.assert_allclose(ops.softmax_cross_entropy_backward(1.0, cache), tensor.grad, rtol=1e-5, atol=1e-8)


OPTIMIZERS = [
    (lambda p: SGD(p, 0.05), lambda t: torch.optim.SGD(t, 0.05, momentum=0.9)),
    (lambda p: SGD(p, 0.05, 0.0), lambda t: torch.optim.SGD(t, 0.05)),
    (lambda p: SGD(p, 0.05, 0.9, 0.1), lambda t: torch.optim.SGD(t, 0.05, momentum=0.9, weight_decay=0.1)),
    (lambda p: Adam(p), lambda t: torch.optim.Adam(t)),
    (lambda p: Adam(p, 0.1, (0.7, 0.9), 1e-4, 0.2), lambda t: torch.optim.Adam(t, 0.1, (0.7, 0.9), 1e-4, 0.2)),
]


@pytest.mark.parametrize(("ours", "theirs"), OPTIMIZERS)
def test_trajectories(rng, ours, theirs):
    """Fifty steps down a bent valley, the gradient worked out from where each of the two stands."""
    start = rng.normal(size=(3, 4))
    parameter, tensor = Parameter(start.copy()), twin(start)
    optimizer, peer = ours({"w": parameter}), theirs([tensor])
    steepness = np.linspace(0.1, 3, 12).reshape(3, 4)
    for _ in range(50):
        parameter.grad = steepness * parameter.data + 0.3 * np.sin(3 * parameter.data)
        there = tensor.detach().numpy()
        tensor.grad = torch.from_numpy(steepness * there + 0.3 * np.sin(3 * there))
        optimizer.step()
        peer.step()
        close(parameter.data, tensor, 1e-11)
    assert np.abs(parameter.data - start).max() > 0.01
