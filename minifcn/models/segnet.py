"""SegNet and SegNet-Basic: an encoder that notes where its maxima stood, and a decoder that puts values back there.

Badrinarayanan, Kendall, Cipolla 2017 (arXiv 1511.00561). A pooling of 2x2 keeps the largest of four numbers and forgets
which one it was; with that forgotten, outlines blur. SegNet remembers: each pooling hands its record (the places of the
maxima, and the size that was pooled) to the unpooling opposite, which leaves zeros everywhere else for the following
convolutions to fill. Nothing is learnt on the way up but these convolutions, and no map of the encoder is kept but
one small number for each pooled value.

Layer names and multipliers are those of the authors' Caffe files (alexgkendall/SegNet-Tutorial, Models/).

    where                        what we do                                             deviation
    section 3, figure 2          VGG-16's 13 convolutions, and their mirror image       none
    section 3, figure 3          2x2 pooling; unpooling with its places, zeros between  none
    segnet_train.prototxt        convolution, batch norm, ReLU; the last one scores     none
    segnet_train.prototxt        sizes of stages 5 and 4 typed by hand: 23x30, 45x60    taken from the record: any size
    section 3.1 (SegNet-Basic)   four 7x7 convolutions of 64 down, four up, no ReLU up  none
    segnet_basic_train.prototxt  local response normalisation of the raw image          none; wants pixels of 0..255
    bn_layer.cpp                 averages of the training set are computed afterwards   running averages, as in PyTorch
    bn_layer.cpp                 eps 1e-9                                               1e-5: float32 rounds more
    section 3.1                  encoder starts from VGG-16's published weights         He's initialisation, or --from
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..graph import Graph
from ..layers import BatchNorm2d, Conv2d, Dropout, LocalResponseNorm, MaxPool2d, MaxUnpool2d, ReLU
from .parts import caffe_biases, check_width, scaled
from .vgg16 import BLOCKS

BASIC_LEVELS, BASIC_CHANNELS = 4, 64
CAMVID_CLASSES = 11
BN_SHIFT = 0.001  # where SegNet's (not SegNet-Basic's) batch norms begin


def segnet(
    *, num_classes: int = CAMVID_CLASSES, width: float = 1.0, dropout_after: Iterable[str] = (),
    rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> Graph:
    """SegNet.

    Args:
        num_classes: channels of the scores.
        width: times the paper's channels, in every layer but the scores.
        dropout_after: stages with dropout 0.5 at their end: "pool3", "conv4_1_D" and the like; see `bayesian_segnet`.
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, H, W) -> conv1_1_D (N, num_classes, H, W), any H and W. Raises ValueError for another
    width.
    """
    build = _Builder("segnet", width, dropout_after, rng, dtype)
    x, channels = "data", 3
    for stage, filters in enumerate(BLOCKS, start=1):
        for index, count in enumerate(filters, start=1):
            x, channels = build.conv(f"conv{stage}_{index}", x, channels, count, 3, relu=f"relu{stage}_{index}")
        x = build.pool(stage, x)
    for stage in range(len(BLOCKS), 0, -1):
        x = build.unpool(stage, x)
        for index in range(len(BLOCKS[stage - 1]), 0, -1):
            if (stage, index) == (1, 1):
                build.net.add("conv1_1_D", Conv2d(channels, num_classes, 3, padding=1, **build.make), x)
                continue
            # The last convolution of a stage comes down to the channels of the stage above it.
            count = BLOCKS[stage - 1][0] if index > 1 else BLOCKS[stage - 2][-1]
            name = f"{stage}_{index}_D"
            x, channels = build.conv(f"conv{name}", x, channels, count, 3, relu=f"relu{name}")
    caffe_biases(build.net.layers())
    _shift(build.net)
    return build.net


def segnet_basic(
    *, num_classes: int = CAMVID_CLASSES, width: float = 1.0, dropout_after: Iterable[str] = (),
    rng: int | np.random.Generator = 0, dtype: Any = np.float32,
) -> Graph:
    """SegNet-Basic, for fast experiments: four levels of one 7x7 convolution each. See `segnet` for the arguments.

    Returns a Graph of data (N, 3, H, W) -> conv_classifier (N, num_classes, H, W), any H and W.
    """
    build = _Builder("segnet-basic", width, dropout_after, rng, dtype)
    x, channels = build.net.add("norm", LocalResponseNorm(5, 1e-4, 0.75, 1.0), "data"), 3
    for level in range(1, BASIC_LEVELS + 1):
        x, channels = build.conv(f"conv{level}", x, channels, BASIC_CHANNELS, 7, relu=f"relu{level}")
        x = build.pool(level, x)
    for level in range(BASIC_LEVELS, 0, -1):
        x = build.unpool(level, x)
        x, channels = build.conv(f"conv_decode{level}", x, channels, BASIC_CHANNELS, 7)
    build.net.add("conv_classifier", Conv2d(channels, num_classes, 1, **build.make), x)
    caffe_biases(build.net.layers())
    return build.net


def _shift(net: Graph) -> None:
    """SegNet's batch norms begin a little above zero, and that shift does not decay."""
    for layer in net.layers():
        if isinstance(layer, BatchNorm2d):
            layer.bias.data[...] = BN_SHIFT
            layer.bias.decay_mult = 0.0


class _Builder:
    """What both networks are made of: convolutions with batch norm, poolings, and the unpoolings opposite."""

    def __init__(
        self, who: str, width: float, dropout_after: Iterable[str], rng: int | np.random.Generator, dtype: Any,
    ) -> None:
        check_width(who, width)
        self.net, self.width, self.dropout_after = Graph(), width, frozenset(dropout_after)
        self.make: dict[str, Any] = {"rng": np.random.default_rng(rng), "dtype": dtype}

    def conv(
        self, name: str, x: str, channels: int, filters: int, kernel_size: int, relu: str = "",
    ) -> tuple[str, int]:
        """A convolution that keeps its size, its batch norm, and a ReLU if that has a name; and the channels then."""
        filters = scaled(filters, self.width)
        self.net.add(name, Conv2d(channels, filters, kernel_size, padding=kernel_size // 2, **self.make), x)
        x = self.net.add(f"{name}_bn", BatchNorm2d(filters, dtype=self.make["dtype"]), name)
        x = self.net.add(relu, ReLU(), x) if relu else x
        return self._dropped(name, x), filters

    def pool(self, stage: int, x: str) -> str:
        """Rounds up, as Caffe's do; "poolN.record" keeps the places and the size."""
        name = self.net.add(f"pool{stage}", MaxPool2d(2, return_indices=True, ceil_mode=True), x)
        return self._dropped(name, name)

    def unpool(self, stage: int, x: str) -> str:
        return self.net.add(f"upsample{stage}", MaxUnpool2d(), x, f"pool{stage}.record")

    def _dropped(self, stage: str, x: str) -> str:
        if stage not in self.dropout_after:
            return x
        return self.net.add(f"drop_{stage}", Dropout(0.5, rng=self.make["rng"].spawn(1)[0]), x)
