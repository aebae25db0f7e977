"""What compiled kernels bring to a whole training: `street` by `array` and by `cpu`, the same steps from three seeds.

    python -m benchmarks.training --steps 500

Two correct float32 trainings drift apart, so equal losses cannot be asked for. What can be: that the two folders differ
by no more than seeds do. Printed are the loss, as the mean of the last 50 steps, and the milliseconds of a step, as the
median, for each folder and seed; the folders take turns, seed by seed.
"""

import argparse
import statistics
import time
from dataclasses import replace

from threadpoolctl import threadpool_limits

from minifcn import use_kernels
from minifcn.learner import Learner
from minifcn.progress import Progress, for_this_terminal
from minifcn.settings import Settings

FOLDERS = ("array", "cpu")
TAIL = 50  # steps at the end whose losses are averaged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", default="street")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--width", type=float, default=Settings.width)
    chosen = parser.parse_args()
    settings = Settings(data=chosen.data, size=tuple(chosen.size) if chosen.size else None, width=chosen.width,
                        iterations=chosen.steps, minutes=None)
    results: dict[str, list[tuple[float, float]]] = {folder: [] for folder in FOLDERS}
    with for_this_terminal() as progress:
        progress.start("training", chosen.seeds * len(FOLDERS))
        for seed in range(chosen.seeds):
            for folder in FOLDERS:
                results[folder].append(train(replace(settings, seed=seed), folder))
                progress.update(sum(map(len, results.values())))
    report(results)


def train(settings: Settings, folder: str) -> tuple[float, float]:
    """Loss at the end, milliseconds of a step."""
    losses, seconds = [], []
    blas = None if folder == "array" else 1  # NumPy's matrix products have the threads they want only where they work
    with use_kernels(folder), threadpool_limits(blas, "blas"):
        learner = Learner(settings, Progress())
        learner.iterations = settings.iterations
        for step in range(settings.iterations):
            start = time.perf_counter()
            loss, _, _ = learner.train_step(step)
            seconds.append(time.perf_counter() - start)
            losses.append(loss)
    return statistics.fmean(losses[-TAIL:]), statistics.median(seconds) * 1e3


def report(results: dict[str, list[tuple[float, float]]]) -> None:
    print(f"{'folder':8} {'loss of each seed':30} {'ms a step':>10}")
    for folder, found in results.items():
        losses = "  ".join(f"{loss:.4f}" for loss, _ in found)
        print(f"{folder:8} {losses:30} {statistics.median(ms for _, ms in found):10.1f}")
    faster = [a[1] / b[1] for a, b in zip(results["array"], results["cpu"], strict=True)]
    print(f"a step is {statistics.median(faster):.1f} times faster")


if __name__ == "__main__":
    main()
