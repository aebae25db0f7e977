"""VGG-16's convolutions (Simonyan, Zisserman 2015, arXiv 1409.1556, table 1, column D): thirteen of 3x3, five poolings.

What the fully convolutional networks stand on. The classifier's own head is not here.
"""

from typing import Any

import numpy as np

from ..graph import Graph
from ..layers import Conv2d, MaxPool2d, ReLU

# Channels of each convolution, block by block; a 2x2 max-pooling follows each block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def scaled(channels: int, width: float) -> int:
    """A layer's channels in a network of `width` (1.0 is the paper's), at least 1."""
    return max(1, round(channels * width))


def add_trunk(
    graph: Graph, x: str = "data", *, first_padding: int = 1, width: float = 1.0,
    rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> str:
    """Add conv1_1 ... pool5 behind value `x`; returns "pool5".

    Poolings round up, as Caffe's do: with an odd size the last window hangs over the end.
    """
    rng = np.random.default_rng(rng)
    channels = 3
    for block, filters in enumerate(BLOCKS, start=1):
        for index, count in enumerate(filters, start=1):
            padding = first_padding if (block, index) == (1, 1) else 1
            conv = Conv2d(channels, scaled(count, width), 3, padding=padding, rng=rng, dtype=dtype)
            channels = conv.out_channels
            x = graph.add(f"conv{block}_{index}", with_caffe_multipliers(conv), x)
            x = graph.add(f"relu{block}_{index}", ReLU(), x)
        x = graph.add(f"pool{block}", MaxPool2d(2, stride=2, ceil_mode=True), x)
    return x


def with_caffe_multipliers(layer: Conv2d) -> Conv2d:
    """Biases learn at twice the rate and do not decay, as in the authors' network files."""
    if layer.bias is not None:
        layer.bias.lr_mult, layer.bias.decay_mult = 2.0, 0.0
    return layer
