"""Winograd's tiles: from planes of pixels to panels of points, and back with bias and ReLU.

The matrix products want the channels of one point of one tile side by side, a picture has the pixels of one channel
side by side. Both transforms work on LANES channels and a short run of tiles in one row of tiles:

    input:   rows of x -> transpose -> lines (6, columns, LANES) -> B^T along y -> B^T along x -> panel
    output:  panel -> A^T along x -> lines (6, columns, LANES) -> A^T along y, bias, ReLU -> transpose -> rows of y

The lines lie in the first-level cache. The columns that two tiles share are transformed along y once.

Costs (2026-11, AVX-512), in cycles for a tile and 16 channels: input 340, output 300 from the second-level cache, about
twice that where planes are a multiple of 4 KiB apart, so that 16 channels meet in one set of the first-level cache.
Of the 340, 100 transpose and 130 are the bare stores of 60 vectors.

Tiles are counted through: image, plane, row of tiles, tile. A dilation of (dh, dw) takes a picture apart into dh*dw
interleaved planes, in which neighbours are dh rows and dw columns apart; each is convolved as if it were a picture.
"""

from ._compile import compiled
from ._micro_kernel import at
from ._processor import LANES
from ._vectors import transpose_some, transpose_square
from ._winograd import POINTS, TILE
from ._winograd_vectors import (
    COLUMNS,
    RUN,
    copy_columns,
    finish_output_line,
    transform_input_line,
    transform_output_line,
)

LINE = COLUMNS * LANES + 16  # odd number of cache lines; numbers from one line to the next
ROWS = POINTS * LINE  # behind the lines: rows (LANES, ROW) of the picture, where they need copying first
ROW = COLUMNS + 16  # an odd number of cache lines
SCRATCH = ROWS + LANES * ROW  # numbers of scratch memory that a thread needs


def tile_grid(oh, ow, ph, pw, dh, dw):
    """How a convolution's outputs are cut into tiles: (rows of tiles, tiles in a row, ph, pw, dh, dw)."""
    return -(-oh // (TILE * dh)), -(-ow // (TILE * dw)), ph, pw, dh, dw


def tile_count(images, grid):
    """Tiles in all planes of all images."""
    tiles_y, tiles_x, _, _, dh, dw = grid
    return images * dh * dw * tiles_y * tiles_x


@compiled
def transform_input(x, c0, start, stop, grid, panel, offset, row, plane, scratch):
    """B^T d B of tiles start:stop and channels c0 : c0 + LANES of x (N, C, H, W).

    Point p of tile start + t goes to panel[offset + p*plane + t*row :][:LANES]; channels beyond C hold noise.
    `grid` is tile_grid's, `scratch` has SCRATCH numbers of this thread's own.
    """
    tile = start
    while tile < stop:
        count = min(RUN, stop - tile, grid[1] - tile % grid[1])
        read_lines(x, c0, tile, count, grid, POINTS, scratch)
        for column in range(count * TILE + POINTS - TILE):
            place = at(scratch, column * LANES)
            transform_input_line(place, LINE, place, LINE)
        for t in range(count):
            tile_place = offset + (tile - start + t) * row
            for j in range(POINTS):
                transform_input_line(at(scratch, j * LINE + t * TILE * LANES), LANES,
                                     at(panel, tile_place + j * POINTS * plane), plane)
        tile += count


@compiled
def transform_output(panel, offset, row, plane, start, stop, grid, bias, floor, o0, y, scratch):
    """max(A^T m A + bias, floor) of tiles start:stop to channels o0 : o0 + LANES of y (N, O, OH, OW), as far as it has.

    Point p of tile start + t is read from panel[offset + p*plane + t*row :][:LANES].
    """
    tile = start
    while tile < stop:
        count = min(RUN, stop - tile, grid[1] - tile % grid[1])
        for t in range(count):
            tile_place = offset + (tile - start + t) * row
            for j in range(POINTS):
                transform_output_line(at(panel, tile_place + j * POINTS * plane), plane,
                                      at(scratch, j * LINE + t * TILE * LANES), LANES)
        for column in range(count * TILE):
            place = at(scratch, column * LANES)
            finish_output_line(place, LINE, place, LINE, at(bias, o0), floor)
        _write_lines(scratch, o0, tile, count, grid, y)
        tile += count


@compiled
def _where(tile, grid):
    """image, the plane's first row and column, the tile's first row and column in its plane."""
    tiles_y, tiles_x, _, _, dh, dw = grid
    line, tx = tile // tiles_x, tile % tiles_x
    plane, ty = line // tiles_y, line % tiles_y
    n, a = plane // (dh * dw), plane % (dh * dw)
    return n, a // dw, a % dw, ty * TILE, tx * TILE


@compiled
def read_lines(x, c0, tile, count, grid, size, lines):
    """The `size` rows of x under a run of tiles, channels last; zeros outside of the picture.

    `size` is 6 for inputs, whose tiles overlap, and 4 for gradients of outputs, whose tiles do not.
    """
    channels, h, w = x.shape[1:]
    _, _, ph, pw, dh, dw = grid
    n, a, b, row, column = _where(tile, grid)
    left, columns = b + column * dw - pw, count * TILE + size - TILE
    direct = dw == 1 and c0 + LANES <= channels
    for j in range(size):
        iy = a + (row + j) * dh - ph
        if not 0 <= iy < h:
            lines[j * LINE:(j + 1) * LINE] = 0
            continue
        start = ((n * channels + c0) * h + iy) * w + left  # may lie outside of x, where nothing will be read
        if not direct:
            _gather(x, start, min(LANES, channels - c0), left, columns, dw, lines)
        for k in range(0, columns, LANES):
            to = at(lines, j * LINE + k * LANES)
            if direct:
                transpose_some(to, LANES, LANES, at(x, start + k), h * w, -left - k, w - left - k)
            else:
                transpose_square(to, LANES, at(lines, ROWS + k), ROW)


@compiled
def _write_lines(lines, o0, tile, count, grid, y):
    """Four lines of channels-last outputs to rows of y, as far as these reach."""
    channels, oh, ow = y.shape[1:]
    _, _, _, _, dh, dw = grid
    n, a, b, row, column = _where(tile, grid)
    left = b + column * dw
    columns = min(count * TILE, -((left - ow) // dw))
    direct = dw == 1 and o0 + LANES <= channels
    for i in range(TILE):
        p = a + (row + i) * dh
        if p >= oh:
            break
        start = ((n * channels + o0) * oh + p) * ow + left
        for k in range(0, columns, LANES):
            of = at(lines, i * LINE + k * LANES)
            if direct:
                transpose_some(at(y, start + k), oh * ow, columns - k, of, LANES, 0, LANES)
            else:
                transpose_square(at(lines, ROWS + k), ROW, of, LANES)
        if not direct:
            _scatter(lines, min(LANES, channels - o0), columns, dw, y, start)


@compiled
def _gather(x, start, channels, left, columns, dw, lines):
    """Pixels left, left + dw ... of a row in `channels` planes, from flat offset `start` on, to ROWS."""
    h, w = x.shape[2:]
    for r in range(channels):
        place = start + r * h * w
        if dw == 1:
            copy_columns(at(x, place), -left, w - left, at(lines, ROWS + r * ROW), COLUMNS)
        else:
            pixels = x.reshape(-1)
            for k in range(columns):
                lines[ROWS + r * ROW + k] = pixels[place + k * dw] if 0 <= left + k * dw < w else 0


@compiled
def _scatter(lines, channels, columns, dw, y, start):
    """ROWS to a row in `channels` planes of y, every dw-th pixel."""
    oh, ow = y.shape[2:]
    for r in range(channels):
        place = start + r * oh * ow
        if dw == 1:
            copy_columns(at(lines, ROWS + r * ROW), 0, COLUMNS, at(y, place), columns)
        else:
            pixels = y.reshape(-1)
            for k in range(columns):
                pixels[place + k * dw] = lines[ROWS + r * ROW + k]
