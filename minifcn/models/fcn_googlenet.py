"""FCN-GoogLeNet: GoogLeNet made convolutional and upsampled 32 times, the third column of the paper's table 1.

Long, Shelhamer, Darrell, CVPR 2015 (arXiv 1411.4038), section 4.1: of the three classifiers of the original only the
last is kept, its average pooling discarded, and its scores are a 1x1 convolution. The authors released no code for it.

The table gives a receptive field of 907 pixels. That is the classifier's, average pooling included, so it is what
`convolutionalize(googlenet())` has; without the pooling, as the text has it, the scores see 715.

What the paper leaves open, and is chosen here: the dropout of 0.4 stays; the upsampling's kernel is 63, as in
FCN-AlexNet, because with 64 the scores would lie half a pixel beside the image. All windows keep their size, so there
is no padding to choose: padding="paper" is the only one. Other deviations: those of `googlenet`.
"""

from typing import Any

import numpy as np

from ..coordinates import alignment
from ..graph import Graph
from ..layers import Crop
from .googlenet import add_dropout, add_trunk
from .parts import bilinear, caffe_biases, check_options, score

PADDINGS = ("paper",)


def fcn_googlenet(
    *, num_classes: int = 21, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """FCN-GoogLeNet.

    Args:
        num_classes: channels of the scores.
        width: times the paper's channels, in every layer but the scores.
        padding: "paper", see above.
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, H, W) -> score (N, num_classes, H, W), any H and W from 31. Raises ValueError for
    another padding or width.
    """
    check_options("fcn-googlenet", padding, PADDINGS, width)
    rng, net = np.random.default_rng(rng), Graph()
    make: dict[str, Any] = {"rng": rng, "dtype": dtype}
    x, channels = add_trunk(net, width=width, **make)
    x = add_dropout(net, x, rng)
    x = net.add("score_fr", score(channels, num_classes, make), x)
    caffe_biases(net.layers())
    x = net.add("upscore", bilinear(num_classes, 32, make, kernel_size=63), x)
    net.add("score", Crop(alignment(net, x, "data")), x, "data")
    return net
