"""Cases of the passes that memory limits: pooling, normalisation, activation, loss, updates.

Their `traffic` is what must be read and written at the very least, each array once for each time that the arithmetic
needs all of it. Divided by the time it is held against a copy of as many bytes, measured in the same turns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minifcn import ops, optim
from minifcn.layers import Parameter

from .cases import EXACT, Case, Dimensions, Pass, has_peer
from .clock import Leg
from .inputs import aligned

NUMBER = 4.0  # bytes of a float32 or an int32
SELDOM = 1e-9  # as good as never
ALIKE = ("default",)  # where the layout changes nothing but the order of the numbers


def _maps(dimensions: Dimensions, channels: int, size: int) -> tuple[int, int, int, int]:
    h = dimensions.size(size)
    return dimensions.batch, dimensions.channels(channels), h - h % 2, h - h % 2


def max_pool(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """2x2, stride 2, with indices; the backward pass scatters into the large map."""
    rng, place = np.random.default_rng(0), dimensions.place
    n, c, h, w = _maps(dimensions, channels, size)
    backward = phase == "backward"
    case = Pass(
        lambda x: ops.max_pool2d(x, kernel_size=2, return_indices=True), ops.max_pool2d_backward,
        "max_pool2d_values" if backward else "max_pool2d", [(x,) for x in place.several(rng, n, c, h, w)],
        gys=place.several(rng, n, c, h // 2, w // 2) if backward else (), needs=(True,),
    )
    return case.case(phase, traffic=NUMBER * n * c * h * w * 1.5)  # the large map, and a quarter twice


def max_unpool(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """To size x size, the places those of a real pooling."""
    rng, place = np.random.default_rng(0), dimensions.place
    n, c, h, w = _maps(dimensions, channels, size)
    inputs = [ops.max_pool2d(x, kernel_size=2, return_indices=True)[0] for x in place.several(rng, n, c, h, w)]
    case = Pass(
        lambda x, indices: ops.max_unpool2d(x, indices, output_size=(h, w)), ops.max_unpool2d_backward,
        "max_unpool2d", inputs, gys=place.several(rng, n, c, h, w) if phase == "backward" else (), needs=(True,),
    )
    return case.case(phase, traffic=NUMBER * n * c * h * w * 1.5)


def avg_pool(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """3x3, stride 2, padding 1, as networks pool that keep half of the size; padding counts as pixels."""
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    n, c, h, w = _maps(dimensions, channels, size)
    forward, backward = ops.avg_pool2d, ops.avg_pool2d_backward
    return _resized(dimensions, phase, forward, backward, "avg_pool2d", options, (n, c, h, w), (h // 2, w // 2))


def adaptive_avg_pool(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """To 6x6, a level of PSPNet's pyramid: the windows overlap where 6 does not divide the size."""
    shape = _maps(dimensions, channels, size)
    forward, backward = ops.adaptive_avg_pool2d, ops.adaptive_avg_pool2d_backward
    return _resized(dimensions, phase, forward, backward, "adaptive_avg_pool2d", {"output_size": (6, 6)}, shape, (6, 6))


def resize(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """Bilinear, to twice the size."""
    n, c, h, w = _maps(dimensions, channels, size)
    larger = (2 * h, 2 * w)
    forward, backward, options = ops.resize_bilinear, ops.resize_bilinear_backward, {"output_size": larger}
    return _resized(dimensions, phase, forward, backward, "resize_bilinear", options, (n, c, h, w), larger)


def _resized(
    dimensions: Dimensions, phase: str, forward: Callable, backward: Callable, peer: str, options: dict[str, Any],
    shape: tuple[int, ...], output_size: tuple[int, int],
) -> Case:
    """A linear map of each plane to another size: either phase reads one of the two maps and writes the other."""
    rng, place = np.random.default_rng(0), dimensions.place
    result = (*shape[:2], *output_size)
    case = Pass(
        lambda x: forward(x, **options), backward, peer, [(x,) for x in place.several(rng, *shape)], options=options,
        gys=place.several(rng, *result) if phase == "backward" else (), needs=(True,),
    )
    return case.case(phase, traffic=NUMBER * (np.prod(shape) + np.prod(result)))


def local_response_norm(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """AlexNet's: 5 channels, alpha 1e-4, beta 0.75."""
    rng, place = np.random.default_rng(0), dimensions.place
    shape = _maps(dimensions, channels, size)
    options: dict[str, Any] = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
    case = Pass(
        lambda x: ops.local_response_norm(x, **options), ops.local_response_norm_backward, "local_response_norm",
        [(x,) for x in place.several(rng, *shape)], options=options, gys=place.several(rng, *shape), needs=(True,),
    )
    return case.case(phase, traffic=NUMBER * np.prod(shape) * (3 if phase == "forward" else 4))


def batch_norm(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """In training. The backward pass gives gradients of input, scale and shift."""
    rng, place = np.random.default_rng(0), dimensions.place
    shape = _maps(dimensions, channels, size)
    c = shape[1]
    running = {"running_mean": place.put(np.zeros(c, np.float32)), "running_var": place.put(np.ones(c, np.float32))}
    case = Pass(
        lambda x, weight, bias: ops.batch_norm(x, weight, bias, training=True, **running), ops.batch_norm_backward,
        "batch_norm", [(x,) for x in place.several(rng, *shape)], (place.normal(rng, c), place.normal(rng, c)),
        gys=place.several(rng, *shape), needs=(True, True, True),
    )
    return case.case(phase, traffic=NUMBER * np.prod(shape) * (3 if phase == "forward" else 5))


def relu(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """Not in place, on either side."""
    rng, place = np.random.default_rng(0), dimensions.place
    shape = _maps(dimensions, channels, size)
    case = Pass(
        ops.relu, ops.relu_backward, "relu", [(x,) for x in place.several(rng, *shape)], gys=place.several(rng, *shape),
        needs=(True,), layouts=ALIKE,
    )
    return case.case(phase, traffic=NUMBER * np.prod(shape) * (2 if phase == "forward" else 3))


def dropout(dimensions: Dimensions, phase: str, channels: int, size: int) -> Case:
    """In training, but nothing is dropped, or the sides would drop other numbers. Each is asked all the same: ours at
    p = 0, PyTorch, which has a short cut there, at SELDOM. Ours keeps no mask, and makes all chances again backward.
    """
    rng, place = np.random.default_rng(0), dimensions.place
    shape = _maps(dimensions, channels, size)
    case = Pass(
        lambda x: ops.dropout(x, p=0, rng=0, training=True), ops.dropout_backward, "dropout",
        [(x,) for x in place.several(rng, *shape)], options={"p": SELDOM}, gys=place.several(rng, *shape),
        needs=(True,), layouts=ALIKE,
    )
    return case.case(phase, traffic=NUMBER * np.prod(shape) * 2)


def cross_entropy(dimensions: Dimensions, classes: int, size: int) -> Case:
    """Softmax, cross-entropy and its gradient; one pixel in twenty is void."""
    rng, place = np.random.default_rng(0), dimensions.place
    n, c, h, w = _maps(dimensions, classes, size)
    inputs = []
    for x in place.several(rng, n, c, h, w):
        labels = rng.integers(0, c, (n, h, w), dtype=np.int32)
        labels[rng.random(labels.shape) < 0.05] = 255
        inputs.append((x, place.put(labels)))
    case = Pass(ops.softmax_cross_entropy, ops.softmax_cross_entropy_backward, "cross_entropy", inputs)
    return case.case("both", traffic=NUMBER * n * h * w * (3 * c + 2))


def update(dimensions: Dimensions, kind: str) -> Case:
    """One step of SGD or Adam on as many numbers as the convolutions of VGG-16 have, in a few large arrays."""
    rng, place = np.random.default_rng(0), dimensions.place
    shapes = [(dimensions.channels(512), dimensions.channels(512), 3, 3)] * 6
    start = [(place.normal(rng, *shape, std=0.1), place.normal(rng, *shape)) for shape in shapes]  # with gradients
    settings = {"sgd": {"lr": 1e-4, "momentum": 0.9, "weight_decay": 5e-4}, "adam": {"lr": 1e-4, "weight_decay": 5e-4}}
    options: dict[str, Any] = settings[kind]
    peers = {name: (lambda name=name: _peer_update(start, kind, options, name)) for name in ("default", "fused", EXACT)}
    arrays = {"sgd": 5, "adam": 7}[kind]  # reads parameter, gradient and memory; writes all but the gradient
    traffic = NUMBER * arrays * sum(data.size for data, _ in start)
    return Case(lambda: _our_update(start, kind, options), peers if has_peer() else {}, traffic=traffic)


def _our_update(start: list, kind: str, options: dict) -> Leg:
    parameters = {}
    for index, (data, gradient) in enumerate(start):
        parameters[str(index)] = Parameter(_copy(data))
        parameters[str(index)].grad = gradient
    optimizer = {"sgd": optim.SGD, "adam": optim.Adam}[kind](parameters, **options)

    def run(call: int) -> list:
        optimizer.step()
        return [p.data for p in parameters.values()]

    return Leg(run)


def _copy(data: Any) -> Any:
    if isinstance(data, np.ndarray):
        own = aligned(data.shape)
        own[...] = data
        return own
    return data.copy()  # a device's allocations are aligned


def _peer_update(start: list, kind: str, options: dict, setting: str) -> Leg:
    import torch

    from . import peers

    parameters = []
    for data, gradient in start:
        dtype = torch.float64 if setting == EXACT else None
        parameters.append(peers.tensor(data, dtype=dtype).clone().requires_grad_())
        parameters[-1].grad = peers.tensor(gradient, dtype=dtype)
    fused = {"fused": True} if setting == "fused" else {}
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind](parameters, **options, **fused)

    def run(call: int) -> list:
        optimizer.step()
        return [p.detach() for p in parameters]

    return Leg(run)
