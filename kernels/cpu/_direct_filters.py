"""Direct convolution with the filters side by side in vectors: pixels (rows) times taps (k) times 32 filters (lanes).

    for each block of pixels, each group of filters:
        for each piece of the taps:
            pack the filters' weights: weights[k, filter], 32 filters side by side   # second-level cache
            for each block of taps, each 28 pixels:
                gather their columns: columns[k, pixel]                              # first-level cache
                for each 32 filters: sums[pixel, filter] += columns * weights        # the micro-kernel
        turn the sums over, from (pixel, filter) to (filter, pixel), into y

This is how large matrices are multiplied (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
2008): both operands are packed, so that the micro-kernel reads straight ahead, and what it reads most often lies in the
first-level cache. The same taps read where they lie, a plane apart, meet in few places of that cache. Where planes are
a multiple of 1 KiB apart, this has cost half of the speed (2026-11). Columns are gathered once for up to 256 filters.

Taps that fall into the padding for a whole row of pixels are skipped there (`_direct_taps`). Threads share the pixels
or the filters, whichever comes out more even: by filters, each weight is read from memory once, by one thread.
Workspace for each thread: PANEL_BYTES for weights, as much for sums, 32 KiB for columns.

Measured (2026-11-29, one core with two AVX-512 multiply-adds a cycle, about 220 GFLOP/s): fc7 160 GFLOP/s, fc6 150,
whose weights, 411 MB, take 55 of 360 ms to pack. Micro-kernel 175 to 195, gathering 5 to 9 %.

Any sum over taps can be had, as two tables say where a tap's weight and its pixel lie. So the input gradient runs here
too, with the filters' roles turned around.
"""

from ._compile import compiled
from ._direct_columns import LINES, share, tile_width
from ._direct_sums import store_sums
from ._micro_kernel import MOST_ROWS, SLOT, at, multiply_columns, multiply_columns_narrow
from ._processor import SECOND_LEVEL
from ._threads import parts_of, run
from ._vectors import copy_run, fetch_to_write, transpose_square
from .memory import workspace, zeros

MOST_PIXELS = SECOND_LEVEL >> 12  # of a block: their sums for 256 filters take a quarter of the second-level cache
PANEL_BYTES = SECOND_LEVEL >> 2  # of packed weights
MOST_TOGETHER = 8  # times 32 filters that share columns
FLAT_UNIT = 2 * MOST_ROWS  # pixels that a thread gets at least where rows do not matter
TILES_IN_TURN = 2  # whose columns are gathered together: they stay in the first-level cache


def correlate(source, group_size, pitch, taps, weight, weight_step, weight_group, bias, y, groups, relu):
    """y[n, g*O + o, p, q] = bias + sum over k of source at (taps.pixels[k] + p*pitch + q) * weight at
    (g*weight_group + taps.weights[k] + o*weight_step); source (N, numbers), a group's begin group_size apart.
    """
    if not y.size:
        return
    n, o, oh, ow = y.shape
    if taps.all_inside and pitch == ow:
        oh, ow = 1, oh * ow
    unit = ow if oh > 1 else FLAT_UNIT
    units = -(-oh * ow // unit)
    width = tile_width(y)
    blocks = -(-(o // groups) // width)  # of filters, in each group
    by_filters = o > n * oh * ow or _largest_share(blocks * groups) <= _largest_share(n * units)
    count = blocks * groups if by_filters else n * units
    parts = parts_of(count)
    bias = zeros((o,), y.dtype) if bias is None else bias
    together = min(blocks, MOST_TOGETHER, max(1, PANEL_BYTES // (taps.most * width * y.itemsize)))
    panels = workspace((parts, together, (taps.most + width) * width), y.dtype)
    columns = workspace((parts, TILES_IN_TURN * taps.longest * SLOT), y.dtype)
    sums = workspace((parts, together, (max(MOST_PIXELS, unit) + width) * width), y.dtype)
    run(_correlate, count, by_filters, source, group_size, pitch, taps.pixels, weight, taps.weights, taps.lines,
        taps.pieces, taps.blocks, weight_step, weight_group, bias, y.reshape(n, o, oh * ow), ow, unit, groups, relu,
        panels, columns, sums)


def _largest_share(count):
    """The part of the work that falls to the thread with the most of it."""
    parts = parts_of(count)
    return -(-count // parts) / max(1, count)


@compiled
def _correlate(part, start, stop, by_filters, source, group_size, pitch, pixel_places, weight, weight_places, lines,
               pieces, tap_blocks, weight_step, weight_group, bias, y, ow, unit, groups, relu, panels, columns, sums):
    n, o, pixels = y.shape
    width, filters = tile_width(y), o // groups
    units = (pixels + unit - 1) // unit
    blocks = (filters + width - 1) // width  # of a group
    u0, u1 = (0, n * units) if by_filters else (start, stop)
    b0, b1 = (start, stop) if by_filters else (0, blocks * groups)
    together = max(1, MOST_PIXELS // unit)
    most = panels.shape[1] * width
    for image in range(u0 // units, (u1 - 1) // units + 1):
        for u in range(max(u0 - image * units, 0), min(u1 - image * units, units), together):
            s0, s1 = u * unit, min(min(u + together, min(u1 - image * units, units)) * unit, pixels)
            for group in range(b0 // blocks, (b1 - 1) // blocks + 1):
                f1 = min(min(b1 - group * blocks, blocks) * width, filters)
                for f in range(max(b0 - group * blocks, 0) * width, f1, most):
                    _filters(source[image], group * group_size, pitch, pixel_places, weight,
                             group * weight_group + f * weight_step, weight_places, lines, pieces, tap_blocks,
                             weight_step, bias, y[image], group * filters + f, min(f1 - f, most), s0, s1, ow, relu,
                             panels[part], columns[part], sums[part])


@compiled
def _filters(source, begin, pitch, pixel_places, weight, weight_begin, weight_places, lines, pieces, tap_blocks,
             weight_step, bias, y, f, filters, s0, s1, ow, relu, panels, columns, sums):
    """Pixels s0..s1 of one image for filters f..f+filters, which share the columns."""
    width = tile_width(y)
    cleared = pieces.shape[0] == 0 or tap_blocks[0, 2] > 0 or tap_blocks[0, 4] > 0 or (
        tap_blocks[0, 3] * ow < y.shape[1] or tap_blocks[0, 5] < ow)  # the first block does not concern all pixels
    if cleared:
        sums[:, : (s1 - s0) * width] = y.dtype.type(0)
    for piece in range(pieces.shape[0]):
        k0, k1, first, last = pieces[piece]
        _pack(weight, weight_begin, weight_places, lines, weight_step, filters, k0, k1, panels)
        for block in range(first, last):
            _sum_taps(source, begin, pitch, pixel_places, tap_blocks[block], k0, y, f, filters, s0, s1, ow, columns,
                      panels, sums, cleared or block > 0, piece == pieces.shape[0] - 1 and block == last - 1)
    for b in range(0, filters, width):
        _finish(bias, f + b, min(width, filters - b), relu, sums[b // width], s1 - s0)
        store_sums(y, f + b, min(width, filters - b), s0, s1, sums[b // width], panels[b // width])


@compiled
def _sum_taps(source, begin, pitch, pixel_places, block, panel_begin, y, f, filters, s0, s1, ow, columns, panels, sums,
              add, fetching):
    """sums[pixel, filter] += columns * weights, for the taps of one block and those of the pixels that they concern."""
    k0, k1, p0, p1, q0, q1 = block
    for p in range(max(p0, s0 // ow), min(p1, (s1 - 1) // ow + 1)):
        first = max(s0, p * ow + q0)
        length = max(0, min(s1, p * ow + min(q1, ow)) - first)
        tiles = (length + MOST_ROWS - 1) // MOST_ROWS
        for tile in range(0, tiles, TILES_IN_TURN):
            end = min(tiles, tile + TILES_IN_TURN)
            for t in range(tile, end):
                s, stop = first + share(t, tiles, length), first + share(t + 1, tiles, length)
                _gather(source, begin + p * pitch + s - p * ow, pixel_places, k0, k1, stop - s, columns,
                        (t - tile) * (k1 - k0) * SLOT)
            _multiply(first, tile, end, tiles, length, k1 - k0, k0 - panel_begin, y, f, filters, s0, columns, panels,
                      sums, add, fetching)


@compiled
def _gather(source, place, pixel_places, k0, k1, count, columns, target):
    """columns[target + (k - k0)*SLOT + r] = source at tap k of pixel r, for count pixels of one row, taps k0..k1."""
    lanes = LINES // source.itemsize
    for first in range(0, count, lanes):
        here = min(lanes, count - first)
        for k in range(k1 - k0):
            copy_run(at(columns, target + k * SLOT + first), at(source, place + first + pixel_places[k0 + k]), here)


@compiled
def _multiply(a, first, last, tiles, pixels, taps, line, y, f, filters, s0, columns, panels, sums, add, fetching):
    """Some tiles, whose columns are gathered, times all the filters.

    fetching: begin to bring what `store_sums` will write to: the cache reads a line before any of it is written.
    """
    width = tile_width(sums)
    for b in range(0, filters, width):
        weights = at(panels[b // width], line * width)
        for t in range(first, last):
            s, end = a + share(t, tiles, pixels), a + share(t + 1, tiles, pixels)
            if fetching:
                for lane in range(min(width, filters - b)):
                    fetch_to_write(at(y, (f + b + lane) * y.shape[1] + s))
            numbers, total = at(columns, (t - first) * taps * SLOT), at(sums[b // width], (s - s0) * width)
            if filters - b > width // 2:
                multiply_columns(end - s, add, taps, numbers, weights, total)
            else:
                multiply_columns_narrow(end - s, add, taps, numbers, weights, total)


@compiled
def _pack(weight, begin, places, lines, step, filters, k0, k1, panels):
    """panels[b, lines[k], lane] = weight of filter b*width + lane at tap k, k0 <= k < k1.

    Lanes behind the last filter hold anything, and are never stored.
    """
    width = tile_width(panels)
    if step == 1:  # filters lie side by side: what lies together is read together
        for k in range(k0, k1):
            for f in range(0, filters, width // 2):
                copy_run(at(panels[f // width], lines[k] * width + f % width), at(weight, begin + places[k] + f),
                         min(width // 2, filters - f))
        return
    for f in range(0, filters, width // 2):  # few filters at a time: the processor reads ahead in so many rows only
        pack_filters(weight, begin + f * step, places, lines, step, min(width // 2, filters - f), k0, k1,
                     panels[f // width], f % width, width)


@compiled
def pack_filters(weight, begin, places, lines, step, filters, k0, k1, panel, first, row):
    """panel[lines[k]*row + first + f] = weight of filter f at tap k, for at most as many filters as a vector has lanes.

    The end of the panel, two vectors squared, is scratch memory.
    """
    lanes = tile_width(panel) // 2
    square = panel.size - 4 * lanes * lanes
    if step == 1:  # filters lie side by side
        for k in range(k0, k1):
            copy_run(at(panel, lines[k] * row + first), at(weight, begin + places[k]), filters)
        return
    k = k0
    while k < k1:
        end = k + 1  # taps that lie together: a square of them and of the filters is turned over
        while end < k1 and 0 < places[end] - places[k] < lanes:
            end += 1
        place = begin + places[k]
        if end - k > 1 and place + (lanes - 1) * step + lanes <= weight.size:
            transpose_square(at(panel, square), lanes, at(weight, place), step)
            for tap in range(k, end):
                copy_run(at(panel, lines[tap] * row + first), at(panel, square + (places[tap] - places[k]) * lanes),
                         lanes)
        else:
            for tap in range(k, end):
                for lane in range(filters):
                    panel[lines[tap] * row + first + lane] = weight[begin + places[tap] + lane * step]
        k = end


@compiled
def _finish(bias, f, filters, relu, sums, pixels):
    """Bias and ReLU."""
    width = tile_width(sums)
    for lane in range(filters):
        sums[pixels * width + lane] = bias[f + lane]
    for s in range(pixels):
        for lane in range(width):
            total = sums[s * width + lane] + sums[pixels * width + lane]
            sums[s * width + lane] = total if not (relu and total < 0) else sums.dtype.type(0)  # NaN stays


