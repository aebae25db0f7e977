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
from ._vectors import fetch, transpose_some
from ._winograd import POINTS, POSITIONS, TAPS
from ._winograd_vectors import stream_filter_line, transform_filter_line

WIDTH = VECTORS * LANES  # output channels of one matrix product
FILTER = TAPS * TAPS
SQUARES = (FILTER + 1) * LANES * LANES  # scratch: the taps of LANES filters for LANES inputs
FILTER_SCRATCH = SQUARES + TAPS * POINTS * LANES  # and those of LANES filters, transformed along one axis
LARGE = 16 << 20  # bytes of U that will not stay in a cache anyway
AHEAD = 16  # inputs: how far ahead of their use rotated filters are asked for
GRAIN = 512  # filters of WIDTH lanes that are worth a thread


def odd_lines(numbers):
    """So many numbers or some more, an odd number of cache lines: a step that is a power of two fills one corner of the
    cache and leaves the rest empty."""
    line = 16
    return (-(-numbers // line) | 1) * line


def transform_weight(weight):
    """weight (O, C, 3, 3) -> u (36, blocks*C*WIDTH and some more) for `convolve` of x (N, C, H, W)."""
    return _transformed(weight, *weight.shape[:2], filter_steps(weight, False))


def transform_weight_rotated(weight):
    """weight (O, C, 3, 3) -> u for `convolve` of gy (N, O, OH, OW), which then is the input gradient."""
    o, c = weight.shape[:2]
    return _transformed(weight, c, o, filter_steps(weight, True))


def filter_steps(weight, rotated):
    """Numbers from one output channel to the next, from one input channel to the next, and whether the two are swapped.
    """
    row = weight.shape[1] * FILTER
    return (FILTER, row, True) if rotated else (row, FILTER, False)


def _transformed(weight, outputs, inputs, steps):
    blocks = -(-outputs // WIDTH)
    u = memory.empty((POSITIONS, odd_lines(blocks * inputs * WIDTH)), np.float32)
    if weight.size:
        flat = contiguous(weight).reshape(-1)
        run(_transform, blocks * inputs, flat, outputs, inputs, steps, u, u.nbytes >= LARGE, grain=GRAIN)
    return u


@compiled
def _transform(part, start, stop, weight, outputs, inputs, steps, u, stream):
    scratch = np.empty(FILTER_SCRATCH, np.float32)
    unit = start
    while unit < stop:
        block = unit // inputs
        end = min(stop, (block + 1) * inputs)
        transform_block(weight, outputs, steps, block, unit - block * inputs, end - block * inputs, u.reshape(-1),
                        unit * WIDTH, u.shape[1], stream, scratch)
        unit = end


@compiled
def transform_block(weight, outputs, steps, block, first, last, u, place, plane, stream, scratch):
    """Filters of WIDTH outputs, number `block` of `outputs`, and inputs first:last.

    Point p of input first + k goes to u[place + p*plane + k*WIDTH:][:WIDTH]. Where inputs lie side by side, LANES of
    them are turned over together: nine whole squares.
    """
    output_step, input_step, rotated = steps
    group = LANES if input_step == FILTER else 1
    for k in range(first, last, group):
        count = min(group, last - k)
        for lane in range(0, WIDTH, LANES):
            output = block * WIDTH + lane
            source = output * output_step + k * input_step
            if rotated:  # inputs lie too far apart for the processor to guess what comes next
                for tap in range(0, LANES * FILTER, 16):
                    fetch(at(weight, source + AHEAD * input_step + tap))
            _read_taps(weight, source, output_step, outputs - output, count * FILTER, scratch)
            for i in range(count):
                _transform_filter(scratch, i * FILTER * LANES, rotated, u, place + (k + i - first) * WIDTH + lane,
                                  plane, stream)


@compiled
def _read_taps(weight, source, step, filters, numbers, taps):
    """taps[s, r] = weight[source + r*step + s] for s < numbers, r < LANES; 0 where r >= filters."""
    if filters >= LANES:
        for s in range(0, numbers, LANES):
            transpose_some(at(taps, s * LANES), LANES, LANES, at(weight, source + s), step, 0, numbers - s)
    else:
        taps[:numbers * LANES] = 0
        for r in range(filters):
            for s in range(numbers):
                taps[s * LANES + r] = weight[source + r * step + s]


@compiled
def _transform_filter(scratch, taps, rotated, u, place, plane, stream):
    """G g G^T of LANES filters whose taps (9, LANES) begin at scratch[taps]."""
    first, step = (FILTER - 1, -1) if rotated else (0, 1)  # which tap is read first
    for i in range(TAPS):
        transform_filter_line(at(scratch, taps + (first + step * i) * LANES), step * TAPS * LANES,
                              at(scratch, SQUARES + i * LANES), TAPS * LANES)
    for j in range(POINTS):
        half_done, target = at(scratch, SQUARES + j * TAPS * LANES), at(u, place + j * POINTS * plane)
        if stream:
            stream_filter_line(half_done, LANES, target, plane)
        else:
            transform_filter_line(half_done, LANES, target, plane)
