"""Direct convolution with few weights, of a first layer for example: filters (rows) times taps (k) times 32 pixels.

    pack all weights: weights[k, filter]                             # first- or second-level cache, once
    for each 32 pixels:
        gather the columns: columns[k, pixel]                        # first-level cache
        for each 14 filters:
            sums = weights * columns                                 # the micro-kernel
            y = max(sums + bias, floor)

With few taps, a pixel's sums are soon done, and the time goes into writing them. So y is written once and not read;
bias and ReLU are applied in registers on the way. Where channels of y are a multiple of 4 KiB apart, sums of 14 filters
would meet in few places of the first-level cache; so they are collected side by side first.

Taps are summed in blocks of at most 256, as elsewhere. Threads share the pixels. Workspace for each thread: the packed
weights, at most PANEL_BYTES, and the columns of 32 pixels.

Measured (2026-11-29, AVX-512 with one multiply-add a cycle, 113 GFLOP/s a core): 3 to 64 channels at 224x224 3.1 ms on
one core, 2.1 on two, where `_direct_pixels` takes 5.6 and 4.2; AlexNet's first layer 90 GFLOP/s on one core. Writing
past the caches made no difference.
"""

import numpy as np

from ._compile import compiled
from ._direct_columns import fetch_tiles, gather_columns, share, tile_width
from ._direct_filters import PANEL_BYTES, pack_filters
from ._micro_kernel import MOST_ROWS, SLOT, at, multiply_columns
from ._threads import parts_of, run
from ._vectors import finish_run
from .memory import workspace, zeros


def suits(filters, taps, itemsize):
    """Whether the weights of a group are few enough to be packed once and kept."""
    return _bands(filters) * taps * SLOT * itemsize <= PANEL_BYTES


def correlate(source, group_size, pitch, taps, weight, weight_step, weight_group, bias, y, groups, relu):
    """As `_direct_filters.correlate`, for taps that concern all pixels."""
    if not y.size:
        return
    n, o, oh, ow = y.shape
    if pitch == ow:  # rows follow each other without a gap
        oh, ow = 1, oh * ow
    width, count = tile_width(y), taps.pixels.size
    units = n * -(-oh * ow // width)
    parts = parts_of(units)
    bias = zeros((o,), y.dtype) if bias is None else bias
    columns = workspace((parts, max(count, 1) * width), y.dtype)
    weights = workspace((parts, _bands(o // groups) * count * SLOT + width * width), y.dtype)
    sums = workspace((parts, MOST_ROWS * width), y.dtype)
    run(_correlate, units, source, group_size, pitch, taps.pixels, weight, taps.weights, taps.lines, taps.pieces,
        weight_step, weight_group, bias, y.reshape(n, o, oh * ow), ow, groups, y.dtype.type(0 if relu else -np.inf),
        columns, weights, sums)


def _bands(filters):
    return -(-filters // MOST_ROWS)


@compiled
def _correlate(part, start, stop, source, group_size, pitch, pixel_places, weight, weight_places, lines, pieces,
               weight_step, weight_group, bias, y, ow, groups, floor, columns, weights, sums):
    n, o, pixels = y.shape
    width, taps, filters = tile_width(y), pixel_places.size, o // groups
    tiles = (pixels + width - 1) // width  # of an image
    for group in range(groups):
        _pack(weight, group * weight_group, weight_places, lines, pieces, weight_step, filters, taps, weights[part])
        for unit in range(start, stop):
            image, s = unit // tiles, unit % tiles * width
            gather_columns(source[image], group * group_size, pixel_places, 0, taps, s, min(width, pixels - s), ow,
                           pitch, columns[part], 0, width)
            _tile(y[image], group * filters, filters, s, taps, pieces, bias, floor, columns[part], weights[part],
                  sums[part])


@compiled
def _pack(weight, begin, places, lines, pieces, step, filters, taps, weights):
    """weights[(band*taps + k)*SLOT + f] = weight of the band's filter f at tap k."""
    bands = (filters + MOST_ROWS - 1) // MOST_ROWS
    half = tile_width(weights) // 2
    for band in range(bands):
        f, end = share(band, bands, filters), share(band + 1, bands, filters)
        for piece in range(pieces.shape[0]):
            k0, k1 = pieces[piece, 0], pieces[piece, 1]
            for row in range(0, end - f, half):
                pack_filters(weight, begin + (f + row) * step, places, lines, step, min(half, end - f - row), k0, k1,
                             weights[(band * taps + k0) * SLOT:], row, SLOT)


@compiled
def _tile(y, first, filters, s, taps, pieces, bias, floor, columns, weights, sums):
    """All filters of a group, from `first` on, at the pixels from s on whose columns are gathered."""
    width = tile_width(y)
    bands = (filters + MOST_ROWS - 1) // MOST_ROWS
    for band in range(bands):
        f, end = first + share(band, bands, filters), first + share(band + 1, bands, filters)
        fetch_tiles(y, f, end, s)
        if pieces.shape[0] == 0:
            sums[:] = y.dtype.type(0)
        for piece in range(pieces.shape[0]):
            k0, k1 = pieces[piece, 0], pieces[piece, 1]
            multiply_columns(end - f, piece > 0, k1 - k0, at(weights, (band * taps + k0) * SLOT),
                             at(columns, k0 * width), at(sums, 0))
        _store(y, f, end, s, bias, floor, sums)


@compiled
def _store(y, f, end, s, bias, floor, sums):
    width, pixels = tile_width(y), y.shape[1]
    lanes = width // 2
    for row in range(f, end):
        for lane in range(0, min(width, pixels - s), lanes):
            finish_run(at(y, row * pixels + s + lane), at(sums, (row - f) * width + lane), bias[row], floor,
                       min(lanes, pixels - s - lane))
