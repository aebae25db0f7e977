"""GoogLeNet as torchvision has it, ported from TensorFlow: the paper's blocks and channels, and batch norm everywhere.

Another network than the paper's (Szegedy et al. 2015, arXiv 1409.4842), and weights of the one do not fit the other:

    behind every convolution   batch normalisation (Ioffe, Szegedy 2015, arXiv 1502.03167; eps 0.001), and no bias
    in the stem                no local response normalisation
    5x5 of every block         windows of 3x3: a mistake of the port that the weights were trained with, and so stayed
    pool4/3x3_s2               windows of 2x2
    before the scores          dropout 0.2 instead of 0.4
    pictures                   red first; (pixel / 255 - 0.5) / 0.5

Layers keep the names that they have in `googlenet`, also where the window is another; the batch norm of "conv2/3x3" is
"conv2/3x3/bn". `minifcn.load_published` translates torchvision's names. torchvision's published weights have a top-1
accuracy of 69.778 %.

    padding="paper"   as torchvision has it: crops of 224x224 end in 7x7
    padding="valid"   nothing is padded, and the 1x1 ways are cropped to what windows of 3x3 reach; the same 7x7 need a
                      crop of 571x571: all that the classifier can see

Deviations: the average pooling before the scores has windows of 7x7, the whole map of a crop of 224x224, where that of
torchvision is adaptive, so a crop of another size is refused; larger images are for `minifcn.convolutionalize`. The two
auxiliary classifiers are left out: those that torchvision publishes are not trained. Weights start from He's
initialisation (torchvision: a normal distribution of 0.01, cut off at two deviations).

Source: torchvision/models/googlenet.py.
"""

from typing import Any

import numpy as np

from ..graph import Graph
from .googlenet import Form, add_head, add_trunk
from .parts import check_options

FORM = Form(five=3, pool4=2, batch_norm=True)
CROPS = {"paper": 224, "valid": 571}  # rows and columns of a crop, by padding: the last map then has 7


def googlenet_torchvision(
    *, num_classes: int = 1000, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """torchvision's GoogLeNet as a classifier.

    Args:
        num_classes: length of a row of scores.
        width: times the published channels, in every layer but the scores.
        padding: "paper" or "valid", see above; it decides the size of the crop (CROPS).
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, crop, crop) -> loss3/classifier (N, num_classes). Raises ValueError for another
    padding or width.
    """
    check_options("googlenet-torchvision", padding, CROPS, width)
    rng, net = np.random.default_rng(rng), Graph()
    x, channels = add_trunk(net, form=FORM, padded=padding == "paper", width=width, rng=rng, dtype=dtype)
    add_head(net, x, channels, num_classes, rng, dtype, p=0.2)
    return net
