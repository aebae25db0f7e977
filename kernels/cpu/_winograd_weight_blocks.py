"""The pieces of the weight gradient by Winograd's method: panels of tiles, and products of two blocks of channels.

A *panel* (36, blocks, size) holds the transformed tiles: for each of the 36 points and each block of 32 channels, the
tiles one after the other, 32 channels of each side by side. `size` is 32 times the tiles and a little more. So both
operands of a product over tiles are read straight through, from any first tile on.

The product of one block of C and one of O is 36 matrices of 32 x 32, 150 KB: it stays in the second-level cache until
G^T m G has made 3 x 3 of 6 x 6. A *total* (C, 3, 3, O) adds these up, again as blocks of 32 x 9 x 32.

Measured (2026-11, AVX-512, one core): the products run at 95 % of the peak where all operands lie in the second-level
cache; transforming takes some 30 cycles for each tile and channel, G^T m G and what surrounds it 20,000 for each block,
as many as the product of 9 tiles.
"""

from ._compile import compiled
from ._micro_kernel import REGISTERS, VECTORS, at, multiply_tile, multiply_tile_and_fetch
from ._processor import LANES
from ._vectors import transpose_some
from ._winograd import POINTS, POSITIONS, TAPS, TILE
from ._winograd_transforms import LINE, OUTPUT_RUN, SCRATCH, read_lines, transform_input
from ._winograd_vectors import transform_filter_line_adjoint, transform_output_line_adjoint

BLOCK = max(32, VECTORS * LANES)  # channels side by side
ROWS = 8 if REGISTERS == 32 else 4  # of the micro-kernel: they divide BLOCK, and make 16 or 8 accumulators, enough
PLANE = BLOCK * BLOCK + 16  # of one point; no power of two, or else all points would share few cache lines
COLUMN = POINTS * PLANE  # from one point to that below
FILTER = TAPS * TAPS
TOTAL = BLOCK * FILTER * BLOCK  # numbers of a block of the gradient
WORK = SCRATCH + POSITIONS * PLANE + TOTAL  # numbers of scratch memory that a thread needs


@compiled
def transform_tiles(gy, x, grid, start, stop, v, y, size, tile, scratch):
    """Tiles start:stop of all channels, x into panel v and gy into panel y, there from `tile` on."""
    v_plane, y_plane = v.size // POSITIONS, y.size // POSITIONS
    for c in range(0, x.shape[1], LANES):
        transform_input(x, c, start, stop, grid, v, _place(c, size, tile), BLOCK, v_plane, scratch)
    for o in range(0, gy.shape[1], LANES):
        _transform_gradient(gy, o, start, stop, grid, y, _place(o, size, tile), BLOCK, y_plane, scratch)


@compiled
def _place(channel, size, tile):
    return channel // BLOCK * size + tile * BLOCK + channel % BLOCK


@compiled
def _transform_gradient(gy, o0, start, stop, grid, panel, offset, row, plane, scratch):
    """A gy A^T of tiles start:stop and channels o0 : o0 + LANES of gy; all else as in `transform_input`."""
    tiles_y, tiles_x, _, _, dh, dw = grid
    tile = start
    while tile < stop:
        count = min(OUTPUT_RUN, stop - tile, tiles_x - tile % tiles_x)
        read_lines(gy, o0, tile, count, stop - start, (tiles_y, tiles_x, 0, 0, dh, dw), TILE, scratch)
        for column in range(count * TILE):
            transform_output_line_adjoint(at(scratch, column * LANES), LINE, at(scratch, column * LANES), LINE)
        for t in range(count):
            place = offset + (tile - start + t) * row
            for j in range(POINTS):
                transform_output_line_adjoint(at(scratch, j * LINE + t * TILE * LANES), LANES,
                                              at(panel, place + j * POINTS * plane), plane)
        tile += count


@compiled
def add_block(v, y, size, block, blocks, start, stop, channels, total, add, work):
    """total (+)= G^T m G with m = sum of V^T Y over tiles start:stop, for one block of C x O.

    Blocks are counted through with C running faster; `blocks` are their numbers along C and O, `channels` is C.
    """
    m, result = work[SCRATCH:SCRATCH + POSITIONS * PLANE], work[SCRATCH + POSITIONS * PLANE:]
    column, row = block % blocks[0], block // blocks[0]
    _multiply(v, column * size + start * BLOCK, y, row * size + start * BLOCK, stop - start,
              min(BLOCK, channels - column * BLOCK), m)
    if add:
        _invert(m, result)
        add_totals(total, result)
    else:
        _invert(m, total)


@compiled
def _multiply(v, v_start, y, y_start, tiles, rows, m):
    """m[p, c, o] = sum over tiles of v[p, tile, c] * y[p, tile, o], c < rows."""
    for p in range(POSITIONS):
        a, b = v_start + p * (v.size // POSITIONS), y_start + p * (y.size // POSITIONS)
        multiply_tile_and_fetch(ROWS, tiles, at(v, a), 1, BLOCK, at(y, b), BLOCK, at(m, p * PLANE), BLOCK,
                                at(v, a + v.size // POSITIONS))  # v of the next point
        for o in range(0, BLOCK, VECTORS * LANES):
            for c in range(0 if o else ROWS, rows, ROWS):
                multiply_tile(ROWS, False, tiles, at(v, a + c), 1, BLOCK, at(y, b + o), BLOCK,
                              at(m, p * PLANE + c * BLOCK + o), BLOCK)


@compiled
def _invert(m, result):
    """result[c, i, j, o] = (G^T m G)[i, j]; m is used up."""
    for c in range(BLOCK):
        for o in range(0, BLOCK, LANES):
            k = c * BLOCK + o
            for j in range(POINTS):
                transform_filter_line_adjoint(at(m, j * PLANE + k), COLUMN, at(m, j * PLANE + k), COLUMN)
            for i in range(TAPS):
                transform_filter_line_adjoint(at(m, i * COLUMN + k), PLANE,
                                              at(result, (c * FILTER + i * TAPS) * BLOCK + o), BLOCK)


@compiled
def add_totals(total, more):
    for k in range(TOTAL):
        total[k] += more[k]


@compiled
def store_block(total, block, blocks, gweight):
    """Turn a block (C, 3, 3, O) over into its place in gweight (O, C, 3, 3)."""
    filters, channels = gweight.shape[:2]
    flat = gweight.reshape(-1)
    c0, o0 = block % blocks[0] * BLOCK, block // blocks[0] * BLOCK
    numbers = min(BLOCK, channels - c0) * FILTER
    for o in range(0, min(BLOCK, filters - o0), LANES):
        start = ((o0 + o) * channels + c0) * FILTER
        for k in range(0, numbers, LANES):
            if o0 + o + LANES <= filters:
                transpose_some(at(flat, start + k), channels * FILTER, numbers - k,
                               at(total, k * BLOCK + o), BLOCK, 0, LANES)
            else:
                for f in range(filters - o0 - o):
                    for s in range(k, min(k + LANES, numbers)):
                        flat[start + f * channels * FILTER + s] = total[s * BLOCK + o + f]
