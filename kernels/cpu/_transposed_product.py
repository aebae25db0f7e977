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
    without P1 and Q1, member (group, groups); workspaces a[part] (k, chunk), b[part] (together, k, lanes) for panels
    that are packed together, c[part] (rows, lanes).
    """
    together, depth, width = b.shape[1:]
    pitch = a.shape[2]
    first_tile, last_tile = (start, stop) if by_tiles else (0, tiles)
    first_panel, last_panel = (0, panels) if by_tiles else (start, stop)
    for tile in range(first_tile, last_tile, chunk):
        behind = min(tile + chunk, last_tile)
        _pack_positions(a[part], gy, tile * MOST_ROWS, behind * MOST_ROWS, taps, grid, member)
        for panel in range(first_panel, last_panel):
            packed = (panel - first_panel) % together
            if packed == 0 and (tile == first_tile or last_panel - first_panel > together):
                _pack_filters(b[part], weight, panel, last_panel, steps, phases, taps, member)
            for t in range(tile, behind):
                block = at(a, part * depth * pitch + (t - tile) * MOST_ROWS)
                filters = at(b, (part * together + packed) * depth * width)
                multiply_tile(MOST_ROWS, False, depth, block, 1, pitch, filters, width,
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
        for x in range(before):
            line[column + x] = 0
        if before < inside:
            _copy_line(inside - before, gy[n, o, p], q + before, line, column + before)
        for x in range(inside, count):
            line[column + x] = 0
        column += count
        row, left = row + 1, 0


@compiled
def _copy_line(count, source, start, target, into):
    """target[into : into + count] = source[start : start + count], for lines so short that asking costs more."""
    for _ in range(count // 16):
        copy(16, at(source, start), at(target, into))
        start, into = start + 16, into + 16
    if count & 8:
        copy(8, at(source, start), at(target, into))
        start, into = start + 8, into + 8
    if count & 4:
        copy(4, at(source, start), at(target, into))
        start, into = start + 4, into + 4
    for x in range(count % 4):
        target[into + x] = source[start + x]


@compiled
def _pack_filters(b, weight, panel, last_panel, steps, phases, taps, member):
    """Panels from `panel` on, as many as B takes: B[panel, k, lane] = weight[o, c, a + i2*sh, b + j2*sw].

    Several at once, because what lies side by side in a filter is read together, and filters lie far apart.
    """
    together, depth, width = b.shape
    filters, (channels, kh, kw) = weight.shape[0] // member[1], weight.shape[1:]
    tall, wide = phases[1] - phases[0], phases[3] - phases[2]
    start, stop = panel * width, min(min(panel + together, last_panel) * width, channels * tall * wide)
    places = np.empty(stop - start, np.uint64)  # of tap (0, 0) of each lane in a filter
    for across in range(start, stop):
        c, phase, column = across // (tall * wide), across // wide % tall, across % wide
        places[across - start] = (c * kh + phases[0] + phase) * kw + phases[2] + column
    numbers = weight.reshape(weight.shape[0], -1)
    in_order = tall == kh and wide == kw  # as in U-Net, where the filter is as large as the stride
    for k in range(depth):
        o, i2, j2 = k % filters, k // filters % taps[0], k // filters // taps[0]
        source = numbers[member[0] * filters + o, i2 * steps[0] * kw + j2 * steps[1] :]
        for first in range(0, stop - start, width):
            to = b[first // width, k, : min(width, stop - start - first)]
            if in_order:
                to[:] = source[start + first : start + first + to.size]
            else:
                for lane in range(to.size):
                    to[lane] = source[places[first + lane]]


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
    while count > 0 and x < 0:  # reaches out of the line on the left
        _place_clipped(tile, r, lane, run, line, x)
        r, count, x = r + 1, count - 1, x + step
    while count > 0 and x + (count - 1) * step + run > line.size:  # and to the right
        count -= 1
        _place_clipped(tile, r + count, lane, run, line, x + count * step)
    done = 0
    while run - done >= 16:
        _copy_runs(16, tile, r, lane + done, count, line, x + done, step)
        done += 16
    if run & 8:
        _copy_runs(8, tile, r, lane + done, count, line, x + done, step)
        done += 8
    if run & 4:
        _copy_runs(4, tile, r, lane + done, count, line, x + done, step)
        done += 4
    if run & 2:
        _copy_runs(2, tile, r, lane + done, count, line, x + done, step)
        done += 2
    if run & 1:
        _copy_runs(1, tile, r, lane + done, count, line, x + done, step)


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
