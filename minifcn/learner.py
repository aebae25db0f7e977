"""A network that learns: its data, its optimiser, and one iteration of training, forward and backward.

Everything random in iteration t, the batch, its augmentation and the dropout masks, is made from (seed, t) and from
nothing else. So there is no random state to save: a run that was stopped and resumed ends with the same bits as one
that was not.
"""

import contextlib
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import data, models, optim
from .arrays import all_finite, numbers_of, resolve_device
from .batching import Batches, TrainingError
from .enlarging import size_taken
from .fusion import fuse
from .gpu_memory import advice_for_training, memory_explained
from .layers import SoftmaxCrossEntropy
from .ops.check import Array
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
)
from .progress import Progress
from .settings import Settings


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
        self.batches = Batches(
            settings, self.net, self.device, self.train_data, self.preprocessing, self.class_weights)
        second = [SoftmaxCrossEntropy(reduction=settings.reduction)] if self.batches.second_data else []
        self.losses = [self.loss, *second]  # one for each output
        with memory_explained("train", lambda capacity: "Use a smaller --width, --optimizer sgd, or --device cpu."):
            self.optimizer = optimizer_for(settings, self.net.parameters())
        self.runner = fuse(self.net) if settings.fuse else self.net
        self.predictor = Predictor(self.net, self.meta(), settings.fuse)
        self.iterations = 0

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
        end = self.iterations * self.settings.accumulate
        x, weight, *targets = self.batches.on_device(number, end)  # (N, C, H, W), (N, H, W) or None, (N, H, W) a head
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

    def check_weights(self, step: int) -> None:
        """Raises TrainingError if the last of `step` updates left a NaN or an infinity in the network."""
        state = self.net.state()
        finite = numbers_of(*map(all_finite, state.values()))
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
        with contextlib.closing(self.batches):
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
            if hasattr(value, "dtype") and not all_finite(value):
                weights = self.net[name.split(".")[0]].parameters().values()
                spoiled = any(not all_finite(p.data) for p in weights)
                how = "whose weights the last update spoiled" if spoiled else "from finite weights"
                where = f"layer {name!r}, {how}"
                break
        return (f"train: expected a finite loss, got {loss} in iteration {step}; the first to produce one was {where}. "
                f"Lower the learning rate ({self.settings.lr:g}) and start again, or resume from the last checkpoint.")


def _hits(scores: Array, target: Array) -> tuple[Array, Array]:
    """How many pixels are right and how many are labelled, for scores (N, K, H, W): 0-d arrays beside them."""
    valid = target != data.VOID  # (N, H, W)
    return ((scores.argmax(axis=1) == target) & valid).sum(), valid.sum()


def _seconds(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start
