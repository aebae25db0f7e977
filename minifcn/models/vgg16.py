"""VGG-16 (Simonyan, Zisserman 2015, arXiv 1409.1556, table 1, column D): thirteen convolutions of 3x3, five poolings.

Its convolutions, up to pool5, are what the fully convolutional networks stand on; with three fully connected layers
behind them it classifies whole images. Layer names are those of the authors' Caffe files.

    padding="paper"   every convolution is padded by 1 and keeps its size; crops of 224x224 end in a map of 7x7
    padding="valid"   nothing is padded; the same 7x7, and so the same weights, need a crop of 404x404: all that the
                      classifier can see

Deviation: weights start from He's initialisation (the paper starts from shallower networks that it trained before).
"""

from typing import Any

import numpy as np

from ..graph import Graph
from ..layers import Conv2d, MaxPool2d, ReLU
from .parts import add_classifier, caffe_biases, check_options, scaled

# Channels of each convolution, block by block; a 2x2 max-pooling follows each block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CROPS = {"paper": 224, "valid": 404}  # rows and columns of a crop, by padding: pool5 then has 7
MAP = 7


def vgg16(
    *, num_classes: int = 1000, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """VGG-16 as a classifier.

    Args:
        num_classes: length of a row of scores.
        width: times the paper's channels, in every layer but the scores.
        padding: "paper" or "valid", see above; it decides the size of the crop (CROPS).
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, crop, crop) -> fc8 (N, num_classes). Raises ValueError for another padding or width.
    """
    check_options("vgg16", padding, CROPS, width)
    rng, net, pad = np.random.default_rng(rng), Graph(), int(padding == "paper")
    x = add_trunk(net, first_padding=pad, padding=pad, width=width, rng=rng, dtype=dtype)
    add_classifier(net, x, scaled(BLOCKS[-1][-1], width) * MAP * MAP, num_classes, width, rng, dtype)
    caffe_biases(net.layers())
    return net


def add_trunk(
    graph: Graph, x: str = "data", *, first_padding: int = 1, padding: int = 1, width: float = 1.0,
    in_channels: int = 3, first: str = "conv1_1", suffix: str = "", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> str:
    """Add conv1_1 (padded by `first_padding`, the others by `padding`) ... pool5 behind value `x`; returns "pool5".

    Poolings round up, as Caffe's do: with an odd size the last window hangs over the end. `first` is another name for
    conv1_1, where it reads other channels; `suffix` stands behind all names, where a network has several streams.
    """
    rng = np.random.default_rng(rng)
    channels = in_channels
    for block, filters in enumerate(BLOCKS, start=1):
        for index, count in enumerate(filters, start=1):
            pad = first_padding if (block, index) == (1, 1) else padding
            conv = Conv2d(channels, scaled(count, width), 3, padding=pad, rng=rng, dtype=dtype)
            channels = conv.out_channels
            name = first if (block, index) == (1, 1) else f"conv{block}_{index}"
            x = graph.add(f"{name}{suffix}", conv, x)
            x = graph.add(f"relu{block}_{index}{suffix}", ReLU(), x)
        x = graph.add(f"pool{block}{suffix}", MaxPool2d(2, stride=2, ceil_mode=True), x)
    return x
