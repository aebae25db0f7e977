"""The folder that a training leaves behind.

    RUN/run.json           settings, versions and what was computed from the data: everything needed to repeat it
    RUN/metrics.jsonl      one object a line: step, seconds, loss; at evaluations the scores too
    RUN/last.safetensors   the newest checkpoint, with the optimiser's state: `--resume` goes on from it
    RUN/best.safetensors   the checkpoint of the highest mean IoU
    RUN/preview.png        image, truth and prediction side by side        RUN/curves.png   loss and scores over time
"""

import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .files import append_line, write_whole
from .settings import Settings


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
