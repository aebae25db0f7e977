"""U-Net: "U-Net: Convolutional Networks for Biomedical Image Segmentation" (Ronneberger, Fischer, Brox 2015).

arXiv 1505.04597. A contracting path of five levels, d0 to d4, each of two 3x3 convolutions, with a 2x2 max-pooling
between one level and the next, which has twice the channels. An expansive path back up, u3 to u0: an up-convolution
doubles the size and halves the channels, the last map of the level opposite is laid beside it, and two convolutions mix
the two. A 1x1 convolution scores.

    padding="paper"   nothing is padded: 572x572 pixels get 388x388 scores, those of the image's centre, 92 pixels in.
                      Images have 188, 204, 220, ... rows and columns, so that every pooling halves an even number;
                      `minifcn.overlap_tile` scores any image by such tiles
    padding="same"    each convolution is padded by 1, and every pixel gets a score. Any size from 1x1 on: poolings
                      round up, so that no row is lost, and where an odd number was halved the up-convolution's last row
                      is cut off, so that the map has the skip's size

The paper came out just after batch normalisation and does without. `unet-bn` is the form that most have trained since:
the same network with a normalisation between each 3x3 convolution and its ReLU, which then needs no bias of its own.
It learns in fewer steps.

The paper gives no names; ours say the level and whether the path goes down or up: conv_d3_2, pool3, up3, conv_u3_1.

    paper                              here                                      deviation
    section 2, figure 1: network       as drawn, 23 layers that learn            three input channels unless told
    section 2: 2x2 up-convolution,     a transposed convolution, stride 2, no    none; the authors' release has a ReLU
    channels halved                    ReLU behind it                            there, and keeps 128 channels in up0
    figure 1: copy and crop            crops from the coordinate maps: 4, 16,    none; upsampled map first, then skip,
                                       40, 88 rows and columns                   as in the release
    section 2: even sizes at poolings  other sizes are refused                   none
    sections 1, 2, figure 2: tiles,    `minifcn.overlap_tile`                    tiles as large as the image asks for,
    mirrored borders                                                             16 rows apart or a multiple of that
    section 3, equations 1, 2: loss    `softmax_cross_entropy` with pixel        none; how w_c balances classes is open
    with a weight map                  weights, `--weight-map unet`              in the paper
    section 3: SGD, momentum 0.99,     settings of `minifcn train`               the paper gives no learning rate
    one large tile a batch
    section 3: Gaussian weights of     the same, N counted for each layer        none
    deviation sqrt(2/N)
    section 3.1: elastic deformations  `--elastic 10`, mirroring and zooms       no rotations, no changes of grey values
    section 3.1: drop-out at the end   0.5 behind d3 and d4; d3's skip has it    places and probability, which the paper
    of the contracting path            too                                       does not give, are the release's
"""

import math
from functools import partial
from typing import Any

import numpy as np

from .. import init
from ..coordinates import alignment
from ..graph import Graph
from ..layers import BatchNorm2d, Concat, Conv2d, ConvTranspose2d, Crop, Dropout, MaxPool2d, ReLU
from ..layers._legal_size import LegalSize
from .parts import check_options, scaled

PADDINGS = {"paper": 0, "same": 1}  # of every 3x3 convolution
CHANNELS = (64, 128, 256, 512, 1024)  # of each level
DROPPED = (3, 4)  # levels that end in drop-out
SIZE, LEAST, STEP = 572, 188, 16  # rows and columns of a tile without padding: the paper's, the least, to the next


def unet(
    *, num_classes: int = 2, width: float = 1.0, padding: str = "paper", in_channels: int = 3,
    batch_norm: bool = False, rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> Graph:
    """Build the network.

    Args:
        num_classes: channels of the scores.
        width: times the paper's channels, in every layer but the scores.
        padding: "paper" or "same", see above.
        in_channels: of the image; the paper's microscopes give 1.
        batch_norm: not the paper's; whether each 3x3 convolution is followed by a normalisation.
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, in_channels, H, W) -> score (N, num_classes, H, W), or (H - 184, W - 184) for padding
    "paper". Raises ValueError for another padding or width.
    """
    check_options("unet", padding, PADDINGS, width)
    rng, net = np.random.default_rng(rng), Graph()
    make: dict[str, Any] = {"rng": rng, "dtype": dtype}
    convolve = partial(_two_convolutions, net, padding=PADDINGS[padding], batch_norm=batch_norm, make=make)
    x = "data" if padding == "same" else net.add("tile", LegalSize(LEAST, STEP), "data")
    counts, channels, skips = [scaled(count, width) for count in CHANNELS], in_channels, []
    for level, count in enumerate(counts):
        x = convolve(f"d{level}", x, channels, count)
        channels = count
        if level in DROPPED:
            x = net.add(f"drop_d{level}", Dropout(0.5, rng=rng.spawn(1)[0]), x)
        if level < len(counts) - 1:
            skips.append(x)
            x = net.add(f"pool{level}", MaxPool2d(2, ceil_mode=True), x)
    for level in reversed(range(len(skips))):
        up = net.add(f"up{level}", _up_convolution(channels, counts[level], make), x)
        x = net.add(f"concat{level}", Concat(), *_cropped(net, level, up, skips[level], padding))
        x = convolve(f"u{level}", x, 2 * counts[level], counts[level])
        channels = counts[level]
    net.add("score", Conv2d(channels, num_classes, 1, **make), x)
    return net


def unet_bn(**options: Any) -> Graph:
    """`unet` with batch normalisation; the same arguments."""
    return unet(batch_norm=True, **options)


def _two_convolutions(
    net: Graph, place: str, x: str, channels: int, count: int, *, padding: int, batch_norm: bool, make: dict[str, Any],
) -> str:
    """A level's convolutions, each with a ReLU; returns the name of the last."""
    for index, given in ((1, channels), (2, count)):
        convolution = Conv2d(given, count, 3, padding=padding, bias=not batch_norm, **make)
        x = net.add(f"conv_{place}_{index}", convolution, x)
        if batch_norm:
            x = net.add(f"bn_{place}_{index}", BatchNorm2d(count, dtype=make["dtype"]), x)
        x = net.add(f"relu_{place}_{index}", ReLU(), x)
    return x


def _up_convolution(channels: int, count: int, make: dict[str, Any]) -> ConvTranspose2d:
    """Twice the rows and columns, half the channels.

    Its blocks do not overlap, so each number is a sum over `channels` others, the paper's N. `init.he` would count the
    kernel's taps as well.
    """
    return ConvTranspose2d(channels, count, 2, stride=2, weight_init=init.gaussian(math.sqrt(2 / channels)), **make)


def _cropped(net: Graph, level: int, up: str, skip: str, padding: str) -> tuple[str, str]:
    """The upsampled map and the skip in one size: without padding the skip is the larger one, else never."""
    if padding == "paper":
        return up, net.add(f"crop{level}", Crop(alignment(net, skip, up)), skip, up)
    return net.add(f"crop{level}", Crop(alignment(net, up, skip)), up, skip), skip
