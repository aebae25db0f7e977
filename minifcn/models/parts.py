"""What several networks are made of: widths, Caffe's multipliers, the heads of classifiers and of dense networks."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import init
from ..coordinates import alignment
from ..graph import Graph
from ..layers import Conv2d, ConvTranspose2d, Crop, Dropout, Flatten, Layer, Linear, ReLU

FC_CHANNELS = 4096  # of fc6 and fc7, in AlexNet and in VGG-16


def check_options(who: str, padding: str, choices: Iterable[str], width: float) -> None:
    """`padding` is one of `choices` and `width` a number above 0. Raises ValueError otherwise."""
    if padding not in choices:
        raise ValueError(f"{who}: expected padding {' or '.join(map(repr, choices))}, got {padding!r}. "
                         f"Choose one of these.")
    check_width(who, width)


def check_width(who: str, width: float) -> None:
    """`width` is a number above 0. Raises ValueError otherwise."""
    if not 0 < width < float("inf"):
        raise ValueError(f"{who}: expected width above 0, got {width}. 1.0 is the paper's, 0.25 suits a laptop.")


def scaled(channels: int, width: float, groups: int = 1) -> int:
    """A layer's channels in a network of `width` (1.0 is the paper's): at least 1, and a multiple of `groups`."""
    return groups * max(1, round(channels * width / groups))


def caffe_biases(layers: Iterable[Layer]) -> None:
    """Biases learn at twice the rate and do not decay, as in the authors' network files."""
    for layer in layers:
        if isinstance(layer, (Conv2d, Linear)) and layer.bias is not None:
            layer.bias.lr_mult, layer.bias.decay_mult = 2.0, 0.0


def add_classifier(
    net: Graph, x: str, features: int, num_classes: int, width: float, rng: np.random.Generator, dtype: Any,
    *, dropout_first: bool = False,
) -> str:
    """The head of AlexNet and VGG-16: `features` numbers an image, two hidden layers, and the scores "fc8"."""
    hidden = scaled(FC_CHANNELS, width)
    x = net.add("flatten", Flatten(), x)
    fc6 = Linear(features, hidden, rng=rng, dtype=dtype)
    x = add_hidden(net, "6", fc6, x, rng, dropout_first=dropout_first)
    fc7 = Linear(hidden, hidden, rng=rng, dtype=dtype)
    x = add_hidden(net, "7", fc7, x, rng, dropout_first=dropout_first)
    return net.add("fc8", Linear(hidden, num_classes, rng=rng, dtype=dtype), x)


def add_hidden(
    net: Graph, number: str, layer: Conv2d | Linear, x: str, rng: np.random.Generator, *, dropout_first: bool = False,
) -> str:
    """fc6 or fc7, fully connected or made a convolution, with its ReLU and dropout; `number` may end in a suffix.

    Dropout comes last, as in Caffe's networks, or first, as in torchvision's AlexNet.
    """
    dropout = Dropout(0.5, rng=rng.spawn(1)[0])
    if dropout_first:
        x = net.add(f"drop{number}", dropout, x)
    x = net.add(f"fc{number}", layer, x)
    x = net.add(f"relu{number}", ReLU(), x)
    return x if dropout_first else net.add(f"drop{number}", dropout, x)


def score(channels: int, num_classes: int, make: dict[str, Any]) -> Conv2d:
    """A 1x1 convolution to class scores that starts at zero."""
    return Conv2d(channels, num_classes, 1, weight_init=init.zero, **make)


def bilinear(num_classes: int, factor: int, make: dict[str, Any], *, kernel_size: int | None = None) -> ConvTranspose2d:
    """Frozen bilinear upsampling: kernel 2*factor unless given, stride factor; each channel goes to itself only."""
    up = ConvTranspose2d(num_classes, num_classes, kernel_size or 2 * factor, stride=factor, bias=False,
                         weight_init=init.bilinear, **make)
    up.weight.lr_mult = 0.0
    return up


def cropped_alike(net: Graph, up: str, other: str) -> tuple[str, str]:
    """Crop whichever of the two reaches further, so that they can be added: the paper crops the skip."""
    offset = alignment(net, other, up)
    if min(offset) >= 0:
        return up, net.add(f"{other}c", Crop(offset), other, up)
    return net.add(f"{up}c", Crop((-offset[0], -offset[1])), up, other), other
