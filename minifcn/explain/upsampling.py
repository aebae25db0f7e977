"""Three ways from the same coarse scores to every pixel, on street: what the paper weighed, side by side.

A narrow network of stride 8 learns to segment with its scores upsampled bilinearly. Then its trunk stays as it is, and

    bilinear upsampling         the 8x transposed convolution with frozen bilinear filters that it learned with
    learned upsampling          the same with its filters learned, on the trunk's coarse scores
    shift-and-stitch            no upsampling: the scores of all pixels, by 64 shifted runs (or by one rarefied run)

are scored on held-out scenes. Shift-and-stitch has a score of its own for every pixel, but each through the same large
receptive field, with filters that learned to be interpolated, and for 64 runs. The paper tried it and went on
with upsampling (Long et al. 2015, section 3.2).
"""

import statistics
import time
from typing import Any, NamedTuple

import numpy as np

from .. import init
from ..coordinates import alignment, coordinate_map
from ..cutting import scores_of
from ..data import Dataset, Street, batch_indices, channel_statistics, load_batch, to_batch
from ..fusion import fuse
from ..graph import Graph
from ..layers import Conv2d, ConvTranspose2d, Crop, MaxPool2d, ReLU, SoftmaxCrossEntropy
from ..metrics import ConfusionMatrix
from ..ops.check import Array
from ..optim import Adam, Poly
from ..prediction import evaluation_mode
from ..progress import Progress
from .stitching import rarefied_scores, shift_and_stitch

BLOCKS, FEATURES, STRIDE = ((12, 12), (24,), (32,)), 48, 8
STEPS, BATCH, LR = (240, 160), 4, 4e-3
BILINEAR, LEARNED, STITCHED = "bilinear upsampling", "learned upsampling", "shift-and-stitch"


class Comparison(NamedTuple):
    """What `side_by_side` found.

    Attributes:
        mean_iou, seconds: by way; of the validation scenes, and for one of them.
        net: the trained network with bilinear upsampling.
        image, truth: one scene, (H, W, 3) and (H, W) uint8.
        x: the same as the network takes it, (1, 3, H, W).
        coarse: its coarse scores (1, K, h, w).
        labels: by way: the classes of that scene, (H, W) uint8.
        palette: (K, 3) uint8.
    """

    mean_iou: dict[str, float]
    seconds: dict[str, float]
    net: Graph
    image: Array
    truth: Array
    x: Array
    coarse: Array
    labels: dict[str, Array]
    palette: Array


def side_by_side(steps: tuple[int, int] = STEPS, scenes: int = 12, progress: Progress | None = None) -> Comparison:
    """Train the network, learn its upsampling, and score the three ways on `scenes` held-out scenes of street.

    `steps` are those of the network and of its upsampling; `progress` is told of them. The same numbers on each run.
    """
    progress = progress or Progress()
    train, val = Street("train", length=64), Street("val", length=scenes)
    mean, std = channel_statistics(train)
    scaling = {"mean": mean, "scale": 1 / np.maximum(std, 1.0)}
    net = small_fcn(len(train.classes))
    progress.start("learning to segment", steps[0])
    _learn(net, train, scaling, steps[0], progress)
    trunk, learned = scores_of(net), _upsampling(len(train.classes))
    progress.start("learning to upsample", steps[1])
    _learn(learned, train, scaling, steps[1], progress, before=trunk)
    for graph in (net, trunk, learned):
        graph.eval()
    ways = {BILINEAR: net.forward, LEARNED: lambda x: learned.forward(trunk.forward(x), x),
            STITCHED: lambda x: on_the_images_grid(trunk, rarefied_scores(trunk, x), x.shape[2:])}
    mean_iou, seconds = {}, {}
    for name, way in ways.items():
        mean_iou[name], seconds[name] = _score(way, val, scaling)
    began, sample = time.perf_counter(), val[0]
    x = to_batch([sample], scaling["mean"], scaling["scale"], np.float32)[0]
    shift_and_stitch(trunk, x)
    seconds[STITCHED] = time.perf_counter() - began  # in the comparison the rarefied network stood in for it
    labels = {name: way(x)[0].argmax(axis=0).astype(np.uint8) for name, way in ways.items()}
    return Comparison(mean_iou, seconds, net, sample.image, sample.label, x, trunk.forward(x), labels, val.palette)


def small_fcn(num_classes: int) -> Graph:
    """VGG's beginning in small, to stride 8, its scores, and bilinear upsampling: data (N, 3, H, W) -> (N, K, H, W)."""
    net, rng = Graph(), np.random.default_rng(0)
    x, channels = "data", 3
    for block, filters in enumerate(BLOCKS, start=1):
        for number, count in enumerate(filters, start=1):
            x = net.add(f"conv{block}_{number}", Conv2d(channels, count, 3, padding=1, rng=rng), x)
            x, channels = net.add(f"relu{block}_{number}", ReLU(), x), count
        x = net.add(f"pool{block}", MaxPool2d(2, ceil_mode=True), x)
    x = net.add("fc6", Conv2d(channels, FEATURES, 3, padding=1, rng=rng), x)
    x = net.add("relu6", ReLU(), x)
    x = net.add("score_fr", Conv2d(FEATURES, num_classes, 1, rng=rng), x)
    x = net.add("upscore", _transposed(num_classes, frozen=True), x)
    net.add("score", Crop(alignment(net, x, "data")), x, "data")
    return net


def on_the_images_grid(trunk: Graph, dense: Array, size: tuple[int, int]) -> Array:
    """Dense scores brought to the pixels that their receptive fields are centred on: (N, K, H, W).

    The rarefied scores count from the receptive field that begins at the canvas' corner. Beyond the first and last one
    the nearest is taken; a centre between two pixels counts for the upper left one.
    """
    maps = coordinate_map(trunk, trunk.outputs[0], trunk.inputs[0])  # coarse = scale*r + shift, dense = coarse*f
    for axis, (scale, shift) in enumerate(maps):
        centre = np.arange(size[axis]) + round(shift / scale)
        dense = dense.take(np.clip(centre, 0, dense.shape[axis + 2] - 1), axis=axis + 2)
    return dense


def _transposed(num_classes: int, frozen: bool) -> ConvTranspose2d:
    layer = ConvTranspose2d(
        num_classes, num_classes, 2 * STRIDE, stride=STRIDE, bias=False, weight_init=init.bilinear
    )
    layer.weight.lr_mult = float(not frozen)
    return layer


def _upsampling(num_classes: int) -> Graph:
    """The upsampling alone: coarse scores and the image (for its size) -> scores."""
    net = Graph(("score_fr", "data"))
    net.add("upscore", _transposed(num_classes, frozen=False), "score_fr")
    net.add("score", Crop(STRIDE // 2), "upscore", "data")
    return net


def _learn(
    net: Graph, data: Dataset, scaling: dict[str, Any], steps: int, progress: Progress, before: Graph | None = None,
) -> None:
    """Adam on the mean cross-entropy. `before`: a trunk that stays as it is and feeds `net`."""
    loss, policy = SoftmaxCrossEntropy(), Poly(LR, 0.9, steps)
    optimizer, runner = Adam(net.parameters(), LR), fuse(net.train())
    for step in range(steps):
        indices = batch_indices(len(data), BATCH, 0, step)
        x, target = load_batch(data, indices, **scaling)
        given = (x,) if before is None else (_forward(before, x), x)
        scores = runner.forward(*given, record=True)
        value = float(loss.forward(scores, target, record=True))
        runner.backward(loss.backward(1.0)[0], needs=(False,) * len(given))
        optimizer.step(policy(step))
        optimizer.zero_grad()
        progress.update(step + 1, loss=f"{value:.3f}")


def _forward(net: Graph, x: Array) -> Array:
    with evaluation_mode(net):
        return net.forward(x, record=False)


def _score(way: Any, data: Dataset, scaling: dict[str, Any]) -> tuple[float, float]:
    """Mean IoU of a way from x (1, 3, H, W) to scores (1, K, H, W), and the seconds that an image takes."""
    matrix, seconds = ConfusionMatrix(len(data.classes)), []
    for index in range(len(data)):
        x, target = load_batch(data, [index], **scaling)
        began = time.perf_counter()
        scores = way(x)
        seconds.append(time.perf_counter() - began)
        matrix.add(scores.argmax(axis=1), target)
    return matrix.scores().mean_iou, statistics.median(seconds)
