"""Taking turns: A B A B, a pause between the turns, medians.

Why turns: a shared machine is 1.7 times faster in one minute than in the next. What is measured side by side, turn by
turn, is slowed down alike, and a median throws away the turns in which something else happened.

Why a pause: after its work each library's threads wait for more, and those of OpenMP wait by spinning. They would take
the core from the other library, whose turn it is. After 20 ms they sleep. (Measured on two cores: without the pause
either library is up to twice as slow, whichever comes second.)

Why calls that do not count: a core that has slept for 20 ms is slow for the next 10 ms, as its clock comes up again. A
first call of 2 ms took up to 1.5 times as long as the third, one of 12 ms hardly more: the quicker library would pay.
Calls that take longer than that count from the first.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

PAUSE = 0.02  # seconds
TURN = 0.01  # seconds: shorter calls are made several times in a turn; and before they count, the core works so long
MOST_CALLS = 20  # in one turn
TICK = 1e-6  # seconds: below it no clock here tells anything
SLOW = 2.0  # seconds: a call that takes longer is repeated less often


class Leg(NamedTuple):
    """One library's side of a row.

    Attributes:
        run: what is measured; takes what `before` returned.
        before: called before each run, not measured; takes the number of the call, so that inputs can be rotated.
    """

    run: Callable[[Any], Any]
    before: Callable[[int], Any] = lambda call: call


@dataclass(frozen=True)
class Effort:
    """How often to repeat: `least` turns each, `slow` of them for calls of over SLOW seconds, `seconds` for a row."""

    least: int = 7
    most: int = 15
    slow: int = 3
    seconds: float = 4.0

    def turns(self, slowest: float, round_of_all: float) -> int:
        if slowest > SLOW:
            return self.slow
        return max(self.least, min(self.most, int(self.seconds / round_of_all)))


FULL = Effort()
QUICK = Effort(least=3, most=5, slow=1, seconds=1.0)


class Timing(NamedTuple):
    """Seconds for one call.

    Attributes:
        median: over all turns.
        low, high: the quickest and the slowest turn; far apart means that the machine was busy.
        turns, calls: how many turns, and how many calls in each.
    """

    median: float
    low: float
    high: float
    turns: int
    calls: int


Seconds = Callable[[Leg, int, int], float]


def one_by_one(leg: Leg, first: int, calls: int) -> float:
    """Seconds of a call by this computer's clock: the mean over so many calls, of which the first has that number."""
    return statistics.fmean(_one_call(leg, first + index) for index in range(calls))


def alternate(
    legs: Mapping[str, Leg], effort: Effort = FULL, pause: float = PAUSE, seconds: Seconds = one_by_one,
    most_calls: int = MOST_CALLS,
) -> dict[str, Timing]:
    """Measure all legs turn by turn, each turn of at most so many calls by `seconds`: name -> Timing."""
    numbers = dict.fromkeys(legs, 0)  # calls made so far
    last = dict.fromkeys(legs, 0.0)  # seconds of a call in the last turn

    def turn(name: str, calls: int) -> float:
        time.sleep(pause)
        awake = time.perf_counter() + TURN
        while pause and last[name] < TURN and time.perf_counter() < awake:
            last[name] = _one_call(legs[name], numbers[name])
        last[name] = seconds(legs[name], numbers[name], calls)
        numbers[name] += calls
        return last[name]

    for name in legs:
        turn(name, 1)  # not counted: compiles, and touches all memory for the first time
    once = {name: turn(name, 1) for name in legs}
    calls = {name: max(1, min(most_calls, int(TURN / max(first, TICK)))) for name, first in once.items()}
    turns = effort.turns(max(once.values()), sum(once[name] * calls[name] + pause for name in legs))
    times: dict[str, list[float]] = {name: [once[name]] if calls[name] == 1 else [] for name in legs}
    gc.collect()
    gc.disable()  # a collection in the middle of a turn would be counted as that library's time
    try:
        for _ in range(turns):
            for name in legs:
                if len(times[name]) < turns:
                    times[name].append(turn(name, calls[name]))
    finally:
        gc.enable()
    return {
        name: Timing(statistics.median(values), min(values), max(values), len(values), calls[name])
        for name, values in times.items()
    }


def _one_call(leg: Leg, number: int) -> float:
    prepared = leg.before(number)
    began = time.perf_counter()
    result = leg.run(prepared)
    seconds = time.perf_counter() - began
    del result, prepared  # only now, so that giving memory back is not measured, and before the next call wants some
    return seconds
