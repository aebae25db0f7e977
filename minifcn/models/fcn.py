"""FCN-32s, FCN-16s and FCN-8s on VGG-16: "Fully Convolutional Networks for Semantic Segmentation".

Long, Shelhamer, Darrell, CVPR 2015 (arXiv 1411.4038) and PAMI 2017 (arXiv 1605.06211); layer names, paddings, crops and
multipliers are those of the authors' network files (shelhamer/fcn.berkeleyvision.org).

A classifier is made convolutional: its fully connected layers become a 7x7 and two 1x1 convolutions, so that it scores
every 32nd pixel. FCN-32s upsamples these scores at once. FCN-16s and FCN-8s add scores of pool4 and pool3, which see
less but more finely, on the way up. All upsamplings are bilinear and frozen.

    padding="paper"   the first convolution is padded by 100, which leaves room for the unpadded 7x7 of fc6 whatever
                      the image's size; crops cut the surplus away
    padding="same"    1 instead of 100, and 3 for fc6: far less to compute on a small image, and the same names

Deviations: without VGG's published weights the trunk starts from He's initialisation instead; score layers start at
zero as in the paper. At `width` 1.0 and padding "paper" everything else is as published.
"""

from typing import Any

import numpy as np

from ..coordinates import alignment
from ..graph import Graph
from ..layers import Add, Conv2d, Crop, Scale
from .parts import FC_CHANNELS, add_hidden, bilinear, caffe_biases, check_options, cropped_alike, scaled, score
from .vgg16 import BLOCKS, add_trunk

PADDINGS = {"paper": (100, 0), "same": (1, 3)}  # of conv1_1 and of fc6


def fcn32s(**options: Any) -> Graph:
    """Scores at stride 32, upsampled 32 times. Options: see `_fcn`."""
    return _fcn((), **options)


def fcn16s(**options: Any) -> Graph:
    """Scores of stride 32 and pool4's of stride 16, added, upsampled 16 times. Options: see `_fcn`."""
    return _fcn(("pool4",), **options)


def fcn8s(**options: Any) -> Graph:
    """Scores of stride 32, pool4's of stride 16 and pool3's of stride 8. Options: see `_fcn`."""
    return _fcn(("pool4", "pool3"), **options)


def fcn8s_atonce(**options: Any) -> Graph:
    """FCN-8s trained in one go: pool4 and pool3 are scaled down, so that the skips learn no faster than the trunk."""
    return _fcn(("pool4", "pool3"), skip_scales={"pool4": 0.01, "pool3": 0.0001}, **options)


def _fcn(
    skips: tuple[str, ...], *, num_classes: int = 21, width: float = 1.0, padding: str = "paper",
    skip_scales: dict[str, float] | None = None, rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> Graph:
    """Build one of the family.

    Args:
        skips: the poolings whose scores are added on the way up, coarse to fine.
        num_classes: channels of the scores.
        width: times the paper's channels, in every layer but the scores.
        padding: "paper" or "same", see above.
        skip_scales: a fixed factor for a skip's pooling (the at-once variant).
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, H, W) -> score (N, num_classes, H, W), any H and W from 1.
    """
    rng, net = np.random.default_rng(rng), Graph()
    x = add_features(net, "data", padding=padding, width=width, rng=rng, dtype=dtype)
    add_scores(net, x, num_classes, skips, width=width, skip_scales=skip_scales, rng=rng, dtype=dtype)
    caffe_biases(net.layers())
    return net


def add_features(
    net: Graph, x: str, *, padding: str, width: float, rng: np.random.Generator, dtype: Any, suffix: str = "",
    **trunk: Any,
) -> str:
    """Add conv1_1 ... drop7 behind input `x`; returns "drop7". `suffix` and `trunk`: see `vgg16.add_trunk`."""
    check_options("fcn", padding, PADDINGS, width)
    make: dict[str, Any] = {"rng": rng, "dtype": dtype}
    first_padding, fc6_padding = PADDINGS[padding]
    x = add_trunk(net, x, first_padding=first_padding, width=width, suffix=suffix, **trunk, **make)
    channels, hidden = scaled(BLOCKS[4][-1], width), scaled(FC_CHANNELS, width)
    x = add_hidden(net, f"6{suffix}", Conv2d(channels, hidden, 7, padding=fc6_padding, **make), x, rng)
    return add_hidden(net, f"7{suffix}", Conv2d(hidden, hidden, 1, **make), x, rng)


def add_scores(
    net: Graph, x: str, num_classes: int, skips: tuple[str, ...] = (), *, width: float,
    skip_scales: dict[str, float] | None = None, suffix: str = "", rng: np.random.Generator, dtype: Any,
) -> str:
    """Add score_fr behind `x`, the skips, and the upsampling to the pixels of "data"; returns "score".

    `suffix` stands behind all names, where a network scores several things.
    """
    make: dict[str, Any] = {"rng": rng, "dtype": dtype}
    x = net.add(f"score_fr{suffix}", score(scaled(FC_CHANNELS, width), num_classes, make), x)
    stride = 32
    for skip in skips:
        stride //= 2
        name = "upscore2" if skip == "pool4" else "upscore_pool4"
        up = net.add(f"{name}{suffix}", bilinear(num_classes, 2, make), x)
        finer = net.add(f"scale_{skip}{suffix}", Scale(skip_scales[skip]), skip) if skip_scales else skip
        channels = scaled(BLOCKS[int(skip[-1]) - 1][-1], width)
        scores = net.add(f"score_{skip}{suffix}", score(channels, num_classes, make), finer)
        x = net.add(f"fuse_{skip}{suffix}", Add(), *cropped_alike(net, up, scores))
    x = net.add(f"upscore{stride if skips else ''}{suffix}", bilinear(num_classes, stride, make), x)
    return net.add(f"score{suffix}", Crop(alignment(net, x, "data")), x, "data")
