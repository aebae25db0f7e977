"""The matrix product of `_transposed`: pack both operands, multiply tile by tile, put the phases into their places.

    A[k, position]   gy with zeros around it, one row for each (j2, i2, o): the numbers of a tile lie side by side
    B[k, lane]       the filters, one panel of lanes (c, a, b) at a time
    C[r, lane]       one tile of positions: what the micro-kernel makes, and what `_place` cuts up into the output
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ._compile import compiled
from ._micro_kernel import MOST_ROWS, at, multiply_tile


@compiled
def multiply(part, start, stop, by_tiles, tiles, panels, chunk, gy, weight, gx, steps, phases, taps, grid, member,
             a, b, c):
    """One thread's share: tiles start:stop of positions if by_tiles, else panels start:stop of lanes.

    steps (sh, sw, ph, pw), phases (a0, a1, b0, b1), taps (vertical, horizontal), grid (P0, P1, Q0, Q1) up to but
    without P1 and Q1, member (group, groups); workspaces a[part] (k, chunk), b[part] (k, lanes), c[part] (rows, lanes).
    """
    depth, width = b.shape[1:]
    pitch = a.shape[2]
    first_tile, last_tile = (start, stop) if by_tiles else (0, tiles)
    first_panel, last_panel = (0, panels) if by_tiles else (start, stop)
    for tile in range(first_tile, last_tile, chunk):
        behind = min(tile + chunk, last_tile)
        _pack_positions(a[part], gy, tile * MOST_ROWS, behind * MOST_ROWS, taps, grid, member)
        for panel in range(first_panel, last_panel):
            _pack_filters(b[part], weight, panel * width, steps, phases, taps, member)
            for t in range(tile, behind):
                block = at(a, part * depth * pitch + (t - tile) * MOST_ROWS)
                multiply_tile(MOST_ROWS, False, depth, block, 1, pitch, at(b, part * depth * width), width,
                              at(c, part * MOST_ROWS * width), width)
                _place(c[part], gx, t * MOST_ROWS, panel * width, weight.shape[1], steps, phases, grid, member)


@compiled
def _pack_positions(a, gy, start, stop, taps, grid, member):
    """Positions start:stop, counted through images, P and Q, into columns 0:stop-start of A."""
    filters = gy.shape[1] // member[1]
    for k in range(a.shape[0]):
        o, i2, j2 = k % filters, k // filters % taps[0], k // filters // taps[0]
        _pack_plane(a[k], gy, member[0] * filters + o, i2, j2, start, stop, grid)


@compiled
def _pack_plane(line, gy, o, i2, j2, start, stop, grid):
    """One row of A: channel o of gy, shifted by i2 rows and j2 columns, row after row of positions."""
    images, _, oh, ow = gy.shape
    rows, columns = grid[1] - grid[0], grid[3] - grid[2]
    row, left = start // columns, start % columns
    column = 0
    while column < stop - start:
        n, p, q = row // rows, grid[0] + row % rows - i2, grid[2] + left - j2  # q: where gy is read first
        count = min(columns - left, stop - start - column)
        before = min(count, max(0, -q)) if n < images and 0 <= p < oh else count
        inside = min(count, max(before, ow - q))
        line[column : column + before] = 0
        if before < inside:
            line[column + before : column + inside] = gy[n, o, p, q + before : q + inside]
        line[column + inside : column + count] = 0
        column += count
        row, left = row + 1, 0


@compiled
def _pack_filters(b, weight, start, steps, phases, taps, member):
    """Lanes start and following, counted through channels and phases: B[k, lane] = weight[o, c, a + i2*sh, b + j2*sw]."""
    filters, (channels, kh, kw) = weight.shape[0] // member[1], weight.shape[1:]
    tall, wide = phases[1] - phases[0], phases[3] - phases[2]
    lanes = min(b.shape[1], channels * tall * wide - start)
    places = np.empty(lanes, np.uint64)  # of tap (0, 0) of each lane in a filter
    for lane in range(lanes):
        c, phase, column = (start + lane) // (tall * wide), (start + lane) // wide % tall, (start + lane) % wide
        places[lane] = (c * kh + phases[0] + phase) * kw + phases[2] + column
    in_order = places[lanes - 1] - places[0] == lanes - 1  # as in U-Net, where the filter is as large as the stride
    numbers = weight.reshape(weight.shape[0], -1)
    for k in range(b.shape[0]):
        o, i2, j2 = k % filters, k // filters % taps[0], k // filters // taps[0]
        source = numbers[member[0] * filters + o, i2 * steps[0] * kw + j2 * steps[1] :]
        if in_order:
            b[k, :lanes] = source[places[0] : places[0] + lanes]
        else:
            for lane in range(lanes):
                b[k, lane] = source[places[lane]]


@compiled
def _place(tile, gx, position, start, channels, steps, phases, grid, member):
    """The positions of one tile, times the lanes of one panel, to their places in the output."""
    images, _, h, w = gx.shape
    rows, columns = grid[1] - grid[0], grid[3] - grid[2]
    tall, wide = phases[1] - phases[0], phases[3] - phases[2]
    row, left = position // columns, position % columns
    r = 0
    while r < tile.shape[0] and row < images * rows:  # row by row of positions
        count = min(columns - left, tile.shape[0] - r)
        top = (grid[0] + row % rows) * steps[0] - steps[2] + phases[0]
        x = (grid[2] + left) * steps[1] - steps[3] + phases[2]
        c, phase, b = start // (tall * wide), start // wide % tall, start % wide
        lane = 0
        while lane < tile.shape[1] and c < channels:  # run by run: one channel, one row, adjacent columns
            run = min(wide - b, tile.shape[1] - lane)
            if 0 <= top + phase < h:
                line = gx[row // rows, member[0] * channels + c, top + phase]
                _place_runs(tile, r, lane, count, run, line, x + b, steps[1])
            lane, b, phase = lane + run, 0, phase + 1
            if phase == tall:
                c, phase = c + 1, 0
        r += count
        row, left = row + 1, 0


@compiled
def _place_runs(tile, r, lane, count, run, line, x, step):
    """`run` numbers from each of `count` rows of the tile into a line of the output, `step` apart from x on."""
    first = min(count, max(0, -(x // step)))  # these reach out of the line on the left
    last = max(first, min(count, (line.size - run - x) // step + 1))  # and those from here on to the right
    for i in range(first):
        _place_clipped(tile, r + i, lane, run, line, x + i * step)
    for i in range(last, count):
        _place_clipped(tile, r + i, lane, run, line, x + i * step)
    if run == 2:
        _copy_runs(2, tile, r + first, lane, last - first, line, x + first * step, step)
    elif run == 4:
        _copy_runs(4, tile, r + first, lane, last - first, line, x + first * step, step)
    elif run == 8:
        _copy_runs(8, tile, r + first, lane, last - first, line, x + first * step, step)
    elif run == 16:
        _copy_runs(16, tile, r + first, lane, last - first, line, x + first * step, step)
    else:
        for i in range(first, last):
            _place_clipped(tile, r + i, lane, run, line, x + i * step)


@compiled
def _place_clipped(tile, r, lane, run, line, x):
    for b in range(max(0, -x), min(run, line.size - x)):
        line[x + b] = tile[r, lane + b]


@compiled(inline="always")
def _copy_runs(run, tile, r, lane, count, line, x, step):
    """The same for a run of constant length: the loop becomes one vector."""
    for i in range(count):
        copy(run, at(tile, (r + i) * tile.shape[1] + lane), at(line, x + i * step))


@intrinsic(prefer_literal=True)
def copy(typing, count, source, target):
    """`count` numbers, a constant, from one address to another: all of them are loaded before any is stored.

    In a loop over arrays they would be copied one by one, as the compiler cannot know that the two do not overlap.
    """
    if not isinstance(count, types.IntegerLiteral):
        return None  # numba asks again with a constant

    def build(context, builder, signature, args):
        vector = ir.VectorType(args[1].type.pointee, count.literal_value).as_pointer()
        numbers = builder.load(builder.bitcast(args[1], vector), align=4)
        builder.store(numbers, builder.bitcast(args[2], vector), align=4)
        return context.get_dummy_value()

    return types.void(count, source, target), build


@compiled
def stamp(part, start, stop, gy, weight, gx, steps, groups):
    """The definition, for dilated filters, on output planes start:stop. gx comes cleared; nobody else writes there."""
    sh, sw, ph, pw, dh, dw = steps
    _, filters, oh, ow = gy.shape
    _, channels, kh, kw = weight.shape
    _, _, h, w = gx.shape
    for plane in range(start, stop):
        n, group, c = plane // (channels * groups), plane // channels % groups, plane % channels
        into = gx[n, group * channels + c]
        for o in range(group * (filters // groups), (group + 1) * (filters // groups)):
            for i in range(kh):
                for j in range(kw):
                    for p in range(oh):
                        iy = p * sh + i * dh - ph
                        if 0 <= iy < h:
                            for q in range(ow):
                                ix = q * sw + j * dw - pw
                                if 0 <= ix < w:
                                    into[iy, ix] += gy[n, o, p, q] * weight[o, c, i, j]
