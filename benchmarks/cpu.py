"""The CPU benchmark: every row, minifcn beside PyTorch, in one process.

    python -m benchmarks.cpu --list
    python -m benchmarks.cpu --rows "VGG 64>64" --threads 2 --batch 1
    python -m benchmarks.cpu --quick
"""

import argparse
import datetime
import os
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.list:
        return _list(options)
    from .clock import FULL, QUICK

    jobs = _jobs(options)
    if not jobs:
        print(f"benchmark: error: expected rows whose name contains {options.rows!r}, got none. See --list.",
              file=sys.stderr)
        return 2
    report, machine = _run(options, jobs, QUICK if options.quick else FULL)
    _save(options, report, machine)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", metavar="PATTERN", help="only rows whose name contains PATTERN")
    parser.add_argument("--threads", type=counts, default=(1, 2), metavar="1,2", help="numbers of threads")
    parser.add_argument("--batch", type=counts, default=(1, 4), metavar="1,4", help="batch sizes")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, not a result")
    parser.add_argument("--all", action="store_true", help="also 4 images where that takes minutes")
    parser.add_argument("--folders", action="store_true", help="convolutions also on `array` and `reference`")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory of the training steps")
    parser.add_argument("--scale", type=float, default=1.0, help="shrink all sizes: to try the benchmark itself")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--out", type=Path, metavar="FOLDER",
                        help=f"write cpu-DATE.json and .md there (a whole run writes to benchmarks/{RESULTS.name})")
    parser.add_argument("--list", action="store_true", help="list the rows and their bars, measure nothing")
    return parser


def counts(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(",") if part.isdecimal())
    if not numbers or min(numbers) < 1 or len(numbers) != len(text.split(",")):
        raise argparse.ArgumentTypeError(f"expected numbers from 1, for example 1,2, got {text!r}")
    return numbers


def _jobs(options: argparse.Namespace) -> list[tuple[Any, int]]:
    """Rows and batch sizes to measure."""
    from .rows import all_rows

    return [(row, batch) for row in all_rows() if options.rows.lower() in row.title.lower()
            for batch in row.batches if batch in options.batch and (options.all or batch not in row.patient)]


def _list(options: argparse.Namespace) -> int:
    for row, batch in _jobs(options):
        bar, aim = row.bars[batch]
        bars = "no bar" if bar is None else f"at least {bar:g}" + (f", aim {aim:g}" if aim else "")
        print(f"{row.title}, N = {batch}: {bars}")
    return 0


def _run(options: argparse.Namespace, jobs: list, effort: Any) -> tuple[dict[str, Any], list[str]]:
    """Measure everything; an interrupt ends it early and keeps what there is."""
    from minifcn.progress import for_this_terminal

    from . import limits, machine, report
    from .measure import both_on

    began = time.perf_counter()
    about = machine.describe()
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(), "machine": about, "quick": options.quick, "scale": options.scale,
        "peak_gflops": {}, "copy_gbs": {}, "rows": [], "memory": [],
    }
    for threads in options.threads:
        with both_on(threads):
            result["peak_gflops"][threads], result["copy_gbs"][threads] = limits.peak_gflops(threads), limits.copy_gbs()
    for line in machine.lines(about):
        print(line)
    for threads in options.threads:
        print(f"{threads} thread(s): {result['peak_gflops'][threads]:.0f} GFLOP/s, "
              f"copy {result['copy_gbs'][threads]:.1f} GB/s")
    print(report.heading())
    with for_this_terminal() as progress:
        progress.start("row", len(jobs))
        try:
            _measure_all(options, jobs, effort, result, progress)
            if not options.no_memory:
                _measure_memory(options, jobs, result, progress)
        except KeyboardInterrupt:
            progress.say("interrupted: what was measured is kept")
    result["seconds"] = time.perf_counter() - began
    print(*report.memory_lines(result["memory"]), *report.summary(result["rows"], result["memory"]), sep="\n")
    return result, machine.lines(about)


def _measure_all(options: argparse.Namespace, jobs: list, effort: Any, result: dict[str, Any], progress: Any) -> None:
    from . import measure, report
    from .cases import Dimensions

    for done, (row, batch) in enumerate(jobs):
        progress.update(done, at=row.title)
        case = row.make(Dimensions(batch, options.scale))
        for threads in options.threads:
            found = measure.measure(row, case, batch, threads, effort, result["peak_gflops"][threads])
            if batch == min(options.batch) and threads == max(options.threads):
                found |= measure.measure_errors(row, case, threads, found["flops"])
                found = report.judged(found)
            if options.folders and row.folders:
                found["folders_ms"] = measure.measure_folders(row, case, batch, threads, found["flops"])
            result["rows"].append(found)
            print(report.line(found), flush=True)
            measure.clean_up()
        del case
        measure.clean_up()
    progress.update(len(jobs))


def _measure_memory(options: argparse.Namespace, jobs: list, result: dict[str, Any], progress: Any) -> None:
    from . import memory, report
    from .cases import has_peer

    threads = max(options.threads)
    for row, batch in jobs:
        if row.memory is None:
            continue
        progress.say(f"peak memory of {row.title}, N = {batch}")
        name, size = row.memory
        ours = memory.peak("ours", name, size, batch, threads, options.scale)
        peer = memory.peak("torch", name, size, batch, threads, options.scale) if has_peer() else None
        ratio = None if peer is None else peer / ours
        result["memory"].append({
            "title": f"{row.title}, peak memory", "batch": batch, "threads": threads, "ours_mib": ours,
            "peer_mib": peer, "ratio": ratio, "best_ratio": ratio, "bar": 1.0,
            "verdict": report.verdict(ratio, ratio, 1.0),
        })


def _save(options: argparse.Namespace, result: dict[str, Any], machine: list[str]) -> None:
    """A whole run is kept under its date; a part of one, or a quick one, only where it is asked for."""
    from minifcn.files import write_whole

    from . import report

    whole = not options.rows and not options.quick and options.scale == 1
    folder = options.out or (RESULTS if whole else None)
    targets = {options.json: report.as_json(result)} if options.json else {}
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        stem = folder / f"cpu-{result['date']}"
        targets[stem.with_suffix(".json")] = report.as_json(result)
        targets[stem.with_suffix(".md")] = report.markdown(result, machine).encode()
    for path, content in targets.items():
        write_whole(path, content)
        print(f"wrote {path}")


def start_again_without_coretype() -> None:
    """OPENBLAS_CORETYPE makes NumPy multiply with the loops of an old processor; it is read when NumPy is loaded."""
    if os.environ.pop("OPENBLAS_CORETYPE", None) is not None:
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.cpu", *sys.argv[1:]])


if __name__ == "__main__":
    start_again_without_coretype()
    sys.exit(main())
