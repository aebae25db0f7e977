"""A network that learns: its data, its optimiser, and one iteration of training, forward and backward.

Everything random in iteration t, the batch, its augmentation and the dropout masks, is made from (seed, t) and from
nothing else. So there is no random state to save: a run that was stopped and resumed ends with the same bits as one
that was not.
"""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import data, models, optim
from .arrays import array_module, numbers_of, resolve_device
from .enlarging import enlarged, size_taken
from .feeding import Feeding
from .fusion import fuse
from .gpu_memory import advice_for_training, memory_explained
from .layers import SoftmaxCrossEntropy
from .ops.check import Array
from .output_grid import labels_for
from .prediction import Predictor, divided
from .preparation import (
    check_channels,
    check_image_size,
    check_one_size,
    loss_weights,
    network_for,
    open_both,
    optimizer_for,
    preprocessing_for,
    second_labels,
)
from .progress import Progress
from .settings import Settings
from .shapes import shapes_of


class TrainingError(ValueError):
    """The training cannot go on: the message says why and what to do."""


class Seen(NamedTuple):
    """What an iteration shows of itself."""

    loss: float
    right: int  # pixels of the last batch
    labelled: int  # of how many that are not void


class Learner:
    """What `Settings` describe, made and ready to go.

    Attributes:
        net, loss, optimizer: the network and what makes it learn. A network of two heads has a second loss.
        preprocessing: of its pictures: as its weights want it, or by the statistics of the training images.
        runner: the Graph that does the network's work: the fused one, with the same layers, or the network itself.
        train_data, val_data: data sets; the training images resized and kept in memory, the others as they are.
        predictor: the network with all that prediction needs.
        iterations: how many there will be in all; set by `plan`, or from run.json. The learning rate depends on it.
    """

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings, self.progress = settings, progress
        models.check_segments("train", settings.model)
        self.device, note = resolve_device(settings.device)
        self.train_data, self.val_data = open_both(settings)
        with memory_explained("train", lambda capacity: "Use a smaller --width, or --device cpu."):
            self.net = network_for(settings, len(self.train_data.classes)).to(device=self.device)
        check_channels(settings, self.net, self.train_data)
        check_one_size(settings, self.train_data)
        check_image_size(settings, self.net, self.train_data, self.val_data)
        self.preprocessing, taken = preprocessing_for(settings, self.net, self.train_data)
        self.class_weights = loss_weights(settings.class_weights, self.train_data)
        for remark in (note, taken, *self.train_data.notes):  # some notes come when the first mask is read
            if remark:
                progress.say(remark)
        in_loss = self.class_weights if settings.weight_map == "none" else None  # a map has them in it
        self.loss = SoftmaxCrossEntropy(weight=in_loss, reduction=settings.reduction)
        self.second_data = second_labels(settings, self.net)
        second = [SoftmaxCrossEntropy(reduction=settings.reduction)] if self.second_data else []
        self.losses = [self.loss, *second]  # one for each output
        with memory_explained("train", lambda capacity: "Use a smaller --width, --optimizer sgd, or --device cpu."):
            self.optimizer = optimizer_for(settings, self.net.parameters())
        self.augmentation = data.Augmentation(settings.flip, settings.scale, settings.crop, settings.elastic)
        self.runner = fuse(self.net) if settings.fuse else self.net
        self.predictor = Predictor(self.net, self.meta(), settings.fuse)
        self.iterations = 0
        self.scored: dict[tuple[int, int], list[Any]] = {}  # (H, W) of images -> of each head's scores
        self.feeding: Feeding | None = None  # made with the first batch for a GPU

    def train_step(self, step: int) -> "Seen":
        """Iteration `step`: one or several batches, one update. Returns the loss, and the hits in the last batch."""
        parts, loss = self.settings.accumulate, 0.0
        with memory_explained("train", self._advice):
            for number in range(step * parts, (step + 1) * parts):
                seen = self.add_gradients(number)
                loss += seen.loss / parts
            self.optimizer.step(self.policy()(step))
            self.optimizer.zero_grad()
        return seen._replace(loss=loss)

    def add_gradients(self, number: int) -> "Seen":
        """Batch `number`: forward, loss, backward. Returns the loss and how many pixels were right.

        Of several batches that make one update, each counts for its part of the gradient (Caffe's iter_size).
        """
        x, weight, *targets = self.batch_on_device(number)  # (N, C, H, W), (N, H, W) or None, (N, H, W) for each head
        self._draw_dropout(number)
        y = self.runner.forward(*divided(self.net, x), record=True)
        scores = list(y) if isinstance(y, tuple) else [y]  # (N, K, H, W), from each head
        weights = [weight, None][: len(targets)]
        losses = [layer.forward(*given, record=True)
                  for layer, *given in zip(self.losses, scores, targets, weights, strict=True)]
        # All that the host wants to know of a step, so that it waits for a GPU once.
        *losses, right, labelled = numbers_of(*losses, *_hits(scores[0], targets[0]))
        loss = sum(losses)
        if not math.isfinite(loss):
            raise TrainingError(self._explain(loss, number, x))
        del y, scores  # what has no name is freed as soon as the last layer has used it
        nobody = (False,) * len(self.net.inputs)  # wants the photograph's gradient
        part = 1.0 / self.settings.accumulate
        self.runner.back_out([layer.backward(part)[0] for layer in self.losses], nobody)
        return Seen(loss, int(right), int(labelled))

    # What is learned from. All of it is made on the host, by the number of the batch alone.

    def batch_on_device(self, number: int) -> Sequence[Any]:
        """`batch_for_loss` where the network is. On the way to a GPU the next batch is under way already."""
        if self.device == "cpu":
            return self.batch_for_loss(number)
        self.feeding = self.feeding or Feeding(self.batch_for_loss, self.device)
        end = self.iterations * self.settings.accumulate
        return self.feeding.take(number, number + 1 if number + 1 < end else None)

    def close(self) -> None:
        """End what works beside: the thread that feeds a GPU."""
        if self.feeding is not None:
            self.feeding.close()
            self.feeding = None

    def batch_for_loss(self, number: int) -> list[Any]:
        """What the losses of a batch are made of: the images, pixel weights or None, and the labels for each head."""
        x, target = self.batch(number)
        targets = self._at_scores([target, *self.second_target(number)], x.shape[2:], number)
        return [x, self.pixel_weight(targets[0], x.dtype), *targets]

    def pixel_weight(self, target: Array, dtype: Any) -> Array | None:
        """What each pixel counts in the first head's loss, (N, H, W) for labels (N, H, W); None: what its class does.

        Made from the labels as the loss sees them, so it fits them however they were augmented or cut.
        """
        if self.settings.weight_map == "none":
            return None
        return np.stack([data.unet_weight_map(label, self.class_weights) for label in target]).astype(dtype)

    def batch(self, number: int) -> tuple[Array, Array]:
        """The images and labels of a batch; without accumulation that is the one of iteration `number`."""
        x, target = self._load(self.train_data, number)
        self._check_labelled(target, number)
        return x, target

    def _check_labelled(self, target: Array, number: int) -> None:
        if not data.valid_pixels(target):
            names = ", ".join(self.train_data.files(int(index))[1] for index in self._indices(number))
            raise TrainingError(f"train: expected some labelled pixels in each batch, got only void ones in iteration "
                                f"{number // self.settings.accumulate} ({names}). Look at these masks, use a larger "
                                f"crop or larger batches.")

    def _at_scores(self, targets: list[Array], image: tuple[int, int], number: int) -> list[Array]:
        """The labels of a batch at the places of the scores, if there is not one for each pixel of the (H, W) image."""
        if image not in self.scored:
            shapes = shapes_of(self.net, image)
            self.scored[image] = [shapes[name][2:] for name in self.net.outputs]
        found = [labels_for(self.net, name, target, size)
                 for name, target, size in zip(self.net.outputs, targets, self.scored[image], strict=True)]
        if found[0] is not targets[0]:
            self._check_labelled(found[0], number)  # of the image some may be labelled, but not of what is scored
        return found

    def second_target(self, number: int) -> list[Array]:
        """The labels of a batch for the second head, if there is one.

        They are cut out and mirrored as the first ones are, since the random numbers are made from the batch's number.
        """
        return [self._load(self.second_data, number)[1]] if self.second_data else []

    def _load(self, dataset: Any, number: int) -> tuple[Array, Array]:
        seen = self.preprocessing
        x, target = data.load_batch(
            dataset, self._indices(number), augmentation=self.augmentation, seed=self.settings.seed, step=number,
            mean=seen.mean, scale=seen.scale, channel_order=seen.channel_order,
        )
        if self.settings.pad:
            size = size_taken(self.net, x.shape[2:])
            x, target = enlarged(x, size), enlarged(target, size, data.VOID)
        return x, target

    def _indices(self, number: int) -> Array:
        return data.batch_indices(len(self.train_data), self.settings.batch_size, self.settings.seed, number)

    def check_weights(self, step: int) -> None:
        """Raises TrainingError if the last of `step` updates left a NaN or an infinity in the network."""
        state = self.net.state()
        finite = numbers_of(*(array_module(array).isfinite(array).all() for array in state.values()))
        for name, is_finite in zip(state, finite, strict=True):
            if not is_finite:
                raise TrainingError(f"train: expected finite weights, got NaN or infinity in {name} after iteration "
                                    f"{step - 1}. Lower the learning rate ({self.settings.lr:g}) and start again, or "
                                    f"resume from the last checkpoint.")

    def policy(self) -> Any:
        """The learning rate as a function of the iteration."""
        settings = self.settings
        if settings.policy == "poly":
            return optim.Poly(settings.lr, settings.power, self.iterations)
        if settings.policy == "step":
            return optim.Step(settings.lr, settings.gamma, max(1, round(settings.step_size * self.iterations)))
        return optim.Fixed(settings.lr)

    # How long.

    def plan(self) -> int:
        """How many iterations the settings ask for; `minutes` are measured on a few that are then undone."""
        settings = self.settings
        if settings.iterations is not None:
            return settings.iterations
        if settings.epochs is not None:
            images = settings.batch_size * settings.accumulate
            return max(1, round(settings.epochs * len(self.train_data) / images))
        assert settings.minutes is not None
        self.iterations = 1 << 30  # for the learning rate of these few
        net = {name: array.copy() for name, array in self.net.state().items()}
        optimizer = self.optimizer.state()  # copies already
        with contextlib.closing(self):
            seconds = [_seconds(self.train_step, step) for step in range(5)][1:]  # the first one warms up
        self.net.load(net)
        self.optimizer.load(optimizer)
        image = self.val_data[0].image
        scoring = min(_seconds(self.predictor.labels, image) for _ in range(2)) * len(self.val_data)
        left = settings.minutes * 60 - settings.evaluations * scoring
        return max(1, int(left / statistics.median(seconds)))

    # Describing it.

    def meta(self) -> dict[str, Any]:
        """All that prediction needs beside the weights."""
        return {"classes": list(self.train_data.classes), "palette": self.train_data.palette.tolist(),
                **self.preprocessing.meta(), "ignore_index": data.VOID, "seed": self.settings.seed,
                "pad": self.settings.pad}

    def description(self) -> dict[str, Any]:
        """What run.json says beside the settings."""
        return {"class_weights": self.class_weights, **self.meta(), "architecture": self.net.architecture,
                "parameters": models.count_parameters(self.net)}

    # Details.

    def _advice(self, capacity: int) -> str:
        """What would fit into so many bytes of a GPU's memory."""
        size, slots = self.settings.crop or self.train_data[0].label.shape, len(self.optimizer.slots)
        if self.settings.pad:
            size = size_taken(self.net, size)
        return advice_for_training(capacity, self.net, self.runner, slots, size, self.settings.batch_size)

    def _draw_dropout(self, number: int) -> None:
        # The trailing 2 keeps these numbers apart from those of the order (seed, epoch) and of the augmentation.
        self.net.reseed(np.random.SeedSequence([self.settings.seed, number, 0, 2]))

    def _explain(self, loss: float, number: int, x: Array) -> str:
        """Run the iteration once more, unfused, to name the first layer that made a NaN or an infinity."""
        self.runner.discard()
        self._draw_dropout(number)
        step = number // self.settings.accumulate
        where = "the loss itself, on finite scores"
        for name, value in self.net.walk(*divided(self.net, x)):
            if hasattr(value, "dtype") and not _finite(value):
                weights = self.net[name.split(".")[0]].parameters().values()
                spoiled = any(not _finite(p.data) for p in weights)
                how = "whose weights the last update spoiled" if spoiled else "from finite weights"
                where = f"layer {name!r}, {how}"
                break
        return (f"train: expected a finite loss, got {loss} in iteration {step}; the first to produce one was {where}. "
                f"Lower the learning rate ({self.settings.lr:g}) and start again, or resume from the last checkpoint.")


def _hits(scores: Array, target: Array) -> tuple[Array, Array]:
    """How many pixels are right and how many are labelled, for scores (N, K, H, W): 0-d arrays beside them."""
    valid = target != data.VOID  # (N, H, W)
    return ((scores.argmax(axis=1) == target) & valid).sum(), valid.sum()


def _finite(array: Array) -> bool:
    return bool(array_module(array).isfinite(array).all())


def _seconds(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start
