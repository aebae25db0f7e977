"""The whole networks of the benchmark.

    fcn8s         Long, Shelhamer, Darrell 2015: padded by 100, dense 7x7 at the end of the trunk
    segnet        Badrinarayanan, Kendall, Cipolla 2017: VGG-16's convolutions, and their mirror image with unpooling
    segnet-basic  the same authors' small network: eight 7x7 convolutions of 64 channels, the decoder without ReLU
    unet          Ronneberger, Fischer, Brox 2015, but padded so that its maps keep their size
"""

import numpy as np

from minifcn import Graph, init, models

CLASSES = {"fcn8s": 21, "segnet": 11, "segnet-basic": 11, "unet": 2}  # of the data set that each was made for
PADDINGS = {"fcn8s": "paper", "unet": "same"}


def build(name: str, width: float = 1.0) -> Graph:
    """A network with random weights, in training mode; `width` times the paper's channels."""
    rng = np.random.default_rng(0)
    padding = {"padding": PADDINGS[name]} if name in PADDINGS else {}
    net = models.build(name, num_classes=CLASSES[name], width=width, rng=rng, **padding)
    _wake(net, rng)
    return net


def _wake(net: Graph, rng: np.random.Generator) -> None:
    """Give weights and biases that start at zero some small numbers: zeros would send no gradient down."""
    for parameter in net.parameters().values():
        if not parameter.data.any():
            parameter.data[...] = init.make(init.gaussian(0.01), parameter.data.shape, rng, parameter.data.dtype)
