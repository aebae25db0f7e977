"""Patch by patch, or all at once: what it costs to label an image with a classifier, and with its dense form.

    for row in compare_patches(): print(row.forward_ratio, row.backward_ratio)

Before fully convolutional networks an image was labelled by classifying a patch around each position. A map of 10x10
scores takes 100 patches of 227x227 from an image of 500x500; they overlap, so that each pixel is looked at some twenty
times. The dense network, with the same weights, computes what they share once.

The patches go in one batch: one at a time they would read fc6, the largest weight, a hundred times. Both sides use the
same kernels. Without Winograd the ratios of time can be held against those of FLOPs. Where it makes convolutions
faster, patches gain more, for these are a larger part of their work: fc6 to fc8 cost both sides the same.

Source: Long, Shelhamer, Darrell 2015, section 3.1: AlexNet (Caffe, on a GPU) takes 22 ms forward for a map of 10x10 and
1.2 ms a patch, so 5.5 times as long for 100 of them; backward 37 ms and 2.4 ms, 6.5 times.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import init
from ..arrays import use_winograd
from ..fusion import fuse
from ..graph import Graph
from ..models import alexnet
from ..ops.check import Array
from ..shapes import shapes_of
from ..surgery import convolutionalize
from .inspection import inspect
from .scene import as_batch, built_in_image

SIZE = (500, 500)
STRIDE = 32
NUM_CLASSES = 1000
PAPER = {"forward": 100 * 1.2 / 22, "backward": 100 * 2.4 / 37}
PAUSE = 0.02  # seconds between two turns, so that the threads of the one before sleep


@dataclass(frozen=True)
class Side:
    """One way to label the image: seconds (medians) and FLOPs (two for a multiply-add) of a pass over it."""

    forward_seconds: float
    backward_seconds: float
    forward_flops: int
    backward_flops: int


@dataclass(frozen=True)
class Comparison:
    """Both ways, with and without Winograd.

    Attributes:
        same_labels: share of positions that get the same label. Not all do: the published AlexNet pads inside, so that
            a patch sees zeros around it where the dense network sees pixels.
    """

    winograd: bool
    patches: int
    dense: Side
    crops: Side
    same_labels: float

    @property
    def forward_ratio(self) -> float:
        return self.crops.forward_seconds / self.dense.forward_seconds

    @property
    def backward_ratio(self) -> float:
        return self.crops.backward_seconds / self.dense.backward_seconds

    @property
    def flop_ratio(self) -> float:
        """Of the forward pass."""
        return self.crops.forward_flops / self.dense.forward_flops

    @property
    def backward_flop_ratio(self) -> float:
        return self.crops.backward_flops / self.dense.backward_flops

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields, the four ratios, and the paper's two."""
        ratios = ("forward_ratio", "backward_ratio", "flop_ratio", "backward_flop_ratio")
        return {"winograd": self.winograd, "patches": self.patches, "same_labels": self.same_labels,
                "dense": vars(self.dense), "crops": vars(self.crops), **{name: getattr(self, name) for name in ratios},
                "paper_forward_ratio": PAPER["forward"], "paper_backward_ratio": PAPER["backward"]}


def compare_patches(
    *, width: float = 1.0, size: tuple[int, int] = SIZE, repeats: int = 5,
    report: Callable[[int, int], None] | None = None,
) -> list[Comparison]:
    """Label a street scene both ways with one AlexNet: first without Winograd, then as the kernels choose.

    Args:
        width: times the paper's channels.
        size: (H, W) of the image.
        repeats: turns each, of which the median counts; one more goes before, unmeasured.
        report: called with (turns done, turns in all) after each turn.

    Raises ValueError for an image that is smaller than a patch.
    """
    crop = alexnet.CROPS["paper"]
    if min(size) < crop:
        raise ValueError(f"compare patches: expected an image of at least {crop}x{crop}, AlexNet's patch, "
                         f"got {size[0]}x{size[1]}. Use a larger --size.")
    classifier = alexnet.alexnet(num_classes=NUM_CLASSES, width=width, rng=0)
    classifier.eval()
    dense = convolutionalize(classifier, crop)
    image = as_batch(built_in_image(size))  # (1, 3, H, W)
    rows, columns = shapes_of(dense, size)[dense.outputs[0]][2:]
    patches = cut_patches(image, rows, columns, crop)  # (rows * columns, 3, crop, crop)
    work = {"dense": (fuse(dense), image), "crops": (fuse(classifier), patches)}
    flops = {"dense": count_flops(dense, size, 1), "crops": count_flops(classifier, (crop, crop), len(patches))}
    found = []
    for number, winograd in enumerate((False, True)):
        with use_winograd(winograd):
            turns = []
            for turn in range(repeats + 1):
                turns.append({side: _turn(*work[side]) for side in work})
                if report:
                    report(number * (repeats + 1) + turn + 1, 2 * (repeats + 1))
        dense_side, crops_side = (_side([turn[side] for turn in turns[1:]], flops[side]) for side in work)
        same = float(np.mean(turns[0]["dense"].labels.ravel() == turns[0]["crops"].labels))
        found.append(Comparison(winograd, len(patches), dense_side, crops_side, same))
    return found


def cut_patches(image: Array, rows: int, columns: int, crop: int) -> Array:
    """The patch of each score of the dense network, row by row: (rows * columns, C, crop, crop).

    Poolings round up, so that the last scores may belong to patches that hang over the image: zeros are laid there.
    """
    h, w = (max(length, (count - 1) * STRIDE + crop) for length, count in
            zip(image.shape[2:], (rows, columns), strict=True))
    canvas = np.zeros((*image.shape[:2], h, w), image.dtype)
    canvas[:, :, : image.shape[2], : image.shape[3]] = image
    return np.concatenate([canvas[:, :, p * STRIDE : p * STRIDE + crop, q * STRIDE : q * STRIDE + crop]
                           for p in range(rows) for q in range(columns)])


def count_flops(net: Graph, size: tuple[int, int], batch: int) -> tuple[int, int]:
    """FLOPs of a forward and of a backward pass for training, in which nobody asks for the image's gradient.

    Each layer's backward pass is two sums as long as its forward one: its weights' gradient and its input's, which the
    first layer is spared.
    """
    with init.shapes_only():
        rows = [row.flops for row in inspect(net, size, batch).rows if row.flops]
    return sum(rows), 2 * sum(rows) - rows[0]


class Turn(NamedTuple):
    """One measurement."""

    labels: Array
    forward_seconds: float
    backward_seconds: float


def _turn(net: Graph, x: Array) -> Turn:
    """A forward pass as for prediction and a backward pass as in training, after a pause."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    scores = net.forward(x, record=False)
    forward = time.perf_counter() - start
    labels = scores.argmax(axis=1)
    scores = net.forward(x, record=True)
    start = time.perf_counter()
    net.backward(scores, needs=(False,))  # any gradient takes as long
    backward = time.perf_counter() - start
    for parameter in net.parameters().values():
        parameter.grad = None
    return Turn(labels, forward, backward)


def _side(turns: list[Turn], flops: tuple[int, int]) -> Side:
    forward, backward = (statistics.median(times) for times in zip(*(turn[1:] for turn in turns), strict=True))
    return Side(forward, backward, *flops)
