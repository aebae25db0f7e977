"""Direct convolution with the filters side by side in vectors: pixels (rows) times taps (k) times 32 filters (lanes).

    for each block of pixels, each 32 filters:
        for each piece of the taps:
            pack the filters' weights: weights[k, filter]                  # for the whole block
            for each 14 pixels of a row: sums += input at tap k * weights  # the micro-kernel, input where it is
        turn the sums over, from (pixel, filter) to (filter, pixel), into y

Each number of the input is read where it lies, a stride apart or not, and met by 32 filters at once; each weight is
packed once for a thousand pixels. Nothing is wasted as long as the filters are a multiple of 16. Taps that fall into
the padding for a whole row of pixels are skipped there (`_direct_taps`). Threads share the pixels or the filters,
whichever comes out more even: by filters, each weight is read from memory once, by one thread. Workspace: 128 KiB for
sums and at most 320 KiB for weights a thread.

Any sum over taps can be had, as two tables say where a tap's weight and its pixel lie. So the input gradient runs here
too, with the filters' roles turned around.
"""

from ._compile import compiled
from ._direct_columns import LINES, share, tile_width
from ._direct_sums import store_sums
from ._micro_kernel import MOST_ROWS, add_rows_by_table, add_rows_by_table_narrow, at
from ._threads import parts_of, run
from ._vectors import copy_run, fetch, transpose_square
from .memory import empty, zeros

MOST_PIXELS = 1024  # of a block
FLAT_UNIT = 2 * MOST_ROWS  # pixels that a thread gets at least where rows do not matter


def correlate(source, group_size, steps, taps, weight, weight_step, weight_group, bias, y, groups, relu):
    """y[n, g*O + o, p, q] = bias + sum over k of source at (taps.pixels[k] + p*steps[0] + q*steps[1]) * weight at
    (g*weight_group + taps.weights[k] + o*weight_step); source (N, numbers), a group's begin group_size apart.
    """
    n, o, oh, ow = y.shape
    if taps.all_inside and steps[0] == ow * steps[1]:
        oh, ow = 1, oh * ow
    unit = ow if oh > 1 else FLAT_UNIT
    units = -(-oh * ow // unit)
    width = tile_width(y)
    blocks = -(-(o // groups) // width) * groups  # of filters
    by_filters = o > n * oh * ow or _largest_share(blocks) <= _largest_share(n * units)
    count = blocks if by_filters else n * units
    parts = parts_of(count)
    bias = zeros((o,), y.dtype) if bias is None else bias
    panels = empty((parts, (taps.most + width) * width), y.dtype)
    sums = empty((parts, max(MOST_PIXELS, unit) + width, width), y.dtype)
    run(_correlate, count, by_filters, source, group_size, steps, taps.pixels, weight, taps.weights, taps.lines,
        taps.pieces, taps.blocks, weight_step, weight_group, bias, y.reshape(n, o, oh * ow), ow, unit, groups, relu,
        panels, sums)


def _largest_share(count):
    """The part of the work that falls to the thread with the most of it."""
    parts = parts_of(count)
    return -(-count // parts) / max(1, count)


@compiled
def _correlate(part, start, stop, by_filters, source, group_size, steps, pixel_places, weight, weight_places, lines,
               pieces, tap_blocks, weight_step, weight_group, bias, y, ow, unit, groups, relu, panels, sums):
    n, o, pixels = y.shape
    width, filters = tile_width(y), o // groups
    units = (pixels + unit - 1) // unit
    blocks = (filters + width - 1) // width  # of a group
    u0, u1 = (0, n * units) if by_filters else (start, stop)
    b0, b1 = (start, stop) if by_filters else (0, blocks * groups)
    together = max(1, MOST_PIXELS // unit)
    panel, total = panels[part], sums[part]
    for image in range(u0 // units, (u1 - 1) // units + 1):
        for u in range(max(u0 - image * units, 0), min(u1 - image * units, units), together):
            s0, s1 = u * unit, min(min(u + together, min(u1 - image * units, units)) * unit, pixels)
            for b in range(b0, b1):
                group, f = b // blocks, b % blocks * width
                here = min(width, filters - f)
                _fill(bias, group * filters + f, here, s1 - s0, total)
                for piece in range(pieces.shape[0]):
                    k0, k1, first, last = pieces[piece]
                    _pack(weight, group * weight_group + f * weight_step, weight_places, lines, weight_step, here, k0,
                          k1, panel, width)
                    for p in range(s0 // ow, (s1 - 1) // ow + 1):
                        if piece == pieces.shape[0] - 1:
                            _fetch_outputs(y[image], group * filters + f, here, max(s0, p * ow), min(s1, (p + 1) * ow))
                        for block in range(first, last):
                            _sum_taps(source[image], group * group_size, steps, pixel_places, tap_blocks[block], k0,
                                      here, p, s0, s1, ow, panel, total)
                if relu:
                    _rectify(total, s1 - s0)
                store_sums(y[image], group * filters + f, here, s0, s1, total, panel)


@compiled
def _fill(bias, f, filters, pixels, sums):
    width = tile_width(sums)
    for lane in range(width):
        sums[0, lane] = bias[f + lane] if lane < filters else sums.dtype.type(0)
    for s in range(1, pixels):
        for lane in range(width):
            sums[s, lane] = sums[0, lane]


@compiled
def _fetch_outputs(y, f, filters, s0, s1):
    """Begin to bring what `store_sums` will write to: the cache reads a line before any of it is written.

    A 1x1 layer with 1024 filters spent a tenth of its time on storing without it (2026-11).
    """
    for lane in range(filters):
        row = (f + lane) * y.shape[1]
        for s in range(s0, s1, LINES // y.itemsize):
            fetch(at(y, row + s))


@compiled
def _sum_taps(source, begin, steps, pixel_places, block, panel_begin, filters, p, s0, s1, ow, panel, sums):
    """sums[pixel, filter] += the taps of one block, for those pixels of row p among s0..s1 that they concern."""
    k0, k1, p0, p1, q0, q1 = block
    if p < p0 or p >= p1:
        return
    width = tile_width(sums)
    weights = at(panel, (k0 - panel_begin) * width)
    a, b = max(q0, s0 - p * ow), min(min(q1, ow), s1 - p * ow)
    length = b - a
    tiles = (length + MOST_ROWS - 1) // MOST_ROWS
    for tile in range(tiles):
        first, rows = a + share(tile, tiles, length), share(tile + 1, tiles, length) - share(tile, tiles, length)
        numbers = at(source, begin + p * steps[0] + first * steps[1])
        total = at(sums, (p * ow + first - s0) * width)
        if filters > width // 2:
            add_rows_by_table(rows, k1 - k0, numbers, steps[1], at(pixel_places, k0), weights, width, total, width)
        else:
            add_rows_by_table_narrow(rows, k1 - k0, numbers, steps[1], at(pixel_places, k0), weights, width, total,
                                     width)


@compiled
def _pack(weight, begin, places, lines, step, filters, k0, k1, panel, width):
    """panel[lines[k], filter], k0 <= k < k1. Lanes behind the last filter hold anything, and are never stored."""
    lanes = width // 2
    square = at(panel, panel.size - width * width)
    k = k0
    if filters == width and places[k1 - 1] - places[k0] == k1 - 1 - k0 >= lanes:  # a filter's taps lie side by side
        whole = k0 + (k1 - k0) // lanes * lanes
        for first in range(0, width, lanes):  # few filters at a time: the processor reads ahead in so many rows only
            for k in range(k0, whole, lanes):
                transpose_square(square, lanes, at(weight, begin + places[k] + first * step), step)
                for r in range(lanes):
                    copy_run(at(panel, lines[k + r] * width + first), at(panel, panel.size - width * width + r * lanes),
                             lanes)
        k = whole
    if step == 1:
        while k < k1:  # filters lie side by side
            for first in range(0, filters, lanes):
                copy_run(at(panel, lines[k] * width + first), at(weight, begin + places[k] + first),
                         min(lanes, filters - first))
            k += 1
    while k < k1:
        line = lines[k] * width
        for lane in range(filters):
            panel[line + lane] = weight[begin + places[k] + lane * step]
        k += 1


@compiled
def _rectify(sums, pixels):
    for s in range(pixels):
        for lane in range(tile_width(sums)):
            sums[s, lane] = sums[s, lane] if not sums[s, lane] < 0 else sums.dtype.type(0)  # NaN stays
