"""The GPU benchmark: every pass of kernels/cuda and whole training steps, minifcn beside PyTorch, in one process.

    python -m benchmarks.gpu --list
    python -m benchmarks.gpu --quick --minutes 8
    python -m benchmarks.gpu --rows "max-pool" --batch 8
    python -m benchmarks.gpu --continue benchmarks/results/gpu-DATE-part.json

It needs a GPU, and of packages NumPy, CuPy and PyTorch with CUDA; nothing is compiled by numba, nothing is downloaded.
The results are written after each row: gpu-DATE-part until every row is there, then gpu-DATE.
"""

import argparse
import datetime
import json
import os
import platform
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .clock import Effort
from .cpu import RESULTS, counts

NEEDED = {"numpy": "numpy", "cupy": "cupy-cuda12x or cupy-cuda13x, as the driver's CUDA is", "torch": "torch with CUDA"}
PACKAGES = ("numpy", "cupy-cuda12x", "cupy-cuda13x", "torch", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
FULL, QUICK = Effort(least=9, most=25, seconds=0.5), Effort(least=5, most=5)
MISSING, FAULTY = 2, 1  # exit codes: nothing could be measured; a row failed, or its numbers are wrong


def main(arguments: list[str] | None = None, make_card: Any = None) -> int:
    """The command; `make_card` makes what is measured, where it is not this machine's GPU."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    why = _why_not(options, make_card)
    if why:
        print(f"benchmark: error: {why}", file=sys.stderr)
        return MISSING
    from . import gpu_rows

    jobs = gpu_rows.jobs(options.rows, options.batch, options.quick)
    if not jobs:
        print(f"benchmark: error: expected rows whose name contains {options.rows!r}, got none. See --list.",
              file=sys.stderr)
        return MISSING
    if options.list:
        print(*(f"{row.title}, N = {batch}" for row, batch in jobs), sep="\n")
        return 0
    from .gpu_card import Card

    run = Run(options, jobs, (make_card or Card)())
    lost = run.measure_all()
    run.finish()
    if lost:
        _start_again(given, run)
    return FAULTY if any(row["verdict"] in ("FAILED", "INEXACT") for row in run.report["rows"]) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", metavar="PATTERN", help="only rows whose name contains PATTERN")
    parser.add_argument("--batch", type=counts, default=(1, 8), metavar="1,8", help="batch sizes")
    parser.add_argument("--quick", action="store_true",
                        help="only the most important rows, fewer turns, PyTorch in its default layout: some minutes")
    parser.add_argument("--minutes", type=float, metavar="M",
                        help="begin no row after so many minutes; the most important rows come first")
    parser.add_argument("--scale", type=float, default=1.0, help="shrink all sizes: to try the benchmark itself")
    parser.add_argument("--continue", dest="earlier", type=Path, metavar="FILE",
                        help="keep the rows of an earlier part on the same card, and measure what is left")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER",
                        help=f"where gpu-DATE.json and .md go (default: benchmarks/{RESULTS.name})")
    parser.add_argument("--list", action="store_true", help="list the rows in their order, measure nothing")
    return parser


def _why_not(options: argparse.Namespace, make_card: Any) -> str:
    """Why the command cannot do what is asked, in one line; "" if it can."""
    missing = [name for name in NEEDED if find_spec(name) is None and (make_card is None or name != "cupy")]
    if missing and not options.list:
        return (f"expected {', '.join(NEEDED)} to be installed, got no {' and no '.join(missing)}. "
                f"Install {'; '.join(NEEDED[name] for name in missing)}.")
    if options.earlier and not options.earlier.is_file():
        return f"expected a part of an earlier run, got no file {options.earlier}. Leave out --continue."
    if options.list or make_card is not None:
        return ""
    from .gpu_card import why_not

    reason = why_not()
    return f"expected {reason}." if reason else ""


class Run:
    """Jobs on a card, and the report that grows with them.

    Attributes:
        report: what the files say.
    """

    def __init__(self, options: argparse.Namespace, jobs: list[tuple[Any, int]], card: Any) -> None:
        self.options, self.card = options, card
        self.began = time.perf_counter()
        self.report: dict[str, Any] = {
            "date": datetime.date.today().isoformat(), **_machine(card), "quick": options.quick,
            "scale": options.scale, "whole": False, "seconds": 0.0, "rows": [], "left": [],
        }
        if options.earlier:
            self._take_over(json.loads(options.earlier.read_text()))
        self.earlier_seconds = self.report["seconds"]
        done = {(row["title"], row["batch"]) for row in self.report["rows"]}
        self.jobs = [(row, batch) for row, batch in jobs if (row.title, batch) not in done]
        self.everything = not options.quick and not options.rows and options.scale == 1 and options.batch == (1, 8)

    def _take_over(self, earlier: dict[str, Any]) -> None:
        for key in ("card", "scale"):
            if earlier[key] != self.report[key]:
                raise SystemExit(f"benchmark: error: expected a part of a run with {key} {self.report[key]!r}, got "
                                 f"{earlier[key]!r}. Leave out --continue.")
        self.report |= {key: earlier[key] for key in ("date", "seconds", "rows")}

    def measure_all(self) -> bool:
        """Measure every job that there is time for; whether the device was lost, so that only a new process has it."""
        from . import gpu_report

        try:
            self.report["limits"] = self.card.limits()
            print(*self.report["about"], *gpu_report.limit_lines(self.report), gpu_report.heading(), sep="\n")
            for number, (row, batch) in enumerate(self.jobs):
                self.report["left"] = [f"{row.title}, N = {batch}" for row, batch in self.jobs[number:]]
                minutes = (time.perf_counter() - self.began) / 60
                if self.options.minutes is not None and minutes >= self.options.minutes:
                    break
                if self._measure(row, batch):
                    return True
            else:
                self.report["left"] = []
                self.report["limits_at_end"] = self.card.limits()
        except KeyboardInterrupt:
            print("interrupted: what was measured is kept")
        return False

    def _measure(self, row: Any, batch: int) -> bool:
        """Add one result; whether the device was lost in it."""
        from . import gpu_report

        began, lost = time.perf_counter(), False
        try:
            found = self._found(row, batch)
        except Exception as error:  # one row that does not fit or does not run must not cost the others
            found = gpu_report.failure(row.title, batch, f"{type(error).__name__}: {str(error).strip()[:300]}")
            print(found["why"])
            lost = not self._alive()
        found["seconds"] = time.perf_counter() - began
        self.report["rows"].append(found)
        self.report["left"] = self.report["left"][1:]
        print(gpu_report.line(found), flush=True)
        self.write()
        if not lost:
            self.card.release()
        return lost

    def _found(self, row: Any, batch: int) -> dict[str, Any]:
        """In a function of its own, so that nothing of a row's memory is held on to behind it."""
        from .cases import Dimensions
        from .gpu_measure import measure

        effort = QUICK if self.options.quick else FULL
        dimensions = Dimensions(batch, self.options.scale, self.card)
        return measure(row, dimensions, self.card, effort, self.report["limits"], self.options.quick)

    def _alive(self) -> bool:
        """After some errors, such as a kernel's writing outside of its arrays, every later call of a process fails."""
        try:
            self.card.synchronize()
        except Exception:
            return False
        return True

    def finish(self) -> None:
        """The last files, under the date alone if nothing is missing, and the summary."""
        from . import gpu_report

        parts = [self.path("json"), self.path("md")]
        self.report["whole"] = self.everything and not self.report["left"]
        self.write()
        if self.report["whole"]:
            for part in parts:
                part.unlink(missing_ok=True)
        print(*gpu_report.summary(self.report), f"wrote {self.path('json')} and .md", sep="\n")

    def write(self) -> None:
        from minifcn.files import write_whole

        from . import gpu_report, report

        self.report["seconds"] = self.earlier_seconds + time.perf_counter() - self.began
        self.options.out.mkdir(parents=True, exist_ok=True)
        write_whole(self.path("json"), report.as_json(self.report))
        write_whole(self.path("md"), gpu_report.markdown(self.report).encode())

    def path(self, ending: str) -> Path:
        name = f"gpu-{self.report['date']}{'' if self.report['whole'] else '-part'}"
        return self.options.out / f"{name}.{ending}"


def _machine(card: Any) -> dict[str, Any]:
    """What was measured on, and with which versions."""
    import minifcn

    from . import machine

    found = {
        **card.describe(), "processor": machine.processor(), "python": platform.python_version(),
        "minifcn": minifcn.__version__, "versions": machine.versions(PACKAGES),
        "environment": machine.environment("CUDA_", "CUPY_", "NVIDIA_", "TORCH_", "PYTORCH_", "CUBLAS_", "CUDNN_"),
        "passes_by_cupy": _passes_by_cupy(),
    }
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    found["about"] = [
        f"{found['card']}, {found['multiprocessors']} multiprocessors, {found['memory_bytes'] / 2**30:.0f} GiB, "
        f"level-2 cache {found['cache_bytes'] / 2**20:.0f} MiB; driver {found['driver']}",
        f"CUDA {found['cuda']} of PyTorch and {found['cuda_of_cupy']} of CuPy, cuDNN {found['cudnn']}; {versions}",
        f"minifcn {found['minifcn']}, Python {found['python']}, {found['processor']}",
    ]
    if found["passes_by_cupy"]:
        found["about"].append(f"passes without a CUDA source, made of CuPy's: {', '.join(found['passes_by_cupy'])}")
    return found


def _passes_by_cupy() -> list[str]:
    from minifcn.kernels import cuda

    return [name for name in cuda.__all__ if ".array." in getattr(cuda, name).__module__]


def _start_again(given: list[str], run: Run) -> None:
    """A lost device is there again for a new process, which goes on behind the row that lost it."""
    later = ["--continue", str(run.path("json"))]  # of an option that is given twice the later one counts
    if run.options.minutes is not None:
        later += ["--minutes", str(run.options.minutes - (time.perf_counter() - run.began) / 60)]
    print("the device was lost: going on in a new process", flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks.gpu", *given, *later])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who stops it gently finds the summary, too
    sys.exit(main())
