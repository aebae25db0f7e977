"""The weight gradient of a 3x3 convolution of stride 1 by Winograd's method: a quarter of the multiplications.

A convolution is y = A^T [ (G g) * (B^T d) ] in each tile (`_winograd`), linear in the filter g. Its adjoint sends what
came out of g back into g, and as all tiles add to the same nine numbers, the last transform is done but once:

    gweight = G^T [ sum over tiles of (A gy) * (B^T d) ]        gy: 4x4 gradients of outputs,  d: 6x6 inputs

With all channels, the sum is a matrix product over the tiles, for each of the 36 points p:

    M[p] (C, O) = sum over tiles t of  V[p] (t, C)^T @ Y[p] (t, O)

M as a whole would be large, 37 MB for 512 x 512 channels, so it is made and transformed back block by block
(`_winograd_weight_blocks`). V and Y are 36/16 times as large as the maps, so they are made piece by piece. Two ways:

    by tiles     Each thread takes a part of the tiles, in pieces whose V and Y fit its second-level cache, and has sums
                 of its own; these are added in the end, part by part. For large maps of few channels.
    by blocks    All threads transform a piece, then each multiplies blocks of channels of its own, over all its tiles.
                 For deep, small maps, where sums are larger than what goes into them.

Either way a sum runs over at most 64 tiles before it is added to others, which also keeps rounding errors small.
Workspace: by tiles TILES_BYTES and the size of gweight for each thread, by blocks BLOCKS_BYTES and the size of gweight.
Pieces of at least 7 tiles are made all the same, which is more from 1,500 (by tiles) or 16,000 channels (C + O) on.

Measured (2026-11, 2 cores, AVX-512), products at the peak against all of it: 0.5 to 0.7 for 64 to 128 channels, 0.6 to
0.75 for 256 and 512. Transforming the maps is the rest where channels are few, G^T m G where tiles are.
"""


from . import memory
from ._compile import compiled
from ._layout import contiguous
from ._threads import parts_of, run
from ._winograd import POSITIONS, TAPS
from ._winograd_filters import odd_lines
from ._winograd_transforms import RUN, tile_count, tile_grid
from ._winograd_weight_blocks import BLOCK, TOTAL, WORK, add_block, add_totals, store_block, transform_tiles

TILES_BYTES = 3 << 19  # of V and Y, by tiles: about the second-level cache; smaller pieces mean more ways back
BLOCKS_BYTES = 16 << 20  # of V and Y, by blocks: they stay in the third-level cache
SUM = 64  # tiles that are added in one go
GRAIN = 4  # tiles that are worth a thread


def grad_weight(gy, x, ph, pw, dh, dw):
    """gy (N, O, OH, OW), x (N, C, H, W), float32, with padding and dilation -> gweight (O, C, 3, 3)."""
    gy, x = contiguous(gy), contiguous(x)
    o, c = gy.shape[1], x.shape[1]
    gweight = memory.empty((o, c, TAPS, TAPS), x.dtype)
    if not gy.size or not x.size:
        gweight.fill(0)
        return gweight
    grid = tile_grid(*gy.shape[2:], ph, pw, dh, dw)
    blocks = -(-c // BLOCK), -(-o // BLOCK)
    way = _by_tiles if c * o <= 128 * 128 else _by_blocks
    way(gy, x, grid, tile_count(len(x), grid), blocks, gweight)
    return gweight


def suits_weight_gradient(n, c, o, oh, ow, dh, dw) -> bool:
    """Whether this is faster than nine taps multiplied one by one, counted in multiply-adds at the peak.

    Tiles that stick out at the edges are computed in full, as are channels up to a multiple of the micro-kernel's; a
    transform costs as much as some 500 multiply-adds for each tile and channel, the way back 300 for each filter. Taps
    that fall outside of the picture cost nothing where they are taken one by one; assumed is padding to the same size.
    """
    tiles = n * dh * dw * -(-oh // (4 * dh)) * -(-ow // (4 * dw))
    channels, filters = -(-c // 8) * 8, -(-o // BLOCK) * BLOCK
    winograd = tiles * (POSITIONS * channels * filters + 500 * (channels + filters)) + 300 * channels * filters
    taps = (oh + 2 * max(0, oh - dh)) * (ow + 2 * max(0, ow - dw))  # of nine, over all pixels of an image
    return winograd < n * c * o * taps


def _piece_bytes(blocks):
    """Of V and Y for one tile."""
    return sum(blocks) * BLOCK * POSITIONS * 4


def _by_tiles(gy, x, grid, tiles, blocks, gweight):
    piece = max(RUN, min(SUM, TILES_BYTES // _piece_bytes(blocks)) // RUN * RUN)
    size, parts, count = odd_lines(piece * BLOCK), parts_of(tiles, GRAIN), blocks[0] * blocks[1]
    v, y = (memory.workspace((parts, POSITIONS * number * size), x.dtype) for number in blocks)
    totals, work = memory.workspace((parts, count, TOTAL), x.dtype), memory.workspace((parts, WORK), x.dtype)
    run(_sum_tiles, tiles, gy, x, grid, blocks, piece, size, v, y, totals, work, grain=GRAIN)
    run(_finish, count, blocks, totals, gweight)


@compiled
def _sum_tiles(part, start, stop, gy, x, grid, blocks, piece, size, v, y, totals, work):
    for first in range(start, stop, piece):
        last = min(stop, first + piece)
        transform_tiles(gy, x, grid, first, last, v[part], y[part], size, 0, work[part])
        for block in range(blocks[0] * blocks[1]):
            add_block(v[part], y[part], size, block, blocks, 0, last - first, x.shape[1], totals[part, block],
                      first > start, work[part])


@compiled
def _finish(part, start, stop, blocks, totals, gweight):
    """The sums of all parts, in order."""
    for block in range(start, stop):
        for other in range(1, totals.shape[0]):
            add_totals(totals[0, block], totals[other, block])
        store_block(totals[0, block], block, blocks, gweight)


def _by_blocks(gy, x, grid, tiles, blocks, gweight):
    pieces = -(-tiles // max(RUN, BLOCKS_BYTES // _piece_bytes(blocks)))
    piece = -(-tiles // pieces)
    size, count = odd_lines(piece * BLOCK), blocks[0] * blocks[1]
    v, y = (memory.workspace((POSITIONS * number * size,), x.dtype) for number in blocks)
    totals = memory.workspace((count, TOTAL), x.dtype)
    work = memory.workspace((parts_of(max(piece, count)), WORK), x.dtype)
    for first in range(0, tiles, piece):
        last = min(tiles, first + piece)
        run(_transform, last - first, gy, x, grid, first, v, y, size, work, grain=GRAIN)
        run(_sum_blocks, count, v, y, size, blocks, last - first, first > 0, last == tiles, totals, gweight, work)


@compiled
def _transform(part, start, stop, gy, x, grid, first, v, y, size, work):
    transform_tiles(gy, x, grid, first + start, first + stop, v, y, size, start, work[part])


@compiled
def _sum_blocks(part, start, stop, v, y, size, blocks, tiles, add, last_piece, totals, gweight, work):
    """Blocks that share Y go together, so that 64 tiles of it stay in the second-level cache meanwhile."""
    sums = (tiles + SUM - 1) // SUM
    first = start
    while first < stop:
        last = min(stop, (first // blocks[0] + 1) * blocks[0])
        for s in range(sums):
            for block in range(first, last):
                add_block(v, y, size, block, blocks, tiles * s // sums, tiles * (s + 1) // sums, gweight.shape[1],
                          totals[block], add or s > 0, work[part])
        if last_piece:
            for block in range(first, last):
                store_block(totals[block], block, blocks, gweight)
        first = last
