"""AlexNet as torchvision has it: the one of "One weird trick" (Krizhevsky 2014, arXiv 1404.5997), for one GPU.

Another network than the paper's of 2012 and than CaffeNet, though of the same build: 64, 192, 384, 256, 256 channels
instead of 96, 256, 384, 384, 256; no groups; no local response normalisation; conv1 padded by 2, crops of 224x224;
poolings round down; dropout stands before fc6 and fc7, not behind them. Weights of the one do not fit the other. Layers
are named as in `alexnet`; `minifcn.load_published` translates torchvision's names. torchvision's published weights have
a top-1 accuracy of 56.522 %.

    padding="paper"   as torchvision has it: crops of 224x224 end in a map of 6x6
    padding="valid"   nothing is padded; the same 6x6 need a crop of 355x355, as in `alexnet`

Deviations: torchvision's adaptive average pooling to 6x6, which changes nothing in crops of 224x224, is left out, so a
crop of another size is refused; `minifcn.convolutionalize`, for larger images, would drop it too. Weights start from
He's initialisation and biases at zero (torchvision: PyTorch's default, uniform); narrow networks have even channels.

Source: torchvision/models/alexnet.py.
"""

from typing import Any

import numpy as np

from ..graph import Graph
from .alexnet import MAP, Block, add_trunk, top_channels
from .parts import add_classifier, check_options

BLOCKS = (
    Block(64, 11, 4, 2, 1, pool=True, norm=False),
    Block(192, 5, 1, 2, 1, pool=True, norm=False),
    Block(384, 3, 1, 1, 1, pool=False, norm=False),
    Block(256, 3, 1, 1, 1, pool=False, norm=False),
    Block(256, 3, 1, 1, 1, pool=True, norm=False),
)
CROPS = {"paper": 224, "valid": 355}  # rows and columns of a crop, by padding: pool5 then has 6


def alexnet_torchvision(
    *, num_classes: int = 1000, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """torchvision's AlexNet as a classifier.

    Args:
        num_classes: length of a row of scores.
        width: times the published channels, in every layer but the scores.
        padding: "paper" or "valid", see above; it decides the size of the crop (CROPS).
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, crop, crop) -> fc8 (N, num_classes). Raises ValueError for another padding or width.
    """
    check_options("alexnet-torchvision", padding, CROPS, width)
    rng, net, padded = np.random.default_rng(rng), Graph(), padding == "paper"
    x = add_trunk(net, blocks=BLOCKS, first_padding=BLOCKS[0].padding * padded, padded=padded, ceil_mode=False,
                  width=width, rng=rng, dtype=dtype)
    features = top_channels(width, BLOCKS) * MAP * MAP
    add_classifier(net, x, features, num_classes, width, rng, dtype, dropout_first=True)
    return net
