"""Bayesian SegNet: SegNet with dropout, which stays on when it predicts, so that it can say how sure it is.

Kendall, Badrinarayanan, Cipolla 2015 (arXiv 1511.02680). With dropout on, each run through the network asks a slightly
different network. Where they agree, the answer can be relied on; the mean over many of them is a better answer than
that of the whole network, and their variance is largest at outlines and at things seldom seen. See
`minifcn.uncertainty` and `minifcn predict --samples 40`.

    where                                    what we do                                                     deviation
    section 3.1 ("central enc-dec")          dropout 0.5 at the end of the innermost three stages           none
    bayesian_segnet_train.prototxt           after pool3, pool4, pool5, conv5_1_D, conv4_1_D, conv3_1_D     none
    bayesian_segnet_basic_train.prototxt     after pool3, pool4, conv_decode4, conv_decode3                 none
    dropout_layer.cpp                        what is left is scaled by 1 / (1 - p)                          none
    everything else                          that of `minifcn.models.segnet`                                as there
"""

from typing import Any

from ..graph import Graph
from .segnet import segnet, segnet_basic

DROPOUT_AFTER = ("pool3", "pool4", "pool5", "conv5_1_D", "conv4_1_D", "conv3_1_D")
BASIC_DROPOUT_AFTER = ("pool3", "pool4", "conv_decode4", "conv_decode3")


def bayesian_segnet(**options: Any) -> Graph:
    """SegNet with dropout in its middle. Options: those of `segnet`."""
    return segnet(dropout_after=DROPOUT_AFTER, **options)


def bayesian_segnet_basic(**options: Any) -> Graph:
    """SegNet-Basic with dropout in its middle. Options: those of `segnet_basic`."""
    return segnet_basic(dropout_after=BASIC_DROPOUT_AFTER, **options)
