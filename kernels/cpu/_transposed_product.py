"""The matrix product of `_transposed`: pack both operands, multiply tile by tile, put the phases into their places.

    A[k, position]   gy with zeros around it, one row for each (j2, i2, o): the numbers of a tile lie side by side
    B[k, lane]       the filters, one panel of lanes (c, a, b) at a time
    C[r, lane]       one tile of positions: what the micro-kernel makes, and what `_place` cuts up into the output
"""

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
    images, _, oh, ow = gy.shape
    rows, columns, filters = grid[1] - grid[0], grid[3] - grid[2], gy.shape[1] // member[1]
    position = start
    while position < stop:  # row by row
        row, left = position // columns, position % columns
        n, p = row // rows, grid[0] + row % rows
        count = min(columns - left, stop - position)
        column = position - start
        k = 0
        for j2 in range(taps[1]):
            q = grid[2] + left - j2
            before = min(count, max(0, -q))  # zeros left of the image, then pixels up to `inside`, then zeros again
            inside = min(count, max(before, ow - q))
            for i2 in range(taps[0]):
                outside = n >= images or p - i2 < 0 or p - i2 >= oh
                for o in range(filters):
                    to = a[k, column : column + count]
                    k += 1
                    if outside:
                        to[:] = 0
                        continue
                    to[:before] = 0
                    source = gy[n, member[0] * filters + o, p - i2]
                    for x in range(before, inside):
                        to[x] = source[x + q]
                    to[inside:] = 0
        position += count


@compiled
def _pack_filters(b, weight, start, steps, phases, taps, member):
    """Lanes start and following, counted through channels and phases: B[k, lane] = weight[o, c, a + i2*sh, b + j2*sw]."""
    filters, channels = weight.shape[0] // member[1], weight.shape[1]
    tall, wide = phases[1] - phases[0], phases[3] - phases[2]
    lane = 0
    while lane < b.shape[1]:  # run by run: a run is one channel and row of phases, its b contiguous in weight and in B
        across = start + lane
        c, phase, column = across // (tall * wide), across // wide % tall, across % wide
        count = min(wide - column, b.shape[1] - lane)
        k = 0
        for j2 in range(taps[1]):
            left = phases[2] + column + j2 * steps[1]
            for i2 in range(taps[0]):
                i = phases[0] + phase + i2 * steps[0]
                for o in range(member[0] * filters, (member[0] + 1) * filters):
                    for x in range(count):
                        b[k, lane + x] = weight[o, c, i, left + x] if c < channels else 0
                    k += 1
        lane += count


@compiled
def _place(tile, gx, position, start, channels, steps, phases, grid, member):
    """The positions of one tile, times the lanes of one panel, to their places in the output."""
    images, _, h, w = gx.shape
    rows, columns = grid[1] - grid[0], grid[3] - grid[2]
    tall, wide = phases[1] - phases[0], phases[3] - phases[2]
    r = 0
    while r < tile.shape[0]:  # row by row
        row, left = (position + r) // columns, (position + r) % columns
        count = min(columns - left, tile.shape[0] - r)
        n, top = row // rows, (grid[0] + row % rows) * steps[0] - steps[2] + phases[0]
        q = (grid[2] + left) * steps[1] - steps[3] + phases[2]
        lane = 0
        while lane < tile.shape[1] and n < images:  # run by run
            across = start + lane
            c, phase, b = across // (tall * wide), across // wide % tall, across % wide
            run = min(wide - b, tile.shape[1] - lane)
            if c < channels and 0 <= top + phase < h:
                _place_runs(tile, r, lane, count, run, gx[n, member[0] * channels + c, top + phase], q + b, steps[1])
            lane += run
        r += count


@compiled
def _place_runs(tile, r, lane, count, run, line, x, step):
    """`run` numbers from each of `count` rows of the tile into a line of the output, `step` apart from x on."""
    for _ in range(count):
        first, last = max(0, -x), min(run, line.size - x)
        for b in range(first, last):
            line[x + b] = tile[r, lane + b]
        x += step
        r += 1


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
