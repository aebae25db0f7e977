"""Columns: the numbers that a block of output pixels meets at a block of taps, side by side in the cache.

    panel[k, s] = input at tap k of output pixel number s        k in a block of taps, s in a block of pixels

With all taps and all pixels this would be the matrix of im2col, KH*KW times as large as the image. Only a block of it
ever exists, in the first two levels of the cache, where it is multiplied by the filters at once.
"""

from ._compile import compiled
from ._micro_kernel import VECTORS, at
from ._processor import LANES
from ._vectors import add_run, copy_run, fetch_to_write

LINES = LANES * 4  # bytes of one vector
MOST_TAPS = 256  # of a block: 256 x 32 pixels are 32 KiB


@compiled
def tile_width(x):
    """How many pixels the micro-kernel works on side by side."""
    return VECTORS * LINES // x.itemsize


@compiled
def gather_columns(source, image, offsets, k0, k1, first, count, ow, pitch, panel, place, row):
    """panel[place + (k - k0)*row + s] = tap k of pixel first + s, for s < count and k0 <= k < k1.

    Pixels are numbered through an output map of width ow, so a block of them may span several rows.
    """
    lanes = LINES // source.itemsize
    s = 0
    while s < count:
        p, q = divmod(first + s, ow)
        run = min(ow - q, count - s, lanes)
        begin = image + p * pitch + q
        for k in range(k1 - k0):
            copy_run(at(panel, place + k * row + s), at(source, begin + offsets[k0 + k]), run)
        s += run


@compiled
def scatter_columns(source, image, offsets, k0, k1, first, count, ow, pitch, panel, place, row):
    """The adjoint: what `gather_columns` reads, is added to."""
    lanes = LINES // source.itemsize
    s = 0
    while s < count:
        p, q = divmod(first + s, ow)
        run = min(ow - q, count - s, lanes)
        begin = image + p * pitch + q
        for k in range(k1 - k0):
            add_run(at(source, begin + offsets[k0 + k]), at(panel, place + k * row + s), run)
        s += run


@compiled
def fetch_tiles(y, first, last, s):
    """Begin to bring what will be written: rows first to last of y (rows, pixels) at the tile of pixels from s on."""
    for row in range(first, last):
        for place in range(s, min(s + tile_width(y), y.shape[1]), LINES // y.itemsize):
            fetch_to_write(at(y, row * y.shape[1] + place))


@compiled
def share(number, blocks, total):
    """Where block `number` of `blocks` nearly equal ones begins."""
    return number * total // blocks
