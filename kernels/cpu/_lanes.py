"""Rows taken apart, so that windows that are `s` pixels from each other find their pixels side by side.

    row    0 1 2 3 4 5 6 7 8            windows at stride 2 see through their first tap 0 2 4 6 8,
    lanes  0 2 4 6 8                    through their second 1 3 5 7, through their third 2 4 6 8:
           1 3 5 7                      each time neighbours in one lane

A processor compares or adds 8 or 16 neighbours in one instruction, but has to collect pixels that stand apart one by
one. Pooling meets a row kw times, so it sorts the row first, in the innermost cache: pixel ix goes to lane ix mod s.
"""

import numpy as np

from ._compile import compiled


@compiled
def taps_along(size, count, kernel, stride, before, dilation):
    """One line for each tap of the windows along an axis: (lane, shift, first, stop), int64.

    Windows q = first, ..., stop - 1 have tap j inside the axis, and see lane[q + shift] of the taken-apart axis.
    """
    taps = np.empty((kernel, 4), np.int64)
    for j in range(kernel):
        offset = j * dilation - before  # window q sees pixel q*stride + offset
        shift = offset // stride  # rounded down, also for offsets in the padding
        first, stop = max(0, -shift), min(count, (size - 1 - offset) // stride + 1)
        taps[j, 0], taps[j, 1], taps[j, 2], taps[j, 3] = offset - shift * stride, shift, first, max(first, stop)
    return taps


@compiled
def take_apart(row, lanes):
    """lanes[ix % s, ix // s] = row[ix]."""
    if lanes.shape[0] == 1:
        copy(row, lanes[0, : row.size])
    elif lanes.shape[0] == 2:
        _take_apart(row, lanes, 2)
    elif lanes.shape[0] == 3:
        _take_apart(row, lanes, 3)
    else:
        _take_apart(row, lanes, lanes.shape[0])


@compiled
def put_together(lanes, row):
    """row[ix] = lanes[ix % s, ix // s]."""
    if lanes.shape[0] == 1:
        copy(lanes[0, : row.size], row)
    elif lanes.shape[0] == 2:
        _put_together(lanes, row, 2)
    elif lanes.shape[0] == 3:
        _put_together(lanes, row, 3)
    else:
        _put_together(lanes, row, lanes.shape[0])


# Where s is a constant, LLVM turns the inner loop into vector shuffles.

@compiled(inline="always")
def _take_apart(row, lanes, s):
    whole = row.size // s
    for t in range(whole):
        for lane in range(s):
            lanes[lane, t] = row[t * s + lane]
    for ix in range(whole * s, row.size):
        lanes[ix - whole * s, whole] = row[ix]


@compiled(inline="always")
def _put_together(lanes, row, s):
    whole = row.size // s
    for t in range(whole):
        for lane in range(s):
            row[t * s + lane] = lanes[lane, t]
    for ix in range(whole * s, row.size):
        row[ix] = lanes[ix - whole * s, whole]


@compiled
def copy(values, target):
    """target[:] = values, without numba's care for arrays that overlap, which takes longer than to copy a row."""
    for k in range(values.size):
        target[k] = values[k]
