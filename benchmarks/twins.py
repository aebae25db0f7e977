"""A Graph's twin in PyTorch: the same layers, the same weights, torch.nn and autograd.

Because a Graph is data, its twin need not be written by hand: each of our layers is looked up in a table, and the
values are passed on by the same names. The twin is what PyTorch's users would write: torch.nn modules, ReLU in place,
and values forgotten after their last use.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from minifcn import Graph, layers
from minifcn.layers import Layer


class Twin(nn.Module):
    """Takes what the Graph takes, gives what it gives (one input, one output)."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        nodes = graph.needed_nodes()
        self.wiring = [(node.name, node.inputs, node.values) for node in nodes]  # not the layers: their arrays may go
        self.readers = Counter(value for node in nodes for value in node.inputs)
        self.steps = nn.ModuleDict({
            node.name: translate(node.layer, alone=self.readers[node.inputs[0]] == 1) for node in nodes
        })
        (self.input,), (self.output,) = graph.inputs, graph.outputs
        self.train(graph.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: dict[str, Any] = {self.input: x}
        readers = self.readers.copy()
        for name, inputs, outputs in self.wiring:
            arguments = [values[value] for value in inputs]
            for value in inputs:
                readers[value] -= 1
                if not readers[value]:
                    values.pop(value, None)
            y = self.steps[name](*arguments)
            del arguments
            values.update(zip(outputs, y if len(outputs) > 1 else (y,), strict=True))
        return values[self.output]


def sgd(net: Graph, twin: Twin, lr: float, momentum: float, decay: float) -> torch.optim.Optimizer:
    """PyTorch's update in one fused pass, with the learning rates and decays of the Graph's parameters."""
    groups = []
    for name, ours in net.parameters().items():
        theirs = twin.get_parameter(f"steps.{name}")
        theirs.requires_grad_(ours.trains)
        if ours.trains:
            groups.append({"params": [theirs], "lr": lr * ours.lr_mult, "weight_decay": decay * ours.decay_mult})
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True)


def translate(layer: Layer, alone: bool) -> nn.Module:
    """The torch.nn module for one of our layers; `alone`: nobody else reads its input, so it may be overwritten."""
    if isinstance(layer, layers.ReLU):
        return nn.ReLU(inplace=alone)
    module = TABLE[type(layer)](layer)
    arrays = {name: parameter.data for name, parameter in layer.parameters().items()} | layer.buffers()
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(module, name).copy_(torch.from_numpy(array))
    return module


class Unpool(nn.Module):
    """Max-unpooling to the size in the pooling's record."""

    def forward(self, x: torch.Tensor, record: tuple) -> torch.Tensor:
        indices, size = record
        return nn.functional.max_unpool2d(x, indices, 2, output_size=size)


class Pool(nn.MaxPool2d):
    """Max-pooling whose second result, if there is one, knows the size that was pooled."""

    def forward(self, x: torch.Tensor) -> Any:
        y = super().forward(x)
        return (y[0], (y[1], tuple(x.shape[2:]))) if self.return_indices else y


class Crop(nn.Module):
    def __init__(self, layer: layers.Crop) -> None:
        super().__init__()
        self.offset = layer.offset

    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        (top, left), (h, w) = self.offset, like.shape[2:]
        return x[:, :, top : top + h, left : left + w]


class Add(nn.Module):
    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return sum(xs[1:], xs[0])


class Concat(nn.Module):
    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return torch.cat(xs, dim=1)


def _conv(layer: Any) -> nn.Module:
    return _weighted(nn.Conv2d, layer)


def _conv_transpose(layer: Any) -> nn.Module:
    return _weighted(nn.ConvTranspose2d, layer)


def _weighted(kind: type, layer: Any) -> nn.Module:
    top, bottom, left, right = layer.padding
    assert (top, left) == (bottom, right)
    return nn.utils.skip_init(  # not drawn at random first: our weights are copied in
        kind, layer.in_channels, layer.out_channels, layer.kernel_size, stride=layer.stride, padding=(top, left),
        dilation=layer.dilation, groups=layer.groups, bias=layer.bias is not None,
    )


def _max_pool(layer: Any) -> nn.Module:
    return Pool(layer.kernel_size, layer.stride, return_indices=layer.return_indices, ceil_mode=layer.ceil_mode)


TABLE: dict[type, Callable[[Any], nn.Module]] = {
    layers.Conv2d: _conv,
    layers.ConvTranspose2d: _conv_transpose,
    layers.MaxPool2d: _max_pool,
    layers.MaxUnpool2d: lambda layer: Unpool(),
    layers.BatchNorm2d: lambda layer: nn.BatchNorm2d(layer.num_features, eps=layer.eps, momentum=layer.momentum),
    layers.LocalResponseNorm: lambda layer: nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k),
    layers.Dropout: lambda layer: nn.Dropout(layer.p),
    layers.Add: lambda layer: Add(),
    layers.Concat: lambda layer: Concat(),
    layers.Crop: Crop,
}
