"""Whole networks in all libraries: one training step, and inference.

A training step is forward, loss, backward and an update by SGD with momentum and weight decay, dropout and batch
statistics included. Inference is of a frozen network in evaluation mode. Ours runs as `minifcn.train` and
`minifcn.predict` run it: on the fused graph.
"""

import gc
from collections.abc import Callable
from functools import partial

import numpy as np

import minifcn
from minifcn import Graph, layers, optim
from minifcn.layers import SoftmaxCrossEntropy

from . import networks, onnx_twins
from .cases import EXACT, Case, Dimensions, has_peer
from .clock import Leg
from .inputs import MAIN_MEMORY, Place

LR, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4


def network(dimensions: Dimensions, phase: str, name: str, size: tuple[int, int]) -> Case:
    """One of `networks.build` on images of `size` (H, W); phase "training" or "inference"."""
    h, w = (max(32, round(side * dimensions.scale / 16) * 16) if dimensions.scale != 1 else side for side in size)
    place = dimensions.place
    x, labels = (place.put(array) for array in example(dimensions.batch, h, w, networks.CLASSES[name]))
    build = partial(networks.build, name, dimensions.scale)
    if phase == "training":
        case = Case(partial(our_training, build, x, labels, place))
        if has_peer():
            case.peers = {layout: partial(peer_training, build, x, labels, layout, place) for layout in LAYOUTS}
            case.compared = {
                "ours": partial(our_gradients, build, x, labels, place),
                "default": partial(peer_gradients, build, x, labels, place),
                EXACT: partial(peer_gradients, build, x, labels, place, exact=True),
            }
        return case
    case = Case(partial(our_inference, build, x, place))
    if has_peer():
        case.peers = {layout: partial(peer_inference, build, x, layout, place) for layout in LAYOUTS}
        case.peers[EXACT] = partial(peer_inference, build, x, "default", place, exact=True)
    if place is MAIN_MEMORY and onnx_twins.installed():
        case.peers["onnxruntime"] = partial(onnx_inference, build, x)
    return case


LAYOUTS = ("default", "channels_last")


def example(batch: int, h: int, w: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of noise, and labels of which one in twenty is void."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, 3, h, w), dtype=np.float32)
    labels = rng.integers(0, classes, (batch, h, w)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.05] = 255
    return x, labels


def fused(net: Graph) -> Graph:
    """Convolution, batch norm and ReLU put together where they follow each other, as training and prediction do."""
    fuse: Callable[[Graph], Graph] = getattr(minifcn, "fuse", lambda net: net)
    return fuse(net)


def our_training(
    build: Callable[[], Graph], x: np.ndarray, labels: np.ndarray, place: Place = MAIN_MEMORY
) -> Leg:
    net = fused(build()).to(device=place.device).train()
    criterion = SoftmaxCrossEntropy()
    optimizer = optim.SGD(net.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)

    def step(call: int) -> np.ndarray:
        scores = net.forward(x, record=True)
        loss = criterion.forward(scores, labels, record=True)
        gscores, _ = criterion.backward(1.0)
        del scores  # nobody needs them any more; PyTorch keeps them no longer either
        net.backward(gscores, needs=(False,))  # nobody wants the gradient of the photograph
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return Leg(step)


def peer_training(
    build: Callable[[], Graph], x: np.ndarray, labels: np.ndarray, layout: str, place: Place = MAIN_MEMORY
) -> Leg:
    import torch

    from . import peers, twins

    net = build()
    twin = twins.Twin(net).to(place.device)
    optimizer = twins.sgd(net, twin, LR, MOMENTUM, DECAY)
    del net
    gc.collect()
    if layout == "channels_last":
        twin.to(memory_format=torch.channels_last)
    images, targets = peers.tensor(x, layout), peers.tensor(labels)

    def step(call: int) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(twin(images), targets, ignore_index=255)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Leg(step)


def our_gradients(build: Callable[[], Graph], x: np.ndarray, labels: np.ndarray, place: Place) -> Leg:
    """The loss and the gradient of every parameter, for comparisons: without dropout and without an update."""
    net = fused(without_dropout(build())).to(device=place.device).train()
    criterion = SoftmaxCrossEntropy()

    def run(call: int) -> list:
        loss = criterion.forward(net.forward(x, record=True), labels, record=True)
        net.backward(criterion.backward(1.0)[0], needs=(False,))
        gradients = [p.grad for p in net.parameters().values() if p.trains]
        for parameter in net.parameters().values():
            parameter.grad = None
        return [loss, *gradients]

    return Leg(run)


def peer_gradients(
    build: Callable[[], Graph], x: np.ndarray, labels: np.ndarray, place: Place, exact: bool = False
) -> Leg:
    import torch

    from . import peers, twins

    net = without_dropout(build())
    twin = twins.Twin(net).to(place.device, torch.float64 if exact else torch.float32)
    trained = [twin.get_parameter(f"steps.{name}") for name, ours in net.parameters().items() if ours.trains]
    images, targets = peers.tensor(x, dtype=torch.float64 if exact else None), peers.tensor(labels)

    def run(call: int) -> list:
        loss = torch.nn.functional.cross_entropy(twin(images), targets, ignore_index=255)
        return [loss.detach(), *torch.autograd.grad(loss, trained)]

    return Leg(run)


def our_inference(build: Callable[[], Graph], x: np.ndarray, place: Place = MAIN_MEMORY) -> Leg:
    net = fused(build().eval()).to(device=place.device).eval().freeze()
    return Leg(lambda call: net.forward(x, record=False))


def peer_inference(
    build: Callable[[], Graph], x: np.ndarray, layout: str, place: Place = MAIN_MEMORY, exact: bool = False
) -> Leg:
    import torch

    from . import peers, twins

    twin = twins.Twin(build().eval()).to(place.device)
    gc.collect()
    dtype = torch.float64 if exact else None
    if exact:
        twin.double()
    if layout == "channels_last":
        twin.to(memory_format=torch.channels_last)
    images = peers.tensor(x, layout, dtype)

    def infer(call: int) -> torch.Tensor:
        with torch.inference_mode():
            return twin(images)

    return Leg(infer)


def onnx_inference(build: Callable[[], Graph], x: np.ndarray, threads: int = 1) -> Leg:
    """The number of threads is fixed when the session is made."""
    infer = onnx_twins.session(build().eval(), x.shape, threads)
    return Leg(lambda call: infer(x))


def without_dropout(net: Graph) -> Graph:
    """For comparisons: the same network, in which training draws no random numbers."""
    for layer in net.layers():
        if isinstance(layer, layers.Dropout):
            layer.p = 0.0
    return net
