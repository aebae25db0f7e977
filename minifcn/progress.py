"""What a person sees while something takes its time: a live line on a terminal, plain lines everywhere else."""

import statistics
import sys
import time
from typing import Any, TextIO

PLAIN_EVERY = 5.0  # seconds between two plain lines
WIDE = 115  # columns that a live line with a bar and whole words takes
SHORT = {"accuracy": "acc", "mean IoU": "mIoU", "images/s": "img/s"}  # on a narrower terminal


class Progress:
    """Says nothing: the base of the others, and what a library call uses.

    `update` takes the number of steps done and what is known by now, as (name, text) pairs.
    """

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin to count up to `total`, `done` of them done before."""

    def update(self, done: int, **facts: str) -> None:
        """So many are done."""

    def say(self, text: str) -> None:
        """A line of its own."""

    def close(self) -> None:
        """End the live line, if there is one."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Plain(Progress):
    """One line every few seconds, for files and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.title, self.total, self.first = title, total, done
        self.began = self.spoke = time.perf_counter()

    def update(self, done: int, **facts: str) -> None:
        now = time.perf_counter()
        if now - self.spoke < PLAIN_EVERY and done < self.total:
            return
        self.spoke = now
        left = (now - self.began) / max(1, done - self.first) * (self.total - done)
        words = [f"{self.title} {done}/{self.total}", *(f"{name} {text}" for name, text in facts.items())]
        self.say("  ".join([*words, f"{clock(left)} left"]))

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


class Live(Progress):
    """A line that is redrawn in place, by rich; on a wide terminal with a bar and whole words."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        self.wide = console.width >= WIDE
        bar = [BarColumn(bar_width=16)] if self.wide else []
        self.bar = Bar(
            TextColumn("{task.description}"), *bar, MofNCompleteColumn(), TextColumn("[cyan]{task.fields[facts]}"),
            TimeRemainingColumn(), TextColumn("left"), console=console, speed_estimate_period=30.0,
        )
        self.task: Any = None

    def start(self, title: str, total: int, done: int = 0) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(title, total=total, completed=done, facts="")
        self.bar.start()

    def update(self, done: int, **facts: str) -> None:
        named = {name if self.wide else SHORT.get(name, name): text for name, text in facts.items()}
        self.bar.update(self.task, completed=done, facts="  ".join(f"{name} {text}" for name, text in named.items()))

    def say(self, text: str) -> None:
        self.bar.console.print(text, highlight=False, markup=False)  # a path may have brackets in it

    def close(self) -> None:
        self.bar.stop()


def for_this_terminal() -> Progress:
    """The live bar if a person is watching standard error, plain lines if a file or a pipe is."""
    return Live() if sys.stderr.isatty() else Plain()


def clock(seconds: float) -> str:
    """1:05 or 2:03:04."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Recent:
    """Averages over the last steps, for the display."""

    SPAN = 20

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.hits: list[tuple[int, int]] = []  # right pixels, labelled pixels
        self.rates: list[float] = []  # images a second
        self.mean_iou: float | None = None

    def add(self, loss: float, right: int, labelled: int, rate: float) -> None:
        self.losses.append(loss)
        self.hits.append((right, labelled))
        self.rates.append(rate)

    def loss(self) -> float:
        return statistics.fmean(self.losses[-self.SPAN :])

    def facts(self) -> dict[str, str]:
        right, labelled = (sum(values) for values in zip(*self.hits[-self.SPAN :], strict=True))
        return {
            "loss": f"{self.loss():.4f}",
            "accuracy": f"{right / max(1, labelled):.3f}",
            "mean IoU": "-" if self.mean_iou is None else f"{self.mean_iou:.3f}",
            "images/s": f"{statistics.median(self.rates[-self.SPAN :]):.1f}",
        }
