"""Direct convolution with the pixels side by side in vectors: filters (rows) times taps (k) times 32 pixels (lanes).

    for each block of pixels:
        for each block of taps:
            gather the columns: columns[k, pixel], 32 pixels side by side     # second-level cache
            for each 14 filters:
                pack their weights: weights[k, filter]                        # first-level cache
                for each 32 pixels: y += weights * columns                    # the micro-kernel

As in `_direct_filters`, both operands are packed, for the same reasons; but here the sums need not be turned over, they
are added where they belong. Filters may be of any number, only pixels leave lanes empty, behind the last of an image.
Threads share the pixels or, where there are more filters than pixels, the filters: then each weight is read from memory
once, by one thread. Workspace for each thread: a quarter of the second-level cache, and 16 KiB.

Measured (2026-11-29, one core with two AVX-512 multiply-adds a cycle, about 220 GFLOP/s): 1x1 256 > 1024 at 56x56 164
GFLOP/s, AlexNet's second layer 187, 7x7 of 64 channels 165, 3x3 with stride 2 130. The micro-kernel itself runs at the
peak; gathering takes 5 to 10 %, and the rest is waiting for y and for the padded copy of x, where there is one.
"""

from . import _direct_small
from ._compile import compiled
from ._direct_columns import fetch_tiles, gather_columns, share, tile_width
from ._direct_filters import pack_filters
from ._micro_kernel import MOST_ROWS, SLOT, at, multiply_rows
from ._processor import SECOND_LEVEL
from ._threads import parts_of, run
from ._vectors import copy_run
from .memory import workspace, zeros

MOST_TILES = SECOND_LEVEL >> 17  # of 32 pixels, in a block: their columns take a quarter of the second-level cache


def correlate(source, group_size, pitch, taps, weight, weight_step, weight_group, bias, y, groups, relu):
    """As `_direct_filters.correlate`, for taps that concern all pixels."""
    if not y.size:
        return
    n, o, oh, ow = y.shape
    if _direct_small.suits(o // groups, taps.pixels.size, y.itemsize):
        _direct_small.correlate(source, group_size, pitch, taps, weight, weight_step, weight_group, bias, y, groups,
                                relu)
        return
    if pitch == ow:  # rows follow each other without a gap
        oh, ow = 1, oh * ow
    width = tile_width(y)
    tiles = -(-oh * ow // width)  # of an image
    by_filters = o > n * oh * ow or n * tiles < 8
    count = o if by_filters else n * tiles
    parts = parts_of(count)
    bias = zeros((o,), y.dtype) if bias is None else bias
    columns = workspace((parts, MOST_TILES * taps.longest * width), y.dtype)
    weights = workspace((parts, taps.longest * SLOT + width * width), y.dtype)
    edges = workspace((parts, o * width), y.dtype)
    run(_correlate, count, by_filters, source, group_size, pitch, taps.pixels, weight, taps.weights, taps.lines,
        taps.pieces, weight_step, weight_group, bias, y.reshape(n, o, oh * ow), ow, groups, relu, columns, weights,
        edges)


@compiled
def _correlate(part, start, stop, by_filters, source, group_size, pitch, pixel_places, weight, weight_places, lines,
               pieces, weight_step, weight_group, bias, y, ow, groups, relu, columns, weights, edges):
    n, o, pixels = y.shape
    width, filters = tile_width(y), o // groups
    tiles = (pixels + width - 1) // width  # of an image
    o0, o1 = (start, stop) if by_filters else (0, o)
    t0, t1 = (0, n * tiles) if by_filters else (start, stop)
    for image in range(t0 // tiles, (t1 - 1) // tiles + 1):
        first, last = max(t0 - image * tiles, 0), min(t1 - image * tiles, tiles)
        for group in range(groups):
            f0, f1 = max(o0, filters * group), min(o1, filters * (group + 1))
            for t in range(first, last if f0 < f1 else first, MOST_TILES):
                _block(source[image], group * group_size, pitch, pixel_places, weight,
                       group * weight_group + (f0 - group * filters) * weight_step, weight_places, lines, pieces,
                       weight_step, bias, y[image], f0, f1, t * width,
                       min(pixels, min(last, t + MOST_TILES) * width), ow, relu, columns[part], weights[part],
                       edges[part])


@compiled
def _block(source, begin, pitch, pixel_places, weight, weight_begin, weight_places, lines, pieces, weight_step, bias, y,
           f0, f1, s0, s1, ow, relu, columns, weights, edge):
    """Filters f0..f1 at pixels s0..s1 of one image, which fit the columns."""
    width = tile_width(y)
    bands = (f1 - f0 + MOST_ROWS - 1) // MOST_ROWS
    for piece in range(max(1, pieces.shape[0])):
        k0, k1 = (pieces[piece, 0], pieces[piece, 1]) if pieces.shape[0] else (0, 0)
        for s in range(s0, s1, width):
            gather_columns(source, begin, pixel_places, k0, k1, s, min(width, s1 - s), ow, pitch, columns,
                           (s - s0) * (k1 - k0), width)
        for band in range(bands):
            f, end = f0 + share(band, bands, f1 - f0), f0 + share(band + 1, bands, f1 - f0)
            if piece == 0:
                _fill(y, edge, bias, f, end, s0, s1)
            for row in range(0, end - f, width // 2):
                pack_filters(weight, weight_begin + (f - f0 + row) * weight_step, weight_places, lines, weight_step,
                             min(width // 2, end - f - row), k0, k1, weights, row, SLOT)
            following = f0 + share(min(band + 2, bands), bands, f1 - f0) if piece == 0 else end
            _multiply(y, edge, f, end, following, s0, s1, k1 - k0, columns, weights)
            if piece + 1 >= pieces.shape[0]:
                _finish(y, edge, f, end, s0, s1, relu)


@compiled
def _multiply(y, edge, f, end, following, s0, s1, taps, columns, weights):
    """Filters f..end at pixels s0..s1. Meanwhile begin to bring what those up to `following` will write to."""
    if not taps:
        return
    width, pixels = tile_width(y), y.shape[1]
    for s in range(s0, s1, width):
        fetch_tiles(y, end, following, s)
        numbers = at(columns, (s - s0) * taps)
        if s + width <= s1:
            multiply_rows(end - f, taps, at(weights, 0), numbers, at(y, f * pixels + s), pixels)
        else:
            multiply_rows(end - f, taps, at(weights, 0), numbers, at(edge, f * width), width)


@compiled
def _fill(y, edge, bias, f0, f1, s0, s1):
    """The bias goes where products will be added. Pixels of a tile that is not full are collected in `edge`."""
    width = tile_width(y)
    full = s1 - (s1 - s0) % width
    for f in range(f0, f1):
        for s in range(s0, full):
            y[f, s] = bias[f]
        if full < s1:
            for s in range(f * width, (f + 1) * width):
                edge[s] = bias[f]


@compiled
def _finish(y, edge, f0, f1, s0, s1, relu):
    width = tile_width(y)
    full, lanes = s1 - (s1 - s0) % width, width // 2
    for f in range(f0, f1):
        for s in range(full, s1, lanes):
            copy_run(at(y, f * y.shape[1] + s), at(edge, f * width + s - full), min(lanes, s1 - s))
        if relu:
            for s in range(s0, s1):
                y[f, s] = y[f, s] if not y[f, s] < 0 else y.dtype.type(0)  # NaN stays
