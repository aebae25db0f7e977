"""What the processor can do at best, measured in the same run: multiply-adds from registers, and a copy of memory.

A ratio to another library says nothing about how much room is left; these two do.
"""

import statistics
import time

from minifcn.kernels.cpu._compile import compiled
from minifcn.kernels.cpu._micro_kernel import MOST_ROWS, VECTORS, at, multiply_tile
from minifcn.kernels.cpu._processor import LANES
from minifcn.kernels.cpu._threads import run, use_threads

from .clock import Leg
from .inputs import aligned, copies

ROWS = MOST_ROWS
WIDTH = VECTORS * LANES
DEPTH = 128  # the two panels, (14 + 32) * 128 numbers, lie in the innermost cache
TILES = 20_000  # for each thread, some 20 ms
FIRST = 8  # measurements, of which the best counts


@compiled
def _multiply(part, start, stop, a, b, c):
    """(stop - start) products of the same two panels; nothing is read from further away than the innermost cache."""
    for _ in range(start, stop):
        multiply_tile(ROWS, True, DEPTH, at(a, part * ROWS * DEPTH), 1, ROWS, at(b, part * DEPTH * WIDTH), WIDTH,
                      at(c, part * ROWS * WIDTH), WIDTH)


@compiled
def _copy(part, start, stop, x, y):
    y[start:stop] = x[start:stop]


def peak_gflops(threads: int) -> float:
    """Billions of multiplications and additions a second that the threads can do, float32; the best of a few."""
    a, b, c = (aligned((threads * numbers,)) for numbers in (ROWS * DEPTH, DEPTH * WIDTH, ROWS * WIDTH))
    for array in (a, b, c):
        array.fill(1e-6)
    with use_threads(threads):  # no part may be without panels of its own
        run(_multiply, threads, a, b, c)  # compiles
        best = min(_seconds(_multiply, threads * TILES, a, b, c) for _ in range(FIRST))
    return 2.0 * ROWS * WIDTH * DEPTH * threads * TILES / best / 1e9


def copy_leg(traffic: float) -> Leg:
    """A copy that reads and writes so many bytes together, on all threads: what a pass of that traffic is held to."""
    numbers = max(1, int(traffic) // 8)
    xs, y = [aligned((numbers,)) for _ in range(copies(numbers))], aligned((numbers,))
    for x in xs:
        x.fill(1)  # else its pages would not exist yet
    return Leg(lambda x: run(_copy, numbers, x, y), lambda call: xs[call % len(xs)])


def _seconds(kernel, count, *args) -> float:
    began = time.perf_counter()
    run(kernel, count, *args)
    return time.perf_counter() - began


def copy_gbs(traffic: float = 1 << 28) -> float:
    """GB/s of a copy far larger than the caches, bytes read and written counted."""
    leg = copy_leg(traffic)
    times = []
    for call in range(FIRST):
        x = leg.before(call)
        began = time.perf_counter()
        leg.run(x)
        times.append(time.perf_counter() - began)
    return traffic / statistics.median(times) / 1e9
