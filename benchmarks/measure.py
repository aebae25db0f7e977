"""One row at one batch size and number of threads: make both sides, let them take turns, compare their numbers."""

import contextlib
import gc
from collections.abc import Iterator
from functools import partial
from typing import Any

import threadpoolctl

from minifcn.arrays import use_kernels
from minifcn.kernels.cpu import memory as pool
from minifcn.kernels.cpu._threads import use_threads

from . import accuracy, report
from .cases import EXACT, Case, Dimensions, count_flops, has_peer
from .clock import QUICK, Effort, Leg, alternate
from .limits import copy_leg
from .rows import Row

ERROR_UP_TO = 2e11  # FLOPs: in double precision PyTorch's convolutions are some ten times slower
REFERENCE_FLOPS = 2e6  # what plain Python loops do in a second or two


def measure(row: Row, case: Case, batch: int, threads: int, effort: Effort, peak_gflops: float) -> dict[str, Any]:
    """Everything that is known about the row afterwards, as `report.judged` completes it."""
    with both_on(threads):
        case.flops = case.flops or count_flops(case)
        legs = {"ours": case.ours()}
        legs |= {name: make() for name, make in _timed_peers(case, threads).items()}
        if case.traffic:
            legs["copy"] = copy_leg(case.traffic)
        timings = alternate(legs, effort)
    milliseconds = {name: 1e3 * timing.median for name, timing in timings.items()}
    bar, aim = row.bars[batch]
    return report.judged({
        "title": row.title, "batch": batch, "threads": threads, "bar": bar, "aim": aim,
        "ours_ms": milliseconds.pop("ours"), "copy_ms": milliseconds.pop("copy", None), "peers_ms": milliseconds,
        "flops": case.flops, "traffic": case.traffic, "peak_gflops": peak_gflops,
        "error": None, "peer_error": None, "allowed_error": None,
        "turns": min(timing.turns for timing in timings.values()),
        "timings": {name: timing._asdict() for name, timing in timings.items()},
    })


def measure_errors(row: Row, case: Case, threads: int, flops: float) -> dict[str, Any]:
    """Both sides' errors against float64, with the verdict's limit; empty where that would take too long."""
    if EXACT not in case.peers or flops > ERROR_UP_TO:
        return {}
    with both_on(threads):
        exact = accuracy.exact_result(case.peers[EXACT]())
        ours = accuracy.error(case.ours(), exact)
        peer = accuracy.error(case.peers["default"](), exact)
    return {"error": ours, "peer_error": peer, "allowed_error": accuracy.allowed(row.winograd, peer)}


def measure_folders(row: Row, case: Case, batch: int, threads: int, flops: float) -> dict[str, float]:
    """Milliseconds on kernels `array`, and on `reference`: a smaller size, extrapolated by its FLOPs ("~")."""
    small, scale = case, 1.0
    while small.flops > REFERENCE_FLOPS and scale > 0.01:
        scale *= 0.8
        small = row.make(Dimensions(1, scale))
    with both_on(threads), threadpoolctl.threadpool_limits(threads, "blas"):  # `array` multiplies on NumPy's threads
        array = alternate({"array": _in_folder("array", case)}, QUICK)["array"].median
    reference = alternate({"it": _in_folder("reference", small)}, Effort(1, 1, 1, 0))["it"].median
    return {"array": 1e3 * array, "reference ~": 1e3 * reference * flops / small.flops}


@contextlib.contextmanager
def both_on(threads: int) -> Iterator[None]:
    """Ours and PyTorch on so many threads, and NumPy's products on one: ours has a pool of its own."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(use_threads(threads))
        stack.enter_context(threadpoolctl.threadpool_limits(1, "blas"))
        if has_peer():
            from . import peers
            stack.enter_context(peers.use_threads(threads))
        yield


def clean_up() -> None:
    """Before the next row: give back what this one used."""
    gc.collect()
    pool.release()


def _timed_peers(case: Case, threads: int) -> dict[str, Any]:
    peers = {name: make for name, make in case.peers.items() if name != EXACT}
    if "onnxruntime" in peers:
        peers["onnxruntime"] = partial(peers["onnxruntime"], threads=threads)
    return peers


def _in_folder(folder: str, case: Case) -> Leg:
    leg = case.ours()

    def before(call: int) -> Any:
        with use_kernels(folder):
            return leg.before(call)

    def run(state: Any) -> Any:
        with use_kernels(folder):
            return leg.run(state)

    return Leg(run, before)
