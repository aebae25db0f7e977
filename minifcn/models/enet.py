"""ENet: a network for real time, of 364,376 numbers where SegNet has 29 million.

Paszke, Chaurasia, Kim, Culurciello 2016 (arXiv 1606.02147). It halves the image at once, does most of its work on maps
of an eighth of its size, and in bottlenecks: a 1x1 convolution to a quarter of the channels, a convolution there, and a
1x1 convolution back, added to what came in. The way up is short and only refines. An encoder that scores the coarse
maps ("enet-encoder") is trained first; the whole network starts from its weights, all but those of its scores.

    where            what we do                                                                 deviation
    table 1          widths, order and kinds of the blocks, C = 20 classes: 364,376 numbers     none
    3, figure 2a     3x3 convolution of stride 2 to 13 channels beside the pooled image,        none
                     then batch norm and PReLU; the convolution has a bias (released encoder)
    3, figure 2b     1x1, middle, 1x1, batch norm behind each, PReLU behind the first two       none
                     and behind the sum; only the middle convolution has a bias (released)
    3, downsampling  first 1x1 becomes 2x2 of stride 2; skip: max-pooling, zero channels behind none
    3, asymmetric    1x5 without a bias, then 5x1 with one; nothing between them (released)     none
    4, dilated       3x3, dilation 2, 4, 8, 16                                                  none
    3, dropout       whole channels behind the last batch norm, 0.01 before bottleneck 2.0,     none
                     then 0.1; none in the decoder
    3, decoder       skip 1x1 and batch norm, unpooled by the record of 2.0's and 1.0's         none
                     pooling; main 3x3 transposed, stride 2; ReLU, not PReLU (released)
    table 1, end     transposed 2x2 of stride 2 to the scores, with a bias                      none
    4, PReLU         one slope a channel, at first 0.25                                         none
    batch norm       eps 0.001 (released), momentum 0.1                                         none
    sizes            rows and columns are multiples of 8; others are refused (see --pad)         none
    weights          He's initialisation                                                        Torch's uniform one
    5.2, loss        class_weights "enet": 1 / ln(1.02 + p); "enet-encoder": with 1.2 (released) none

"Released" is what the paper leaves open and the authors' own files (encoder.lua and decoder.lua of e-lab/ENet-training)
say. Blocks are called as in the paper's table, "bottleneck1_0", and so are the values that they compute.
"""

from typing import Any, NamedTuple

import numpy as np

from ..graph import Graph
from ..layers import (
    Add,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Layer,
    MaxPool2d,
    MaxUnpool2d,
    PadChannels,
    PReLU,
    ReLU,
    SpatialDropout,
)
from ..layers._legal_size import LegalSize
from .parts import check_width, scaled

CITYSCAPES_CLASSES = 20  # one of them for what has no label
IMAGE_CHANNELS = 3
MULTIPLE = 8  # three halvings, and the way up knows nothing of remainders
DROPPED, DROPPED_LATER = 0.01, 0.1  # before bottleneck 2.0, and from there on

# The middle convolution of each bottleneck of stages 2 and 3: its dilation, or ASYMMETRIC.
ASYMMETRIC = 0
MIDDLES = (1, 2, ASYMMETRIC, 4, 1, 8, ASYMMETRIC, 16)


class Widths(NamedTuple):
    """Channels of the maps at a half, a quarter and an eighth of the image's size."""

    half: int
    quarter: int
    eighth: int


def enet(
    *, num_classes: int = CITYSCAPES_CLASSES, width: float = 1.0, rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """ENet.

    Args:
        num_classes: channels of the scores.
        width: times the paper's channels, in every layer but the scores; the three of the image stay three.
        rng: int or Generator for the initial weights and the dropout masks.
        dtype: of the parameters.

    Returns a Graph of data (N, 3, H, W) -> fullconv (N, num_classes, H, W), H and W multiples of 8. Raises ValueError
    for another width, and its forward for other sizes.
    """
    build = _Builder("enet", width, rng, dtype)
    x = build.encoder()
    half, quarter, eighth = build.widths
    x = build.upsampling("bottleneck4_0", x, eighth, quarter, "bottleneck2_0/pool.record")
    for name in ("bottleneck4_1", "bottleneck4_2"):
        x = build.refining(name, x, quarter)
    x = build.upsampling("bottleneck5_0", x, quarter, half, "bottleneck1_0/pool.record")
    x = build.refining("bottleneck5_1", x, half)
    build.net.add("fullconv", ConvTranspose2d(half, num_classes, 2, stride=2, **build.make), x)
    return build.net


def enet_encoder(
    *, num_classes: int = CITYSCAPES_CLASSES, width: float = 1.0, rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """ENet's first stage of training: its encoder, and scores from there. Arguments: those of `enet`.

    Returns a Graph of data (N, 3, H, W) -> score (N, num_classes, H/8, W/8), H and W multiples of 8.
    """
    build = _Builder("enet-encoder", width, rng, dtype)
    x = build.encoder()
    build.net.add("score", Conv2d(build.widths.eighth, num_classes, 1, **build.make), x)
    return build.net


class _Builder:
    """The blocks. Each bears the name of its output; what is inside is called "bottleneck1_0/reduce" and so on."""

    def __init__(self, who: str, width: float, rng: int | np.random.Generator, dtype: Any) -> None:
        check_width(who, width)
        self.net = Graph()
        self.make: dict[str, Any] = {"rng": np.random.default_rng(rng), "dtype": dtype}
        # Multiples of 4, so that bottlenecks have whole quarters; and never fewer than those before them.
        self.widths = Widths(scaled(13, width) + IMAGE_CHANNELS, scaled(64, width, 4), scaled(128, width, 4))

    def encoder(self) -> str:
        """Everything up to bottleneck 3.8."""
        half, quarter, eighth = self.widths
        x = self.net.add("gate", LegalSize(MULTIPLE, MULTIPLE), "data")
        x = self.initial("initial", x, half)
        x = self.downsampling("bottleneck1_0", x, half, quarter, DROPPED)
        for index in range(1, 5):
            x = self.regular(f"bottleneck1_{index}", x, quarter, DROPPED)
        x = self.downsampling("bottleneck2_0", x, quarter, eighth, DROPPED_LATER)
        for stage in (2, 3):
            for index, middle in enumerate(MIDDLES, start=1):
                x = self.regular(f"bottleneck{stage}_{index}", x, eighth, DROPPED_LATER, middle)
        return x

    def initial(self, name: str, x: str, channels: int) -> str:
        """A convolution beside the pooled image."""
        conv = Conv2d(IMAGE_CHANNELS, channels - IMAGE_CHANNELS, 3, 2, padding=1, **self.make)
        conv_name = self.net.add(f"{name}/conv", conv, x)
        pool = self.net.add(f"{name}/pool", MaxPool2d(2), x)
        x = self.net.add(f"{name}/concat", Concat(), conv_name, pool)
        x = self.net.add(f"{name}/concat_bn", self._norm(channels), x)
        return self.net.add(name, self._prelu(channels), x)

    # Of the encoder.

    def regular(self, name: str, x: str, channels: int, dropped: float, middle: int = 1) -> str:
        """A bottleneck that keeps its size; `middle` is a dilation, or ASYMMETRIC."""
        main = self._encoding(name, x, channels, channels, dropped, middle)
        return self._sum(name, main, x, self._prelu(channels))

    def downsampling(self, name: str, x: str, channels: int, wider: int, dropped: float) -> str:
        """A bottleneck that halves its map; "name/pool.record" keeps the places for the way up."""
        main = self._encoding(name, x, channels, wider, dropped, 1, down=True)
        skip = self.net.add(f"{name}/pool", MaxPool2d(2, return_indices=True), x)
        skip = self.net.add(f"{name}/pad", PadChannels(wider), skip)
        return self._sum(name, main, skip, self._prelu(wider))

    def _encoding(
        self, name: str, x: str, channels: int, wider: int, dropped: float, middle: int, down: bool = False,
    ) -> str:
        """The main way of a bottleneck of the encoder."""
        few = wider // 4
        first = 2 if down else 1  # kernel and stride
        x = self._conv(f"{name}/reduce", x, Conv2d(channels, few, first, first, bias=False, **self.make),
                       self._prelu(few))
        if middle == ASYMMETRIC:
            row = Conv2d(few, few, (1, 5), padding=(0, 2), bias=False, **self.make)
            column = Conv2d(few, few, (5, 1), padding=(2, 0), **self.make)
            x = self._conv(f"{name}/conv5x1", self.net.add(f"{name}/conv1x5", row, x), column, self._prelu(few))
        else:
            conv = Conv2d(few, few, 3, padding=middle, dilation=middle, **self.make)
            x = self._conv(f"{name}/conv", x, conv, self._prelu(few))
        x = self._conv(f"{name}/expand", x, Conv2d(few, wider, 1, bias=False, **self.make))
        return self.net.add(f"{name}/drop", SpatialDropout(dropped, rng=self.make["rng"].spawn(1)[0]), x)

    # Of the decoder.

    def refining(self, name: str, x: str, channels: int) -> str:
        """A bottleneck that keeps its size."""
        conv = Conv2d(channels // 4, channels // 4, 3, padding=1, **self.make)
        return self._sum(name, self._decoding(name, x, channels, channels, conv), x, ReLU())

    def upsampling(self, name: str, x: str, channels: int, fewer: int, record: str) -> str:
        """A bottleneck that doubles its map; its skip puts values where the maxima of a pooling stood."""
        few = fewer // 4
        conv = ConvTranspose2d(few, few, 3, 2, padding=1, output_padding=1, **self.make)
        main = self._decoding(name, x, channels, fewer, conv)
        skip = self._conv(f"{name}/skip", x, Conv2d(channels, fewer, 1, bias=False, **self.make))
        skip = self.net.add(f"{name}/unpool", MaxUnpool2d(), skip, record)
        return self._sum(name, main, skip, ReLU())

    def _decoding(self, name: str, x: str, channels: int, fewer: int, middle: Conv2d | ConvTranspose2d) -> str:
        """The main way of a bottleneck of the decoder."""
        few = middle.in_channels
        x = self._conv(f"{name}/reduce", x, Conv2d(channels, few, 1, bias=False, **self.make), ReLU())
        x = self._conv(f"{name}/conv", x, middle, ReLU())
        return self._conv(f"{name}/expand", x, Conv2d(few, fewer, 1, bias=False, **self.make))

    # Of both.

    def _conv(self, name: str, x: str, conv: Conv2d | ConvTranspose2d, activation: Layer | None = None) -> str:
        """A convolution, its batch norm, and what bends behind them, if anything."""
        x = self.net.add(name, conv, x)
        x = self.net.add(f"{name}_bn", self._norm(conv.out_channels), x)
        if activation is None:
            return x
        return self.net.add(f"{name}_{type(activation).__name__.lower()}", activation, x)

    def _sum(self, name: str, main: str, skip: str, activation: Layer) -> str:
        return self.net.add(name, activation, self.net.add(f"{name}/sum", Add(), main, skip))

    def _norm(self, channels: int) -> BatchNorm2d:
        return BatchNorm2d(channels, eps=1e-3, dtype=self.make["dtype"])

    def _prelu(self, channels: int) -> PReLU:
        return PReLU(channels, dtype=self.make["dtype"])
