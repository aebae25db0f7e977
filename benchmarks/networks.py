"""The whole networks of the benchmark, as Graphs: two from the library, and two assembled here from its layers.

    fcn8s         Long, Shelhamer, Darrell 2015: padded by 100, dense 7x7 at the end of the trunk
    segnet        Badrinarayanan, Kendall, Cipolla 2017: VGG-16's convolutions, and their mirror image with unpooling
    segnet-basic  the same authors' small network: eight 7x7 convolutions of 64 channels, the decoder without ReLU
    unet          Ronneberger, Fischer, Brox 2015, but padded so that its maps keep their size
"""

from collections.abc import Callable

import numpy as np

from minifcn import Graph, init, models
from minifcn.layers import BatchNorm2d, Conv2d, LocalResponseNorm, MaxPool2d, MaxUnpool2d, ReLU
from minifcn.models.parts import scaled
from minifcn.models.vgg16 import BLOCKS

PADDINGS = {"fcn8s": "paper", "unet": "same"}  # of those from the library
CLASSES = {"fcn8s": 21, "segnet": 11, "segnet-basic": 11, "unet": 2}  # of the data set that each was made for


def build(name: str, width: float = 1.0) -> Graph:
    """A network with random weights, in training mode; `width` times the paper's channels."""
    rng = np.random.default_rng(0)
    if name in PADDINGS:
        net = models.build(name, num_classes=CLASSES[name], width=width, padding=PADDINGS[name], rng=rng)
    else:
        makers: dict[str, Callable] = {"segnet": segnet, "segnet-basic": segnet_basic}
        net = makers[name](CLASSES[name], width, rng)
    _wake(net, rng)
    return net


def segnet(classes: int, width: float, rng: np.random.Generator) -> Graph:
    """Each pooling notes where its maxima stood, and the unpooling opposite puts values back there."""
    net, x, channels = Graph(), "data", 3
    for block, filters in enumerate(BLOCKS, start=1):
        for index, count in enumerate(filters, start=1):
            channels, x = _conv_bn_relu(net, f"conv{block}_{index}", channels, scaled(count, width), 3, x, rng)
        x = net.add(f"pool{block}", MaxPool2d(2, return_indices=True, ceil_mode=True), x)
    for block in range(len(BLOCKS), 0, -1):
        x = net.add(f"upsample{block}", MaxUnpool2d(), x, f"pool{block}.record")
        for index in range(len(BLOCKS[block - 1]), 0, -1):
            below = BLOCKS[block - 2][-1] if index == 1 else BLOCKS[block - 1][0]  # the last one of a stage goes down
            name = f"conv{block}_{index}_D"
            if (block, index) == (1, 1):
                net.add(name, Conv2d(channels, classes, 3, padding=1, rng=rng), x)
            else:
                channels, x = _conv_bn_relu(net, name, channels, scaled(below, width), 3, x, rng)
    return net


def segnet_basic(classes: int, width: float, rng: np.random.Generator) -> Graph:
    net, channels, count = Graph(), 3, scaled(64, width)
    x = net.add("norm", LocalResponseNorm(5), "data")
    for level in range(1, 5):
        channels, x = _conv_bn_relu(net, f"conv{level}", channels, count, 7, x, rng)
        x = net.add(f"pool{level}", MaxPool2d(2, return_indices=True, ceil_mode=True), x)
    for level in range(4, 0, -1):
        x = net.add(f"upsample{level}", MaxUnpool2d(), x, f"pool{level}.record")
        x = net.add(f"conv_decode{level}", Conv2d(count, count, 7, padding=3, rng=rng), x)
        x = net.add(f"conv_decode{level}_bn", BatchNorm2d(count), x)
    net.add("conv_classifier", Conv2d(count, classes, 1, rng=rng), x)
    return net


def _conv_bn_relu(
    net: Graph, name: str, channels: int, filters: int, kernel_size: int, x: str, rng: np.random.Generator,
) -> tuple[int, str]:
    """Returns the channels that come out, and their name."""
    conv = Conv2d(channels, filters, kernel_size, padding=kernel_size // 2, rng=rng)
    x = net.add(name, conv, x)
    x = net.add(f"{name}_bn", BatchNorm2d(filters), x)
    return filters, net.add(f"{name}_relu", ReLU(), x)


def _wake(net: Graph, rng: np.random.Generator) -> None:
    """Give weights and biases that start at zero some small numbers: zeros would send no gradient down."""
    for parameter in net.parameters().values():
        if not parameter.data.any():
            parameter.data[...] = init.make(init.gaussian(0.01), parameter.data.shape, rng, parameter.data.dtype)
