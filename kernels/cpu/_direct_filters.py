"""Direct convolution with the filters side by side in vectors: pixels (rows) times taps (k) times 32 filters (lanes).

    for each block of pixels, each 32 filters:
        for each block of taps:
            pack the filters' weights: weights[k, filter]                  # 256 x 32: 32 KiB, for the whole block
            for each 14 pixels of a row: sums += input at tap k * weights  # the micro-kernel, input where it is
        turn the sums over, from (pixel, filter) to (filter, pixel), into y

Each number of the input is read where it lies and met by 32 filters at once; each weight is packed once for a thousand
pixels. Nothing is wasted as long as the filters are a multiple of 32. Threads share the pixels, or the filters where
these are more: then each weight is read from memory once, by one thread. Workspace: 160 KiB a thread.

Any sum over taps can be had, as two tables say where a tap's weight and its pixel lie. So the input gradient runs here
too, with the filters' roles turned around.
"""

from ._compile import compiled
from ._direct_columns import MOST_TAPS, share, tile_width
from ._direct_vectors import copy_run, transpose_square
from ._micro_kernel import MOST_ROWS, add_rows_by_table, at
from ._threads import parts_of, run
from .memory import empty, zeros

MOST_PIXELS = 1024  # of a block
FLAT_UNIT = 2 * MOST_ROWS  # pixels that a thread gets at least where rows do not matter


def correlate(source, group_size, pitch, pixel_places, weight, weight_places, weight_step, weight_group, bias, y,
              groups, relu):
    """y[n, g*O + o, p, q] = bias + sum over k of source at (pixel_places[k] + p*pitch + q) * weight at
    (g*weight_group + weight_places[k] + o*weight_step); source (N, numbers), a group's begin group_size apart.
    """
    n, o, oh, ow = y.shape
    oh, ow = (1, oh * ow) if pitch == ow else (oh, ow)
    unit = ow if oh > 1 else FLAT_UNIT
    units = -(-oh * ow // unit)
    width = tile_width(y)
    blocks = -(-(o // groups) // width) * groups  # of filters
    by_filters = o > n * oh * ow or n * units < 8
    count = blocks if by_filters else n * units
    parts = parts_of(count)
    bias = zeros((o,), y.dtype) if bias is None else bias
    panels = empty((parts, (MOST_TAPS + width) * width), y.dtype)
    sums = empty((parts, max(MOST_PIXELS, unit) + width, width), y.dtype)
    run(_correlate, count, by_filters, source, group_size, pitch, pixel_places, weight, weight_places, weight_step,
        weight_group, bias, y.reshape(n, o, oh * ow), ow, unit, groups, relu, panels, sums)


@compiled
def _correlate(part, start, stop, by_filters, source, group_size, pitch, pixel_places, weight, weight_places,
               weight_step, weight_group, bias, y, ow, unit, groups, relu, panels, sums):
    n, o, pixels = y.shape
    width, filters = tile_width(y), o // groups
    units = (pixels + unit - 1) // unit
    blocks = (filters + width - 1) // width  # of a group
    u0, u1 = (0, n * units) if by_filters else (start, stop)
    b0, b1 = (start, stop) if by_filters else (0, blocks * groups)
    together = max(1, MOST_PIXELS // unit)
    for image in range(u0 // units, (u1 - 1) // units + 1):
        for u in range(max(u0 - image * units, 0), min(u1 - image * units, units), together):
            s0, s1 = u * unit, min(min(u + together, min(u1 - image * units, units)) * unit, pixels)
            for b in range(b0, b1):
                group, f = b // blocks, b % blocks * width
                _sum_taps(source[image], group * group_size, pitch, pixel_places, weight,
                          group * weight_group + f * weight_step, weight_places, weight_step, bias,
                          group * filters + f, min(width, filters - f), s0, s1, ow, panels[part], sums[part])
                _store(y[image], group * filters + f, min(width, filters - f), s0, s1, relu, sums[part], panels[part])


@compiled
def _sum_taps(source, begin, pitch, pixel_places, weight, weight_begin, weight_places, weight_step, bias, f, filters,
              s0, s1, ow, panel, sums):
    """sums[pixel, filter] for pixels s0..s1 and filters f..f+filters."""
    taps, width = pixel_places.size, tile_width(sums)
    for lane in range(width):
        sums[0, lane] = bias[f + lane] if lane < filters else sums.dtype.type(0)
    for s in range(1, s1 - s0):
        for lane in range(width):
            sums[s, lane] = sums[0, lane]
    blocks = (taps + MOST_TAPS - 1) // MOST_TAPS
    for block in range(blocks):
        k0, k1 = share(block, blocks, taps), share(block + 1, blocks, taps)
        _pack(weight, weight_begin, weight_places, weight_step, filters, k0, k1, panel, width)
        s = s0
        while s < s1:
            p, q = divmod(s, ow)
            length = min(ow - q, s1 - s)  # to the end of the row
            tiles = (length + MOST_ROWS - 1) // MOST_ROWS
            for tile in range(tiles):
                first, following = share(tile, tiles, length), share(tile + 1, tiles, length)
                add_rows_by_table(following - first, k1 - k0, at(source, begin + p * pitch + q + first), 1,
                                  at(pixel_places, k0), at(panel, 0), width, at(sums, (s - s0 + first) * width), width)
            s += length


@compiled
def _pack(weight, begin, places, step, filters, k0, k1, panel, width):
    """panel[k, filter], k0 <= k < k1. Lanes behind the last filter hold anything, and are never stored."""
    lanes = width // 2
    k = k0
    if filters == width and places[k1 - 1] - places[k0] == k1 - 1 - k0 >= lanes:  # a filter's taps lie side by side
        while k + lanes <= k1:
            for first in range(0, width, lanes):
                transpose_square(at(panel, (k - k0) * width + first), width,
                                 at(weight, begin + places[k] + first * step), step)
            k += lanes
    while k < k1:
        for lane in range(filters):
            panel[(k - k0) * width + lane] = weight[begin + places[k] + lane * step]
        k += 1


@compiled
def _store(y, f, filters, s0, s1, relu, sums, square):
    """sums (pixel, filter) -> y (filter, pixel), in squares as wide as a vector."""
    width, pixels = tile_width(sums), y.shape[1]
    lanes = width // 2
    if relu:
        for s in range(s1 - s0):
            for lane in range(width):
                sums[s, lane] = sums[s, lane] if not sums[s, lane] < 0 else sums.dtype.type(0)  # NaN stays
    for s in range(s0, s1, lanes):
        for first in range(0, filters, lanes):
            source, target = at(sums, (s - s0) * width + first), (f + first) * pixels + s
            if s + lanes <= s1 and first + lanes <= filters:
                transpose_square(at(y, target), pixels, source, width)
            else:
                transpose_square(at(square, 0), lanes, source, width)
                for r in range(min(lanes, filters - first)):
                    copy_run(at(y, target + r * pixels), at(square, r * lanes), min(lanes, s1 - s))
