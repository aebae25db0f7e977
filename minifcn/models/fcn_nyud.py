"""FCN-32s for NYUDv2, rooms in colour and depth: the two mixed in the first layer, or in the scores of two streams.

Long, Shelhamer, Darrell, CVPR 2015 (arXiv 1411.4038), section 5.2; names and numbers are those of the authors'
nyud-fcn32s-color-d and nyud-fcn32s-color-hha. The network for colour alone, or for HHA alone, is `fcn32s` with 40
classes.

    early fusion    one network whose first convolution, conv1_1_bgrd, reads four channels: colour and log depth
    late fusion     two networks, every name with "color" or "hha" behind it; their scores are averaged, then upsampled

HHA is depth as three channels: disparity, height above ground, angle with gravity (Gupta et al. 2014). The paper says
that the two scores are summed; the authors' file takes half of each, and so does this one.

How they start is surgery:

    transplant(with_depth(color.state()), early)          # which `minifcn train --from` does by itself
    transplant(color, late, suffix="color", skip=["upscore"]), transplant(hha, late, suffix="hha", skip=["upscore"])

Deviations: those of `fcn`. Colour and depth come as one input "data" here, the authors join the two in the network.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..coordinates import alignment
from ..graph import Graph
from ..kernels import array_module
from ..layers import Add, Crop, Scale
from ..ops.check import Array
from .fcn import add_features, add_scores
from .parts import FC_CHANNELS, bilinear, caffe_biases, scaled, score

STREAMS = ("color", "hha")


def fcn32s_early(
    *, num_classes: int = 40, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """Early fusion: data (N, 4, H, W), colour and log depth -> score (N, num_classes, H, W). Options: see `fcn`."""
    rng, net = np.random.default_rng(rng), Graph()
    make: dict[str, Any] = {"width": width, "rng": rng, "dtype": dtype}
    x = add_features(net, "data", padding=padding, in_channels=4, first="conv1_1_bgrd", **make)
    add_scores(net, x, num_classes, **make)
    caffe_biases(net.layers())
    return net


def fcn32s_late(
    *, num_classes: int = 40, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """Late fusion: color and hha (N, 3, H, W) -> score (N, num_classes, H, W). Options: see `fcn`."""
    rng, net = np.random.default_rng(rng), Graph(STREAMS)
    make: dict[str, Any] = {"rng": rng, "dtype": dtype}
    scores = []
    for stream in STREAMS:
        x = add_features(net, stream, padding=padding, width=width, suffix=stream, **make)
        scores.append(net.add(f"score_fr{stream}", score(scaled(FC_CHANNELS, width), num_classes, make), x))
    x = net.add("score_sum", Add(), *scores)
    x = net.add("score_fused", Scale(0.5), x)
    x = net.add("upscore", bilinear(num_classes, 32, make), x)
    net.add("score", Crop(alignment(net, x, "color")), x, "color")
    caffe_biases(net.layers())
    return net


def with_depth(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a network for colour as those of early fusion: depth gets the mean of the three colours' filters.

    Args:
        arrays: by dotted name, such as `net.state()` has them; conv1_1.weight is (O, 3, 3, 3).

    Returns the same arrays, but for conv1_1's, which become conv1_1_bgrd's, (O, 4, 3, 3) and (O,). Raises KeyError if
    there is no conv1_1. Source: the authors' nyud-fcn32s-color-d/solve.py.
    """
    others = {name: array for name, array in arrays.items() if name.rpartition(".")[0] != "conv1_1"}
    color = arrays["conv1_1.weight"]
    weight = array_module(color).concatenate([color, color.mean(axis=1, keepdims=True)], axis=1)
    return {"conv1_1_bgrd.weight": weight, "conv1_1_bgrd.bias": arrays["conv1_1.bias"], **others}
