"""FCN for SIFT Flow: one trunk that scores every pixel twice, for what it shows and for how that lies in space.

Long, Shelhamer, Darrell, CVPR 2015 (arXiv 1411.4038), section 5.3; names are those of the authors' siftflow-fcn32s, 16s
and 8s: the 33 semantic classes have "_sem" behind each name from score_fr on, the 3 geometric ones "_geo". Both heads
read the same features, and their two losses are added with equal weight.

    scores, layout = net.forward(x)                        # (N, 33, H, W), (N, 3, H, W)
    net.backward(gscores, glayout)                         # the features get the sum of what comes back from both

Deviations: those of `fcn`.
"""

from typing import Any

import numpy as np

from ..graph import Graph
from .fcn import add_features, add_scores
from .parts import caffe_biases


def siftflow_fcn32s(**options: Any) -> Graph:
    """Both heads upsample their scores at once. Options: see `_siftflow`."""
    return _siftflow((), **options)


def siftflow_fcn16s(**options: Any) -> Graph:
    """Both heads add the scores of pool4. Options: see `_siftflow`."""
    return _siftflow(("pool4",), **options)


def siftflow_fcn8s(**options: Any) -> Graph:
    """Both heads add the scores of pool4 and of pool3. Options: see `_siftflow`."""
    return _siftflow(("pool4", "pool3"), **options)


def _siftflow(
    skips: tuple[str, ...], *, num_classes: int = 33, geometric_classes: int = 3, width: float = 1.0,
    padding: str = "paper", rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> Graph:
    """Build one of the three.

    Args:
        skips, width, padding, rng, dtype: as in `fcn`.
        num_classes, geometric_classes: channels of the two outputs.

    Returns a Graph of data (N, 3, H, W) -> score_sem (N, num_classes, H, W), score_geo (N, geometric_classes, H, W).
    """
    rng, net = np.random.default_rng(rng), Graph()
    make: dict[str, Any] = {"width": width, "rng": rng, "dtype": dtype}
    x = add_features(net, "data", padding=padding, **make)
    heads = (("_sem", num_classes), ("_geo", geometric_classes))
    net.outputs = tuple(add_scores(net, x, classes, skips, suffix=suffix, **make) for suffix, classes in heads)
    caffe_biases(net.layers())
    return net
