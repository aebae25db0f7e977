"""Whether a convolution is worth Winograd's transforms, and which way it then takes. Counted in multiply-adds.

    direct      9 C O for each pixel, less what falls outside: with dilation and padding, often half of all
    Winograd   36 C O for each tile of 16 pixels, begun ones too, and TRANSFORM for each channel of each tile

Both read all their weights once, of which Winograd has four times as many: where a map is small, that decides.
"""

import numpy as np

from ._micro_kernel import MOST_ROWS
from ._processor import LANES, SECOND_LEVEL
from ._winograd import POSITIONS, TAPS
from ._winograd_filters import WIDTH, odd_lines
from ._winograd_transforms import tile_count, tile_grid

DIRECT, FUSED, PHASED = 0, 1, 2
TRANSFORM = 400  # multiply-adds that could be done in the time of transforming one channel of a tile, in or out
READ = 8  # multiply-adds that could be done in the time of reading one number from main memory
SHORTEST_STRIP = 12 * SECOND_LEVEL >> 20  # tiles: with fewer, phased is better
ONCE_TILES = 72  # up to which filters are transformed while they are multiplied (`_winograd_once`)
STRIP_BYTES = 640 << 10  # of V and M: leaves room for U in a second-level cache of 1 MiB, and is best in larger ones
MOST_STRIP_BYTES = SECOND_LEVEL // 8 * 5
LEAST_STRIP = 2 * MOST_ROWS  # tiles: U is read again for so many


def suits(n, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype) -> bool:
    """Whether `convolve` can do it, and faster than directly. Never for float64, which is for exactness."""
    possible = (kh, kw, sh, sw, groups) == (TAPS, TAPS, 1, 1, 1) and np.dtype(dtype) == np.float32
    return possible and choose(n, c, o, oh, ow, dh, dw) != DIRECT


def choose(n, c, o, oh, ow, dh, dw) -> int:
    """DIRECT, FUSED or PHASED for a 3x3 convolution of stride 1 of n pictures, c channels to o maps of oh x ow."""
    tiles = tile_count(n, tile_grid(oh, ow, 0, 0, dh, dw))
    filters = -(-o // WIDTH) * WIDTH
    inside = (TAPS * oh - 2 * min(dh, oh)) * (TAPS * ow - 2 * min(dw, ow))  # taps, if the map keeps its size
    direct = c * o * (n * inside + TAPS * TAPS * READ)
    winograd = POSITIONS * c * filters * (tiles + READ) + TRANSFORM * (c + filters) * tiles
    return DIRECT if winograd >= direct else plan(c, tiles)


def plan(c, tiles) -> int:
    """FUSED if V and M of enough tiles fit into the second-level cache: U is read again for so many. Else PHASED."""
    return FUSED if strip_tiles(c) >= SHORTEST_STRIP and tiles >= 2 * SHORTEST_STRIP else PHASED


def row_step(c) -> int:
    """Numbers from one tile of V to the next."""
    row = -(-c // LANES) * LANES
    return odd_lines(row) if row % 256 == 0 else row


def strip_tiles(c) -> int:
    """Tiles of a strip, a multiple of MOST_ROWS: those whose V and M take STRIP_BYTES, but LEAST_STRIP if they fit."""
    tile = POSITIONS * 4 * (row_step(c) + WIDTH)
    fitting, most = (room // tile // MOST_ROWS * MOST_ROWS for room in (STRIP_BYTES, MOST_STRIP_BYTES))
    return max(fitting, min(LEAST_STRIP, most))
