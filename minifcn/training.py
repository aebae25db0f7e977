"""Training: iterate, now and then look how good the network is, save, and leave pictures at the end.

    result = minifcn.train(Settings(data="street", minutes=1), out="runs/street")

One iteration is in `minifcn.learner`; the files of a run are in `minifcn.runs`.
"""

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import pictures
from .arrays import use_device
from .evaluation import score
from .interrupt import Interruptible
from .kernels import use_winograd
from .learner import Learner
from .metrics import Scores
from .prediction import Predictor
from .progress import Progress, Recent, for_this_terminal
from .runs import RunFolder
from .settings import Settings
from .weights import OPTIMIZER, read_checkpoint, write_checkpoint

SHOWN = 4  # scenes in the preview


class Result(NamedTuple):
    """How a training ended."""

    scores: Scores  # of the network in the pictures: the best one, or after an interrupt the last
    classes: tuple[str, ...]
    step: int
    seconds: float  # spent in iterations
    finished: bool  # False after an interrupt
    folder: RunFolder
    curves_drawn: bool  # False where matplotlib is not installed


def train(
    settings: Settings | None, out: str | Path, *,
    resume: bool = False, overwrite: bool = False, progress: Progress | None = None,
) -> Result:
    """Train a network and leave the files that `minifcn.runs` lists in the folder `out`.

    Ctrl-C ends the iteration that is under way, saves a checkpoint and returns.

    Args:
        settings: what to train, how and for how long; None when resuming.
        resume: go on with the run in `out`, by the settings that it was started with.
        overwrite: replace a run that is in `out`.
        progress: what shows how far it is; a bar or plain lines unless given, silent with `progress.Progress()`.

    Raises ValueError for settings or data that do not fit, TrainingError when the loss is no longer a number,
    FileExistsError for a folder that holds a run.
    """
    folder, progress = RunFolder(out), progress or for_this_terminal()
    settings = Settings.from_json(folder.read_info()["settings"]) if resume else settings
    with (
        progress,
        np.errstate(over="ignore", invalid="ignore"),  # the loss is watched: its message says more
        contextlib.nullcontext() if settings is None or settings.winograd else use_winograd(False),
        contextlib.nullcontext() if settings is None else use_device(settings.device),
    ):
        training = _resumed(folder, progress) if resume else _started(settings, folder, overwrite, progress)
        with Interruptible() as interrupt, contextlib.closing(training.learner.batches):
            training.run(interrupt)
        return training.finish()


def _started(settings: Settings | None, folder: RunFolder, overwrite: bool, progress: Progress) -> "Training":
    """A new run: nothing is written before the data were opened and the network built."""
    if settings is None:
        raise ValueError("train: expected settings for a new run, got None. Pass minifcn.Settings(...).")
    folder.check_free(overwrite)
    learner = Learner(settings, progress)
    learner.iterations = learner.plan()
    learner.policy()  # its settings are checked here, while an earlier run is still in the folder
    folder.create()
    folder.write_info(settings, iterations=learner.iterations, **learner.description())
    return Training(learner, folder, progress)


def _resumed(folder: RunFolder, progress: Progress) -> "Training":
    """The run in `folder`, as its last checkpoint left it."""
    info = folder.read_info()
    settings = Settings.from_json(info["settings"])
    if settings.weights and folder.last.is_file():  # they are in there by now, and the file may be gone
        settings = replace(settings, weights=str(folder.last), new_layers=())
    learner = Learner(settings, progress)
    learner.iterations = info["iterations"]
    training = Training(learner, folder, progress)
    training.restore()
    return training


class Training:
    """The loop, and what it counts."""

    def __init__(self, learner: Learner, folder: RunFolder, progress: Progress) -> None:
        self.learner, self.folder, self.progress = learner, folder, progress
        self.step, self.seconds, self.best = 0, 0.0, -1.0
        self.best_scores: Scores | None = None  # of best.safetensors, if it was written since the start or resume

    def run(self, interrupt: Interruptible) -> None:
        """Iterate to the end, or until interrupted."""
        learner, settings = self.learner, self.learner.settings
        evaluate_at = {round(learner.iterations * k / settings.evaluations) for k in range(1, settings.evaluations + 1)}
        recent = Recent()
        self.progress.start("training", learner.iterations, self.step)
        while self.step < learner.iterations and not interrupt.asked:
            start = time.perf_counter()
            seen = learner.train_step(self.step)
            elapsed = time.perf_counter() - start
            self.step, self.seconds = self.step + 1, self.seconds + elapsed
            recent.add(*seen, settings.batch_size * settings.accumulate / elapsed)
            record: dict[str, Any] = {"step": self.step, "seconds": round(self.seconds, 3), "loss": seen.loss}
            if self.step in evaluate_at:
                record |= self.evaluate(recent)
            self.folder.log(record)
            self.progress.update(self.step, **recent.facts())
        if interrupt.asked:
            self.learner.check_weights(self.step)
            self.save()

    def evaluate(self, recent: Recent) -> dict[str, float]:
        """Score the validation images, save, and keep the checkpoint if it is the best so far."""
        self.learner.check_weights(self.step)  # what was saved before is better than NaN
        scores = score(self.learner.predictor, self.learner.val_data)
        recent.mean_iou = scores.mean_iou
        better, self.best = scores.mean_iou > self.best, max(scores.mean_iou, self.best)
        if better:  # written first: the other one says that it exists
            write_checkpoint(self.folder.best, self.learner.net, self.learner.meta() | {"step": self.step})
            self.best_scores = scores
        self.save()
        self.progress.say(f"step {self.step}: loss {recent.loss():.4f}, on the validation images pixel accuracy "
                          f"{scores.pixel_accuracy:.3f}, mean IoU {scores.mean_iou:.3f}")
        return {name: getattr(scores, name) for name in ("pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou")}

    def save(self) -> None:
        """A checkpoint that `restore` can go on from."""
        meta = self.learner.meta() | {"step": self.step, "seconds": self.seconds, "best": self.best}
        write_checkpoint(self.folder.last, self.learner.net, meta, self.learner.optimizer.state())

    def restore(self) -> None:
        """Take over the state of last.safetensors."""
        learner = self.learner
        tensors, meta = read_checkpoint(self.folder.last)
        if meta["architecture"] != learner.net.architecture:
            raise ValueError(f"train: expected {self.folder.last} to hold {learner.net.architecture}, got "
                             f"{meta['architecture']}. Start a new run.")
        learner.net.load({name: array for name, array in tensors.items() if not name.startswith(OPTIMIZER)})
        learner.optimizer.load({n.removeprefix(OPTIMIZER): a for n, a in tensors.items() if n.startswith(OPTIMIZER)})
        self.step, self.seconds, self.best = meta["step"], meta["seconds"], meta["best"]
        self.folder.forget_after(self.step)

    def finish(self) -> Result:
        """Score and paint with the best network, or with the present one after an interrupt."""
        learner, folder = self.learner, self.folder
        finished = self.step >= learner.iterations
        fuse = learner.settings.fuse
        predictor = Predictor.open(folder.path, fuse=fuse, device=learner.device) if finished else learner.predictor
        scores = self.best_scores if finished else None
        scores = scores or score(predictor, learner.val_data)
        samples = [learner.val_data[index] for index in _spread(len(learner.val_data), SHOWN)]
        rows = [(_colors(sample.image), sample.label, predictor.labels(sample.image)) for sample in samples]
        classes = learner.train_data.classes
        pictures.preview(folder.preview, rows, classes, learner.train_data.palette, mean_iou=scores.mean_iou)
        drawn = pictures.curves(folder.curves, folder.records())
        return Result(scores, classes, self.step, self.seconds, finished, folder, drawn)


def _colors(image: np.ndarray) -> np.ndarray:
    """What a person can look at of an image: its first three channels."""
    return image[:, :, :3].astype(np.uint8)


def _spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` numbers below `count`, evenly spread."""
    return sorted({round(k * (count - 1) / max(1, wanted - 1)) for k in range(wanted)})
