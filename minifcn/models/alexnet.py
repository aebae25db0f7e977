"""AlexNet, in the form that FCN starts from: CaffeNet (Krizhevsky, Sutskever, Hinton 2012; BVLC's reference model).

Five convolutions, three of them in two groups (the two GPUs of 2012), three overlapping poolings, local response
normalisation behind the first two, then three fully connected layers. CaffeNet differs from the paper in one thing: it
pools before it normalises. Layer names, paddings and multipliers are those of Caffe's bvlc_reference_caffenet.

    padding="paper"   as published: crops of 227x227 end in a map of 6x6
    padding="valid"   nothing is padded; the same 6x6, and so the same weights, need a crop of 355x355: all that the
                      classifier can see

Deviations: weights start from He's initialisation and biases at zero (published: Gaussian of 0.01 and 0.005, biases of
some layers at 1), which suits narrow networks too; channels are rounded to even numbers, so that two groups fit.

torchvision's AlexNet is another network of the same build, see `alexnet_torchvision`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Graph
from ..layers import Conv2d, LocalResponseNorm, MaxPool2d, ReLU
from .parts import add_classifier, caffe_biases, check_options, scaled


class Block(NamedTuple):
    """A convolution and what follows its ReLU."""

    channels: int
    kernel_size: int
    stride: int
    padding: int
    groups: int
    pool: bool
    norm: bool


BLOCKS = (
    Block(96, 11, 4, 0, 1, pool=True, norm=True),
    Block(256, 5, 1, 2, 2, pool=True, norm=True),
    Block(384, 3, 1, 1, 1, pool=False, norm=False),
    Block(384, 3, 1, 1, 2, pool=False, norm=False),
    Block(256, 3, 1, 1, 2, pool=True, norm=False),
)
GROUPS = 2  # what every layer's channels are a multiple of
CROPS = {"paper": 227, "valid": 355}  # rows and columns of a crop, by padding: pool5 then has 6
MAP = 6


def alexnet(
    *, num_classes: int = 1000, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """CaffeNet as a classifier.

    Args:
        num_classes: length of a row of scores.
        width: times the paper's channels, in every layer but the scores.
        padding: "paper" or "valid", see above; it decides the size of the crop (CROPS).
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, crop, crop) -> fc8 (N, num_classes). Raises ValueError for another padding or width.
    """
    check_options("alexnet", padding, CROPS, width)
    rng, net = np.random.default_rng(rng), Graph()
    x = add_trunk(net, padded=padding == "paper", width=width, rng=rng, dtype=dtype)
    add_classifier(net, x, top_channels(width) * MAP * MAP, num_classes, width, rng, dtype)
    caffe_biases(net.layers())
    return net


def add_trunk(
    graph: Graph, x: str = "data", *, blocks: Sequence[Block] = BLOCKS, first_padding: int = 0, padded: bool = True,
    ceil_mode: bool = True, width: float = 1.0, rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> str:
    """Add conv1 (padded by `first_padding`) ... pool5 behind value `x`; returns "pool5".

    The other convolutions are padded as published, or not at all. Poolings round up, as Caffe's do, unless `ceil_mode`
    is False.
    """
    rng = np.random.default_rng(rng)
    channels = 3
    for number, block in enumerate(blocks, start=1):
        padding = first_padding if number == 1 else block.padding * padded
        conv = Conv2d(channels, scaled(block.channels, width, GROUPS), block.kernel_size, block.stride, padding,
                      groups=block.groups, rng=rng, dtype=dtype)
        channels = conv.out_channels
        x = graph.add(f"conv{number}", conv, x)
        x = graph.add(f"relu{number}", ReLU(), x)
        if block.pool:
            x = graph.add(f"pool{number}", MaxPool2d(3, stride=2, ceil_mode=ceil_mode), x)
        if block.norm:
            x = graph.add(f"norm{number}", LocalResponseNorm(5, 1e-4, 0.75, 1.0), x)
    return x


def top_channels(width: float, blocks: Sequence[Block] = BLOCKS) -> int:
    """Channels of pool5."""
    return scaled(blocks[-1].channels, width, GROUPS)
