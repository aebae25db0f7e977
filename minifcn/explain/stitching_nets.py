"""The networks that `minifcn stitch` shows the equality with: narrow, of strides 2, 4, 8 and 32, with random weights.

Strides 2, 8 and 32 are the beginning of VGG-16 in small: 3x3 convolutions, and poolings that round up. Stride 4 is that
of AlexNet: a strided convolution, normalisation across channels, a pooling of 3x3 whose windows overlap.
"""

from typing import Any

import numpy as np

from .. import init
from ..graph import Graph
from ..layers import Conv2d, LocalResponseNorm, MaxPool2d, ReLU

STRIDES = (2, 4, 8, 32)
CLASSES, CHANNELS = 5, 6
# The first padding, without and with padding inside: room for what is not padded, as the published nets' 100 is.
ROOM = {2: (1, 1), 4: (8, 8), 8: (12, 4), 32: (53, 20)}


def narrow_net(stride: int, padded: bool, rng: int | np.random.Generator = 0, dtype: Any = np.float32) -> Graph:
    """A Graph of data (N, 3, H, W) -> score (N, 5, h, w), every `stride`-th pixel scored.

    Args:
        stride: one of STRIDES.
        padded: whether the convolutions behind the first pad by 1.
        rng: of the weights; none of them, and no bias, is zero.
        dtype: float32 or float64.
    """
    if stride not in STRIDES:
        raise ValueError(f"narrow_net: expected a stride among {', '.join(map(str, STRIDES))}, got {stride}. "
                         f"Choose one of these.")
    make = {"rng": np.random.default_rng(rng), "dtype": dtype, "bias_init": init.gaussian(0.1)}
    add = _alexnet_like if stride == 4 else _vgg_like
    net = add(stride, int(padded), make)
    net.eval()
    return net


def _vgg_like(stride: int, padding: int, make: dict[str, Any]) -> Graph:
    net, channels = Graph(), 3
    x = "data"
    for block in range(1, stride.bit_length()):
        for number in range(1, 3 if block == 1 else 2):  # two in the first block: its own padding is on the canvas
            conv = Conv2d(channels, CHANNELS, 3, padding=ROOM[stride][padding] if x == "data" else padding, **make)
            x = net.add(f"conv{block}_{number}", conv, x)
            x = net.add(f"relu{block}_{number}", ReLU(), x)
            channels = CHANNELS
        x = net.add(f"pool{block}", MaxPool2d(2, ceil_mode=True), x)
    return _with_scores(net, x, padding, make)


def _alexnet_like(stride: int, padding: int, make: dict[str, Any]) -> Graph:
    net = Graph()
    x = net.add("conv1", Conv2d(3, CHANNELS, 5, stride=2, padding=ROOM[stride][padding], **make), "data")
    x = net.add("relu1", ReLU(), x)
    x = net.add("norm1", LocalResponseNorm(3), x)
    x = net.add("conv2", Conv2d(CHANNELS, CHANNELS, 5, padding=2 * padding, groups=2, **make), x)
    x = net.add("relu2", ReLU(), x)
    x = net.add("pool2", MaxPool2d(3, stride=2, ceil_mode=True), x)
    return _with_scores(net, x, padding, make)


def _with_scores(net: Graph, x: str, padding: int, make: dict[str, Any]) -> Graph:
    x = net.add("fc6", Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=padding, **make), x)
    x = net.add("relu6", ReLU(), x)
    net.add("score", Conv2d(2 * CHANNELS, CLASSES, 1, **make), x)
    return net
