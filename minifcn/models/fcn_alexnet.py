"""FCN-AlexNet: CaffeNet made convolutional and upsampled 32 times, the first column of the paper's table 1.

Long, Shelhamer, Darrell, CVPR 2015 (arXiv 1411.4038), section 4.1; paddings, crop and multipliers are those of the
authors' voc-fcn-alexnet. Two things differ from their VGG networks: the upsampling's kernel is 63 instead of 64, since
with 64 the scores would lie half a pixel beside the image; and only the biases of the scores learn at twice the rate.

    padding="paper"   conv1 is padded by 100, which leaves room for the unpadded 6x6 of fc6; the crop at the end is 18
    padding="same"    5 instead of 100, and 3 for fc6: far less to compute on a small image (29x29 at least)

Deviations: those of `alexnet`. Its published weights come in by name, see `minifcn.transplant`.
"""

from typing import Any

import numpy as np

from ..coordinates import alignment
from ..graph import Graph
from ..layers import Conv2d, Crop
from .alexnet import MAP, add_trunk, top_channels
from .parts import FC_CHANNELS, add_hidden, bilinear, caffe_biases, check_options, scaled, score

PADDINGS = {"paper": (100, 0), "same": (5, 3)}  # of conv1 and of fc6


def fcn_alexnet(
    *, num_classes: int = 21, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """FCN-AlexNet.

    Args:
        num_classes: channels of the scores.
        width: times the paper's channels, in every layer but the scores.
        padding: "paper" or "same", see above.
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, H, W) -> score (N, num_classes, H, W), any H and W from 1, with padding "same" from
    29. Raises ValueError for another padding or width.
    """
    check_options("fcn-alexnet", padding, PADDINGS, width)
    rng, net = np.random.default_rng(rng), Graph()
    make: dict[str, Any] = {"rng": rng, "dtype": dtype}
    first_padding, fc6_padding = PADDINGS[padding]
    hidden = scaled(FC_CHANNELS, width)
    x = add_trunk(net, first_padding=first_padding, width=width, **make)
    x = add_hidden(net, "6", Conv2d(top_channels(width), hidden, MAP, padding=fc6_padding, **make), x, rng)
    x = add_hidden(net, "7", Conv2d(hidden, hidden, 1, **make), x, rng)
    x = net.add("score_fr", score(hidden, num_classes, make), x)
    caffe_biases([net["score_fr"]])
    x = net.add("upscore", bilinear(num_classes, 32, make, kernel_size=63), x)
    net.add("score", Crop(alignment(net, x, "data")), x, "data")
    return net
