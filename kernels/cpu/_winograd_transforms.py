"""Winograd's tiles: from planes of pixels to panels of points, and back with bias and ReLU.

The matrix products want the channels of one point of one tile side by side, a picture has the pixels of one channel
side by side. Both transforms work on LANES channels and a short run of tiles in one row of tiles:

    input:   rows of x -> transpose -> lines (6, columns, LANES) -> B^T along y -> B^T along x -> panel
    output:  panel -> A^T along y -> lines (4, points, LANES) -> A^T along x, bias, ReLU, transpose -> rows of y

The lines lie in the first-level cache. The columns that two tiles share are transformed along y once. What is read or
written next is asked for ahead: a processor guesses a few streams of memory, not those of 16 channels times 6 rows.

Costs (2026-11, AVX-512), in cycles for a tile and 16 channels: input 380, output 350 from the second-level cache, up to
600 and 450 where planes are a multiple of 4 KiB apart, so that 16 channels meet in one set of the first-level cache.
With 64 channels at 224x224, which come from memory: 730 and 650 (1,100 and 830 without asking ahead).

Tiles are counted through: image, plane, row of tiles, tile. A dilation of (dh, dw) takes a picture apart into dh*dw
interleaved planes, in which neighbours are dh rows and dw columns apart; each is convolved as if it were a picture.
"""

from ._compile import compiled
from ._micro_kernel import at
from ._processor import LANES
from ._vectors import fetch_second_level, fetch_to_write, transpose_some, transpose_square
from ._winograd import POINTS, TILE
from ._winograd_vectors import (
    COLUMNS,
    OUTPUT_RUN,
    RUN,
    copy_columns,
    finish_square,
    transform_input_line,
    transform_output_line,
)

LINE = COLUMNS * LANES + 16  # odd number of cache lines; numbers from one line of inputs to the next
OUTPUT_LINE = OUTPUT_RUN * POINTS * LANES + 16  # one of the 4 rows of outputs: six points of each tile
ROWS = max(POINTS * LINE, TILE * OUTPUT_LINE)  # behind the lines: rows (LANES, ROW) of the picture, where they need
ROW = COLUMNS + 16  # copying first; an odd number of cache lines
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
        read_lines(x, c0, tile, count, stop - start, grid, POINTS, scratch)
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
        count = min(OUTPUT_RUN, stop - tile, grid[1] - tile % grid[1])
        _fetch_outputs(y, o0, tile, count, grid)
        for t in range(count):
            tile_place = offset + (tile - start + t) * row
            for i in range(POINTS):
                transform_output_line(at(panel, tile_place + i * plane), POINTS * plane,
                                      at(scratch, (t * POINTS + i) * LANES), OUTPUT_LINE)
        _write_lines(scratch, at(bias, o0), floor, o0, tile, count, grid, y)
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
def read_lines(x, c0, tile, count, strip, grid, size, lines):
    """The `size` rows of x under a run of tiles, channels last; zeros outside of the picture.

    `size` is 6 for inputs, whose tiles overlap, and 4 for gradients of outputs, whose tiles do not. What is read next
    is asked for meanwhile, as the processor cannot guess it: the following channels, or the first of the next `strip`.
    """
    channels, h, w = x.shape[1:]
    _, _, ph, pw, dh, dw = grid
    n, a, b, row, column = _where(tile, grid)
    left, columns = b + column * dw - pw, count * TILE + size - TILE
    direct = dw == 1 and c0 + LANES <= channels
    following = _following(x, c0, tile, strip, grid)
    for j in range(size):
        if dw == 1:
            for r in range(LANES):
                place = following + (r * h + j * dh) * w
                fetch_second_level(at(x, place + 16))  # the second and the third cache line of the run: the one before
                fetch_second_level(at(x, place + columns - 1))  # has fetched the first
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
def _following(x, c0, tile, strip, grid):
    """Where the first pixel of `tile` lies in the LANES channels after c0, or of the same tile of the next strip."""
    channels, h, w = x.shape[1:]
    _, _, ph, pw, dh, dw = grid
    c = c0 + LANES
    if c >= channels:
        c, tile = 0, tile + strip
    n, a, b, row, column = _where(tile, grid)
    return ((n * channels + c) * h + a + row * dh - ph) * w + b + column * dw - pw


@compiled
def _fetch_outputs(y, o0, tile, count, grid):
    """Begin to bring what `_write_lines` will write: a cache line comes before a part of it is written."""
    channels, oh, ow = y.shape[1:]
    _, _, _, _, dh, dw = grid
    n, a, b, row, column = _where(tile, grid)
    for r in range(min(LANES, channels - o0)):
        for i in range(TILE):
            place = ((n * channels + o0 + r) * oh + a + (row + i) * dh) * ow + b + column * dw
            for k in range(0, count * TILE, 16):
                fetch_to_write(at(y, place + k))


@compiled
def _write_lines(lines, bias, floor, o0, tile, count, grid, y):
    """The second half, along x: four lines of six points of `count` tiles to rows of y, as far as these reach."""
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
            of = at(lines, i * OUTPUT_LINE + k // TILE * POINTS * LANES)
            if direct:
                finish_square(of, bias, floor, at(y, start + k), oh * ow, columns - k)
            else:
                finish_square(of, bias, floor, at(lines, ROWS + k), ROW, LANES)
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
