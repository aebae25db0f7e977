"""The gradient check of a whole network, by samples, with its kinks under watch.

A network has far too many numbers to probe each, and thousands of ReLUs and pooling windows, one of which may switch
under any probe. So some elements of each tensor are probed, then a few random directions through all of them; a probe
that changes which ReLUs are open, or which pixel won a window, is drawn again.
"""

from typing import Any

import numpy as np

from .. import init
from ..enlarging import size_taken
from ..gradients.report import GradientReport
from ..graph import Graph
from ..layers import Layer, LeakyReLU, MaxPool2d, PReLU, ReLU
from ..testing import check_gradients, tie_free

SAMPLES = 20  # elements of each tensor
INPUT_SIZE = (37, 50)  # no multiple of any network's stride, where that can be
WIDTH = 1 / 16  # times the published number of channels


class Watched:
    """A Graph that notes at each forward on which side of its kinks it was: see `patterns`."""

    def __init__(self, net: Graph) -> None:
        self._net, self._seen = net, []  # type: tuple[Graph, list[Any]]
        self.backward, self.parameters = net.backward, net.parameters
        self.buffers, self.reseed = net.buffers, net.reseed
        self._watched = [layer for layer in net.layers() if isinstance(layer, (ReLU, LeakyReLU, PReLU, MaxPool2d))]

    def __repr__(self) -> str:
        return (self._net.architecture or {}).get("model", "Graph")

    def forward(self, *xs: Any, record: bool) -> Any:
        self._seen.clear()
        for layer in self._watched:
            layer._forward = self._noting(layer)  # type: ignore[method-assign]
        try:
            return self._net.forward(*xs, record=record)
        finally:
            for layer in self._watched:
                del layer._forward  # the class's own method is back

    def patterns(self) -> list[Any]:
        """Of the last forward: for each ReLU where it was open, for each max-pooling the winners' places."""
        return list(self._seen)

    def _noting(self, layer: Layer) -> Any:
        """The layer's own `_forward`, with a look at what it did."""
        own = layer._forward

        def relu(x: Any, *more: Any) -> Any:
            self._seen.append(x > 0)
            return own(x, *more)

        def pool(x: Any) -> Any:
            wanted, layer.return_indices = layer.return_indices, True  # type: ignore[attr-defined]
            try:
                (y, record), cache = own(x)
            finally:
                layer.return_indices = wanted  # type: ignore[attr-defined]
            self._seen.append(record.indices)
            return ((y, record) if wanted else y), cache

        return pool if isinstance(layer, MaxPool2d) else relu


def randomise(net: Graph, rng: np.random.Generator) -> None:
    """No trained number is left at zero.

    A score layer that starts at zero sends no gradient down, and a zero bias in a padded border puts ReLU on its kink.
    """
    for parameter in net.parameters().values():
        if not parameter.trains:
            continue
        data = parameter.data
        if data.ndim == 1:  # biases, batch norm's scales
            parameter.data = data + rng.normal(0, 0.1, data.shape).astype(data.dtype)
        elif not data.any():
            parameter.data = init.he(data.shape, rng, data.dtype)


def check_network(
    net: Graph, *xs: Any, samples: int = SAMPLES, rng: int | np.random.Generator = 0, **settings: Any,
) -> GradientReport:
    """`check_gradients` by samples for a Graph in float64, with its kinks under watch.

    `settings` are those of `check_gradients`. Call `randomise` first if parts of the network are still zero.
    """
    watched = Watched(net)
    return check_gradients(watched, *xs, samples=samples, rng=rng, patterns=watched.patterns, **settings)


def check_model(name: str, **settings: Any) -> GradientReport:
    """`check_network` for a model of the registry: 1/16 of its width, same padding, random weights everywhere."""
    from ..models import MODELS, build, same_padding

    net = build(name, num_classes=4, width=WIDTH, rng=0, dtype=np.float64, **same_padding(name))
    randomise(net, np.random.default_rng(1))
    model = MODELS[name]
    size = (model.crops["paper"],) * 2 if model.crops else size_taken(net, INPUT_SIZE)  # a classifier takes no other
    images = 1 if model.crops else 2
    xs = [tie_free((images, channels, *size)) for channels in model.channels]
    return check_network(net, *xs, **settings)
