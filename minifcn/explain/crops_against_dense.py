"""A classifier crop by crop against the same classifier made dense: where the two agree, and where they cannot.

    for row in agreements("alexnet", image): print(row)      # one crop, then every crop of the image
    print(border_effect("alexnet", image))                   # the network as published, which pads inside

On one crop the two are the same sum in another notation. On a larger image every output of the dense network is the
classifier's on the crop 32 pixels further, as long as no layer pads. The published networks do pad: at its border the
crop sees zeros where the dense network sees the pixels around it. How far that reaches into the crop's last map follows
from the layers on the way, and is measured here by distance to the crop's border.

Source: Long, Shelhamer, Darrell 2015, section 3.1; the paper passes over the difference that padding makes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import models
from ..arrays import use_winograd
from ..coordinates import coordinate_map
from ..graph import Graph
from ..ops.check import Array
from ..surgery import convolutionalize
from .scene import as_batch, built_in_image

NUM_CLASSES = 21
MORE = (64, 96)  # rows and columns by which the built-in image is larger than the largest crop: 3x4 crops
# dtype, whether Winograd is allowed, and how far the two may be apart, relative to the largest score.
SETTINGS = (("float64", False, 1e-12), ("float32", False, 1e-5), ("float32", True, 1e-4))


class Agreement(NamedTuple):
    """How far dense network and classifier are apart in one setting."""

    what: str  # "one crop" or "every crop"
    padding: str
    dtype: str
    winograd: bool
    crops: int
    max_relative_difference: float  # of the scores, relative to the largest
    allowed: float

    @property
    def equal(self) -> bool:
        return self.max_relative_difference <= self.allowed


class Ring(NamedTuple):
    """The cells of the crop's last map that lie so many cells from its border."""

    distance: int
    pixels: int  # the same distance in the image
    cells: int
    max_relative_difference: float  # relative to the largest number of the map
    mean_relative_difference: float


@dataclass(frozen=True)
class BorderEffect:
    """What padding does in a published network: the crop in the middle of the image against the dense network there."""

    value: str  # the last map
    padded: tuple[tuple[str, int], ...]  # layers that pad, and by how much
    rings: tuple[Ring, ...]
    scores_relative_difference: float


@dataclass(frozen=True)
class Twins:
    """A classifier and its dense form, which share all numbers."""

    classifier: Graph
    dense: Graph
    crop: int
    stride: int

    @classmethod
    def build(cls, name: str, padding: str, width: float, dtype: str) -> "Twins":
        crop = (models.MODELS[name].crops or {})[padding]
        classifier = models.build(name, num_classes=NUM_CLASSES, width=width, padding=padding, rng=0, dtype=dtype)
        classifier.eval()
        dense = convolutionalize(classifier, crop)
        (scale, _), _ = coordinate_map(dense, dense.outputs[0])
        return cls(classifier, dense, crop, int(1 / scale))

    def cut(self, x: Array, p: int, q: int) -> Array:
        """The crop that output (p, q) of the dense network stands for."""
        top, left = p * self.stride, q * self.stride
        return x[:, :, top : top + self.crop, left : left + self.crop]

    def counts(self, x: Array) -> tuple[int, int]:
        """How many crops fit below and beside each other."""
        h, w = ((size - self.crop) // self.stride + 1 for size in x.shape[2:])
        return h, w


def check_classifier(name: str) -> None:
    """Raises ValueError unless `name` is a classifier of the registry."""
    names = models.names_of("classification")
    if name not in names:
        raise ValueError(f"compare crops: expected a classifier, {' or '.join(names)}, got {name!r}. Choose one.")


def image_for(name: str, size: tuple[int, int] | None = None) -> Array:
    """A street scene (H, W, 3) in `size`, or one that holds 3x4 of the largest crops of classifier `name`.

    Raises ValueError for a size that no crop fits into.
    """
    crop = max((models.MODELS[name].crops or {}).values())
    size = size or (crop + MORE[0], crop + MORE[1])
    if min(size) < crop:
        raise ValueError(f"compare crops: expected an image of at least {crop}x{crop}, the crop that {name} without "
                         f"padding takes, got {size[0]}x{size[1]}. Use a larger --size.")
    return built_in_image(size)


def agreements(name: str, image: Array, *, width: float = 1 / 16) -> Iterator[Agreement]:
    """Twice for each of SETTINGS: as published on one crop, and without padding on every crop of `image`.

    Args:
        name: a classifier of the registry.
        image: (H, W, 3) uint8, at least as large as the crop of padding "valid".
        width: times the paper's channels.

    Raises ValueError for another model.
    """
    check_classifier(name)
    for dtype, winograd, allowed in SETTINGS:
        x = as_batch(image, dtype)
        for what, padding in (("one crop", "paper"), ("every crop", "valid")):
            twins = Twins.build(name, padding, width, dtype)
            with use_winograd(winograd):
                part = twins.cut(x, 0, 0) if what == "one crop" else x
                difference = _difference_of_scores(twins, part)
            h, w = twins.counts(part)
            yield Agreement(what, padding, dtype, winograd, h * w, difference, allowed)


def border_effect(name: str, image: Array, *, width: float = 1 / 16) -> BorderEffect:
    """How far a network as published and its dense form are apart on the crop in the middle of `image`, in float64.

    Arguments and errors are those of `agreements`.
    """
    check_classifier(name)
    twins, x = Twins.build(name, "paper", width, "float64"), as_batch(image, "float64")
    p, q = (count // 2 for count in twins.counts(x))
    value, own, scores = _last_map(twins.classifier, twins.cut(x, p, q))  # (1, C, h, w)
    values = dict(twins.dense.walk(x))
    h, w = own.shape[2:]
    there = values[value][:, :, p : p + h, q : q + w]
    apart = abs(there - own).max(axis=(0, 1)) / abs(own).max()  # (h, w)
    dense_scores = values[twins.dense.outputs[0]][:, :, p, q]
    return BorderEffect(value, _padded_layers(twins.classifier), tuple(_rings(apart, twins.stride)),
                        float(abs(dense_scores - scores).max() / abs(scores).max()))


def _difference_of_scores(twins: Twins, x: Array) -> float:
    """The largest difference over all crops of x, relative to the largest score."""
    dense = twins.dense.forward(x, record=False)  # (1, K, rows, columns) at least
    rows, columns = twins.counts(x)
    largest = difference = 0.0
    for p in range(rows):
        crops = np.concatenate([twins.cut(x, p, q) for q in range(columns)])  # a row of crops at a time
        scores = twins.classifier.forward(crops, record=False)  # (columns, K)
        largest = max(largest, float(abs(scores).max()))
        difference = max(difference, float(abs(dense[0, :, p, :columns].T - scores).max()))
    return difference / largest


def _last_map(classifier: Graph, crop: Array) -> tuple[str, Array, Array]:
    """Name and numbers of the last value that still has rows and columns, and the scores."""
    last: tuple[str, Any] = ("data", crop)
    for name, y in classifier.walk(crop):
        if y.ndim == 4 and min(y.shape[2:]) > 1:
            last = name, y
    return *last, y


def _padded_layers(net: Graph) -> tuple[tuple[str, int], ...]:
    return tuple((node.name, max(padding)) for node in net.nodes if any(padding := getattr(node.layer, "padding", ())))


def _rings(apart: Array, stride: int) -> Iterator[Ring]:
    """The map of differences (h, w), by distance to its border."""
    h, w = apart.shape
    i, j = np.indices((h, w))
    distance = np.minimum.reduce([i, j, h - 1 - i, w - 1 - j])
    for d in range(int(distance.max()) + 1):
        ring = apart[distance == d]
        yield Ring(d, d * stride, ring.size, float(ring.max()), float(ring.mean()))
