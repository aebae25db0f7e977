"""GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842, table 1): nine inception blocks, 22 layers deep, 7 million weights.

An inception block looks at its input in four ways at once, through windows of 1x1, 3x3 and 5x5 and through a pooling,
and lays the results side by side; 1x1 convolutions before the expensive ones keep it cheap. Instead of fully connected
hidden layers an average over the whole map stands before the scores. Layer names and multipliers are those of Caffe's
bvlc_googlenet: "inception_3a/5x5_reduce", "loss3/classifier".

    padding="paper"   every window but the poolings' of stride 2 is padded to keep its size; crops of 224x224 end in 7x7
    padding="valid"   nothing is padded, and what a 5x5 window cannot reach is cropped off the other ways; the same
                      7x7 need a crop of 907x907: all that the classifier can see

Deviations: the two auxiliary classifiers, which only help to train from scratch, are left out, as in FCN; weights start
from He's initialisation and biases at zero (published: Xavier's, biases at 0.2).

torchvision's GoogLeNet is another form of the same blocks, see `googlenet_torchvision`.
"""

from typing import Any, NamedTuple

import numpy as np

from ..coordinates import alignment
from ..graph import Graph
from ..layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Crop,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from .parts import caffe_biases, check_options, scaled


class Inception(NamedTuple):
    """Channels of one block's six convolutions."""

    one: int
    three_reduce: int
    three: int
    five_reduce: int
    five: int
    pool_proj: int


class Form(NamedTuple):
    """What the networks of this name have in different ways; by default the paper's."""

    five: int = 5  # rows and columns of the windows that the paper has of 5x5
    pool4: int = 3  # of the pooling between the blocks 4e and 5a
    batch_norm: bool = False  # behind every convolution, in place of its bias and of local response normalisation


BLOCKS = {
    "3a": Inception(64, 96, 128, 16, 32, 32),
    "3b": Inception(128, 128, 192, 32, 96, 64),
    "4a": Inception(192, 96, 208, 16, 48, 64),
    "4b": Inception(160, 112, 224, 24, 64, 64),
    "4c": Inception(128, 128, 256, 24, 64, 64),
    "4d": Inception(112, 144, 288, 32, 64, 64),
    "4e": Inception(256, 160, 320, 32, 128, 128),
    "5a": Inception(256, 160, 320, 32, 128, 128),
    "5b": Inception(384, 192, 384, 48, 128, 128),
}
POOLED_BEFORE = {"4a": "pool3/3x3_s2", "5a": "pool4/3x3_s2"}
CROPS = {"paper": 224, "valid": 907}  # rows and columns of a crop, by padding: the last map then has 7
MAP = 7
PAPER = Form()
BATCH_NORM_EPS = 1e-3  # of a form with batch norm, as TensorFlow has it; 1e-5 elsewhere


def googlenet(
    *, num_classes: int = 1000, width: float = 1.0, padding: str = "paper", rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """GoogLeNet as a classifier.

    Args:
        num_classes: length of a row of scores.
        width: times the paper's channels, in every layer but the scores.
        padding: "paper" or "valid", see above; it decides the size of the crop (CROPS).
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, crop, crop) -> loss3/classifier (N, num_classes). Raises ValueError for another
    padding or width.
    """
    check_options("googlenet", padding, CROPS, width)
    rng, net = np.random.default_rng(rng), Graph()
    x, channels = add_trunk(net, padded=padding == "paper", width=width, rng=rng, dtype=dtype)
    add_head(net, x, channels, num_classes, rng, dtype)
    caffe_biases(net.layers())
    return net


def add_trunk(
    graph: Graph, x: str = "data", *, form: Form = PAPER, padded: bool = True, width: float = 1.0,
    rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> tuple[str, int]:
    """Add conv1/7x7_s2 ... inception_5b/output behind value `x`; returns that name and its channels.

    Poolings of stride 2 round up, as Caffe's do.
    """
    trunk = _Trunk(graph, form, padded, width, np.random.default_rng(rng), dtype)
    x = trunk.conv("conv1/7x7_s2", x, 3, 64, 7, stride=2)
    x = graph.add("pool1/3x3_s2", _halving(3), x)
    x = trunk.response_norm("pool1/norm1", x)
    x = trunk.conv("conv2/3x3_reduce", x, scaled(64, width), 64, 1)
    x = trunk.conv("conv2/3x3", x, scaled(64, width), 192, 3)
    x = trunk.response_norm("conv2/norm2", x)
    x = graph.add("pool2/3x3_s2", _halving(3), x)
    channels = scaled(192, width)
    for name, block in BLOCKS.items():
        if name in POOLED_BEFORE:
            x = graph.add(POOLED_BEFORE[name], _halving(form.pool4 if name == "5a" else 3), x)
        x, channels = trunk.inception(f"inception_{name}", x, channels, block)
    return x, channels


def add_head(
    graph: Graph, x: str, channels: int, num_classes: int, rng: np.random.Generator, dtype: Any, *, p: float = 0.4,
) -> str:
    """The head: the average over the last map, dropout, and the scores "loss3/classifier"."""
    x = graph.add("pool5/7x7_s1", AvgPool2d(MAP, stride=1), x)
    x = add_dropout(graph, x, rng, p)
    x = graph.add("flatten", Flatten(), x)
    return graph.add("loss3/classifier", Linear(channels, num_classes, rng=rng, dtype=dtype), x)


def add_dropout(graph: Graph, x: str, rng: np.random.Generator, p: float = 0.4) -> str:
    """The dropout before the scores."""
    return graph.add("pool5/drop_7x7_s1", Dropout(p, rng=rng.spawn(1)[0]), x)


def _halving(kernel_size: int) -> MaxPool2d:
    return MaxPool2d(kernel_size, stride=2, ceil_mode=True)


class _Trunk:
    """What all convolutions of the trunk have in common."""

    def __init__(
        self, graph: Graph, form: Form, padded: bool, width: float, rng: np.random.Generator, dtype: Any,
    ) -> None:
        self.graph, self.form, self.padded, self.width, self.rng, self.dtype = graph, form, padded, width, rng, dtype

    def conv(self, name: str, x: str, channels: int, filters: int, kernel_size: int, stride: int = 1) -> str:
        """A convolution, its batch norm if the form has it, its ReLU; "conv1/7x7_s2" ends in "conv1/relu_7x7"."""
        padding = kernel_size // 2 if self.padded else 0
        layer = Conv2d(channels, scaled(filters, self.width), kernel_size, stride, padding,
                       bias=not self.form.batch_norm, rng=self.rng, dtype=self.dtype)
        block, _, kind = name.partition("/")
        x = self.graph.add(name, layer, x)
        if self.form.batch_norm:
            norm = BatchNorm2d(layer.out_channels, BATCH_NORM_EPS, dtype=self.dtype)
            x = self.graph.add(f"{name}/bn", norm, x)
        return self.graph.add(f"{block}/relu_{kind.removesuffix('_s2')}", ReLU(), x)

    def response_norm(self, name: str, x: str) -> str:
        """Local response normalisation, for which batch norm leaves nothing to do."""
        return x if self.form.batch_norm else self.graph.add(name, LocalResponseNorm(5, 1e-4, 0.75, 1.0), x)

    def inception(self, name: str, x: str, channels: int, block: Inception) -> tuple[str, int]:
        """One block: four ways, concatenated. Returns its output and how many channels that has."""
        one = self.conv(f"{name}/1x1", x, channels, block.one, 1)
        three = self.conv(f"{name}/3x3_reduce", x, channels, block.three_reduce, 1)
        three = self.conv(f"{name}/3x3", three, scaled(block.three_reduce, self.width), block.three, 3)
        five = self.conv(f"{name}/5x5_reduce", x, channels, block.five_reduce, 1)
        five = self.conv(f"{name}/5x5", five, scaled(block.five_reduce, self.width), block.five, self.form.five)
        pool = self.graph.add(f"{name}/pool", MaxPool2d(3, stride=1, padding=int(self.padded)), x)
        pool = self.conv(f"{name}/pool_proj", pool, channels, block.pool_proj, 1)
        if not self.padded:
            one, three, pool = (self._cropped(way, five) for way in (one, three, pool))
        outputs = (block.one, block.three, block.five, block.pool_proj)
        output = self.graph.add(f"{name}/output", Concat(), one, three, five, pool)
        return output, sum(scaled(filters, self.width) for filters in outputs)

    def _cropped(self, way: str, five: str) -> str:
        """Without padding the 5x5 windows reach least far: the others give up what lies beyond them."""
        offset = alignment(self.graph, way, five)
        return self.graph.add(f"{way}_crop", Crop(offset), way, five) if any(offset) else way
