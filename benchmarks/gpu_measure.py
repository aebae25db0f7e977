"""One row on a GPU at one batch size: both sides in turns, then their errors."""

from typing import Any

from . import gpu_report, peers
from .cases import EXACT, Case, Dimensions, count_flops
from .clock import Effort, Leg, alternate
from .gpu_card import MOST_CALLS, Card, Stopwatch
from .gpu_errors import measure_errors
from .rows import Row

AGAIN, TF32, COPY = "ours again", "tf32", "copy"  # legs beside "ours" and PyTorch's in float32


def measure(
    row: Row, dimensions: Dimensions, card: Card, effort: Effort, limits: dict[str, float], quick: bool
) -> dict[str, Any]:
    """Everything that is known about the row afterwards, as `gpu_report.judged` completes it."""
    case = row.make(dimensions)
    case.flops = case.flops or count_flops(case)
    legs = _legs(case, card, quick)
    watch = Stopwatch(card)
    timings = alternate(legs, effort, pause=0, seconds=watch, most_calls=MOST_CALLS)
    milliseconds = {name: 1e3 * timing.median for name, timing in timings.items()}
    walls = {name: 1e3 * card.wall_seconds(legs[name], timings[name].calls) for name in ("ours", "default")}
    waited = [name for name, leg in legs.items() if watch.waited[id(leg)]]
    legs.clear()
    card.release()  # a network's memory is wanted for its exact twin
    return gpu_report.judged({
        "title": row.title, "batch": dimensions.batch, "ours_ms": milliseconds.pop("ours"),
        "again_ms": milliseconds.pop(AGAIN), "copy_ms": milliseconds.pop(COPY, None),
        "tf32_ms": milliseconds.pop(TF32, None), "peers_ms": milliseconds, "wall_ms": walls, "waited": waited,
        "flops": case.flops, "traffic": float(case.traffic), "moved": float(case.traffic or case.moved),
        **measure_errors(card, case, row.winograd), "limits": limits,
        "turns": min(timing.turns for timing in timings.values()),
        "timings": {name: timing._asdict() for name, timing in timings.items()},
    })


def _legs(case: Case, card: Card, quick: bool) -> dict[str, Leg]:
    """Ours stands there twice: what the two differ by is what a difference to anybody else has to exceed."""
    ours, default = case.ours(), case.peers["default"]()
    legs = {"ours": ours, "default": peers.with_tf32(default, False), AGAIN: ours}
    if not case.traffic:
        legs[TF32] = peers.with_tf32(default, True)
    others = [] if quick else [name for name in case.peers if name not in ("default", EXACT)]
    legs |= {name: peers.with_tf32(case.peers[name](), False) for name in others}
    if case.traffic:
        legs[COPY] = card.copy_leg(case.traffic)
    return legs
