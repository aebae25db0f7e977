"""The folder that a training leaves behind, and the settings that repeat it.

    RUN/run.json           settings, versions and what was computed from the data: everything needed to repeat it
    RUN/metrics.jsonl      one object a line: step, seconds, loss; at evaluations the scores too
    RUN/last.safetensors   the newest checkpoint, with the optimiser's state: `--resume` goes on from it
    RUN/best.safetensors   the checkpoint of the highest mean IoU
    RUN/preview.png        image, truth and prediction side by side        RUN/curves.png   loss and scores over time
"""

import dataclasses
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .files import append_line, write_whole


@dataclass(frozen=True)
class Settings:
    """What a training is told. The defaults train the demonstration.

    Attributes:
        model, width, padding: the network; see `minifcn.models`. Padding None: "same" where the model has the choice.
        data: "street", "camvid:PATH" or "folder:PATH".
        size: (H, W) that every image is resized to, None for its own.
        crop: (H, W) that is cut out after that, None for all of it.
        flip, scale: random mirroring; smallest and largest random factor.
        class_weights: "none", "median" (SegNet's median frequency) or "enet".
        optimizer: "adam" or "sgd"; momentum is for sgd.
        lr, policy: learning rate and how it falls: "fixed", "step" or "poly" (Caffe's names).
        gamma, step_size: of "step": times gamma after each step_size of the training (a fraction of it).
        power: of "poly".
        weight_decay: the L2 penalty's gradient is weight_decay * weight.
        batch_size: images a step.
        minutes, epochs, iterations: how long; exactly one of them is set.
        evaluations: how often the validation images are scored on the way, the end included.
        seed: of weights, dropout, order and augmentation.
        device: "cpu", "cuda[:i]" or "auto".
    """

    model: str = "fcn8s"
    width: float = 0.125
    padding: str | None = None
    data: str = "street"
    size: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    flip: bool = True
    scale: tuple[float, float] = (1.0, 1.0)
    class_weights: str = "enet"
    optimizer: str = "adam"
    lr: float = 2e-3
    momentum: float = 0.9
    policy: str = "poly"
    gamma: float = 0.1
    step_size: float = 1 / 3
    power: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 4
    minutes: float | None = None
    epochs: float | None = None
    iterations: int | None = None
    evaluations: int = 8
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        _one_of("class_weights", self.class_weights, ("none", "median", "enet"))
        _one_of("optimizer", self.optimizer, ("adam", "sgd"))
        _one_of("policy", self.policy, ("fixed", "step", "poly"))
        for name in ("width", "lr", "batch_size", "evaluations", "minutes", "epochs", "iterations"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"train: expected {name} above 0, got {value}. Choose a positive number.")
        if sum(value is not None for value in (self.minutes, self.epochs, self.iterations)) != 1:
            raise ValueError(f"train: expected one of minutes, epochs and iterations, got minutes={self.minutes}, "
                             f"epochs={self.epochs}, iterations={self.iterations}. Say how long with one of them.")
        if self.batch_size > 1 and self.crop is None and tuple(self.scale) != (1.0, 1.0):
            raise ValueError(f"train: expected a crop to make a batch of {self.batch_size} from images of random sizes "
                             f"(scale {self.scale}), got none. Add --crop HxW, or use --batch-size 1.")

    @classmethod
    def for_data(cls, **given: Any) -> "Settings":
        """The given settings, and for the others what suits the data: DEMONSTRATION, or PHOTOGRAPHS for files."""
        defaults = DEMONSTRATION if given.get("data", cls.data) == "street" else PHOTOGRAPHS
        length = {name: given.get(name) for name in ("minutes", "epochs", "iterations")}
        if any(value is not None for value in length.values()):
            defaults = {name: value for name, value in defaults.items() if name not in length}
        return cls(**(defaults | given))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Settings":
        """As run.json has them: pairs are lists there."""
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**given)


# What `minifcn train` changes in the defaults when it is told no better: photographs need a wider network.
DEMONSTRATION: dict[str, Any] = {"minutes": 1.4}
PHOTOGRAPHS: dict[str, Any] = {"minutes": 20.0, "width": 0.375, "lr": 1e-3}


class RunFolder:
    """Reads and writes the files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.last = self.path / "last.safetensors"
        self.best = self.path / "best.safetensors"
        self.preview = self.path / "preview.png"
        self.curves = self.path / "curves.png"
        self._info = self.path / "run.json"
        self._metrics = self.path / "metrics.jsonl"

    @property
    def street(self) -> bool:
        """Whether the run is on the built-in scenes."""
        return self.read_info()["settings"]["data"] == "street"

    def check_free(self, overwrite: bool) -> None:
        """Raises FileExistsError if the folder holds (a part of) a run already and `overwrite` is not set."""
        found = [file.name for file in self._files() if file.exists()]
        if found and not overwrite:
            raise FileExistsError(f"train: expected a new folder for --out, got {self.path}, which holds a run "
                                  f"({', '.join(found)}). Use --resume to go on with it, --overwrite to replace it, or "
                                  f"another folder.")

    def create(self) -> None:
        """Make the folder, without anything that an earlier run left there."""
        self.path.mkdir(parents=True, exist_ok=True)
        for file in self._files():
            file.unlink(missing_ok=True)

    def _files(self) -> tuple[Path, ...]:
        return self._info, self._metrics, self.last, self.best, self.preview, self.curves

    def write_info(self, settings: Settings, **more: Any) -> None:
        """Write run.json: the settings, the versions that matter for repeating them, and what else was found out."""
        versions = {"minifcn": __version__, "numpy": np.__version__, "python": platform.python_version()}
        info = {"settings": dataclasses.asdict(settings), "versions": versions, **more}
        write_whole(self._info, (json.dumps(info, indent=2, default=list) + "\n").encode())

    def read_info(self) -> dict[str, Any]:
        """What `write_info` wrote. Raises FileNotFoundError, or ValueError if it is something else."""
        if not self._info.is_file():
            raise FileNotFoundError(f"train: expected a run to resume in {self.path}, got no run.json there. "
                                    f"Start it without --resume.")
        try:
            info = json.loads(self._info.read_text())
        except ValueError as error:
            raise ValueError(f"train: expected JSON in {self._info}, got: {error}. Start a new run.") from error
        if not {"settings", "iterations"} <= info.keys():
            raise ValueError(f"train: expected settings and iterations in {self._info}, got {', '.join(info)}. "
                             f"Start a new run.")
        return info

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        append_line(self._metrics, json.dumps(record))

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that an interrupt cut short is passed over."""
        if not self._metrics.is_file():
            return []
        records = []
        for line in self._metrics.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def forget_after(self, step: int) -> None:
        """Drop what was logged after the checkpoint that a resumed training starts from: it will be logged again."""
        kept = [json.dumps(record) for record in self.records() if record["step"] <= step]
        write_whole(self._metrics, "".join(f"{line}\n" for line in kept).encode())


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"train: expected {name} among {', '.join(allowed)}, got {value!r}. Choose one of these.")
