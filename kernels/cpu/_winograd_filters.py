"""Filters for Winograd's convolution: G g G^T of every 3x3 filter, laid out as the matrix products read them.

    U[p] (C, O): point p of all filters,  kept as  u[p, block, c, lane]   block*WIDTH + lane: the output channel

The input gradient of a convolution is a convolution of gy with the filters turned by 180 degrees and with their two
channel axes swapped; so `transform_weight_rotated` differs by strides and by the order of the taps alone.

Bytes: 36/9 times the weight are written. That is all it costs: the arithmetic hides behind it. 512x512 filters, 38 MB,
take 1.4 ms (2026-11): 28 GB/s, what memory takes from one core. Written past the caches, which a U of that size would
only sweep; the locks that hand work from thread to thread also wait for such writes.
"""

import numpy as np

from . import memory
from ._compile import compiled
from ._layout import contiguous
from ._micro_kernel import VECTORS, at
from ._processor import LANES
from ._threads import run
from ._winograd import POINTS, POSITIONS, TAPS
from ._winograd_vectors import stream_filter_line, transform_filter_line, transpose_square

WIDTH = VECTORS * LANES  # output channels of one matrix product
FILTER = TAPS * TAPS
SQUARE = (FILTER + LANES - 1) // LANES * LANES * LANES  # scratch: the taps of LANES filters
HALF_DONE = TAPS * POINTS * LANES  # scratch: the same, transformed along one axis
LARGE = 16 << 20  # bytes of U that will not stay in a cache anyway
GRAIN = 512  # filters of WIDTH lanes that are worth a thread


def odd_lines(numbers):
    """So many numbers or some more, an odd number of cache lines: a step that is a power of two fills one corner of the
    cache and leaves the rest empty."""
    line = 16
    return (-(-numbers // line) | 1) * line


def transform_weight(weight: np.ndarray) -> np.ndarray:
    """weight (O, C, 3, 3) -> u (36, blocks*C*WIDTH and some more) for `convolve` of x (N, C, H, W)."""
    o, c = weight.shape[:2]
    return _transformed(weight, o, c, c * FILTER, FILTER, False)


def transform_weight_rotated(weight: np.ndarray) -> np.ndarray:
    """weight (O, C, 3, 3) -> u for `convolve` of gy (N, O, OH, OW), which then is the input gradient."""
    o, c = weight.shape[:2]
    return _transformed(weight, c, o, FILTER, c * FILTER, True)


def _transformed(weight, outputs, inputs, output_step, input_step, rotated):
    blocks = -(-outputs // WIDTH)
    u = memory.empty((POSITIONS, odd_lines(blocks * inputs * WIDTH)), np.float32)
    if weight.size:
        flat = contiguous(weight).reshape(-1)
        run(_transform, blocks * inputs, flat, outputs, inputs, output_step, input_step, rotated, u, u.nbytes >= LARGE,
            grain=GRAIN)
    return u


@compiled
def _transform(part, start, stop, weight, outputs, inputs, output_step, input_step, rotated, u, stream):
    taps, half_done = np.empty(SQUARE, np.float32), np.empty(HALF_DONE, np.float32)
    plane = u.shape[1]
    first, step = (FILTER - 1, -1) if rotated else (0, 1)  # which tap is read first
    for unit in range(start, stop):
        block, k = unit // inputs, unit % inputs
        for lane in range(0, WIDTH, LANES):
            output = block * WIDTH + lane
            source = output * output_step + k * input_step
            if output + LANES <= outputs:
                for tap in range(0, FILTER, LANES):
                    transpose_square(at(weight, source + tap), output_step, 0, FILTER - tap,
                                     at(taps, tap * LANES), LANES, LANES)
            else:
                taps[:] = 0
                for r in range(outputs - output):
                    for tap in range(FILTER):
                        taps[tap * LANES + r] = weight[source + r * output_step + tap]
            for i in range(TAPS):
                transform_filter_line(at(taps, (first + step * i) * LANES), step * TAPS * LANES,
                                      at(half_done, i * LANES), TAPS * LANES)
            for j in range(POINTS):
                target = at(u, j * POINTS * plane + unit * WIDTH + lane)
                if stream:
                    stream_filter_line(at(half_done, j * TAPS * LANES), LANES, target, plane)
                else:
                    transform_filter_line(at(half_done, j * TAPS * LANES), LANES, target, plane)
