"""The input gradient of a strided convolution, which is a transposed convolution's forward, as one matrix product.

Output pixel (iy, ix) is met by input pixel (p, q) through tap (i, j) where iy + ph = p*sh + i. Write

    iy + ph = P*sh + a        with 0 <= a < sh, the *phase* of the output row; then  i = a + i2*sh  and  p = P - i2

so all output pixels at the same P and Q, in every phase (a, b) and channel c, read the same few input pixels:

    gx[c, P*sh + a - ph, Q*sw + b - pw] = sum over o, i2, j2 of  gy[o, P-i2, Q-j2] * weight[o, c, a + i2*sh, b + j2*sw]

That is a matrix product: positions (P, Q) down, channels and phases (c, a, b) across, taps and channels (o, i2, j2)
summed over. No zeros are put between input pixels, nothing is added twice, and the many phases make it wide, even for
the 21 channels of a segmentation's upsampling layer. Then the phases, side by side in the product, go to their places
in the output ("pixel shuffle", Shi et al. 2016). Where the stride does not divide the filter, the first phases have a
tap more than the last; these are two products an axis, since a tap of zeros would spread NaN and take time.

A core holds one chunk of gy, packed, of at most 1 MiB (or 32 tiles of rows, if these are more), and one panel of
filters, or several up to 512 KiB. FLOPs: 2*N*H*W*C*O*KH*KW/groups and a border; the output is written once.

Measured (2026-11, 2 cores, AVX-512, one core): the product alone runs at 113 of 116 GFLOP/s; with packing and placing
70 at stride 8 with 21 channels (a fourth of the time is the placing, which writes 28 MB), 75 for U-Net's 1024 > 512
(a tenth is the packing of the filters), and 45 for filters of 3 at stride 2, where phases are placed number by number.
"""

from . import memory
from ._layout import contiguous
from ._micro_kernel import MOST_ROWS, VECTORS
from ._processor import VECTOR_BITS
from ._threads import parts_of, run
from ._transposed_diagonal import find_diagonal, upsample_diagonal
from ._transposed_product import multiply, stamp

CHUNK = 1 << 18  # numbers of gy that a core holds packed
FILTERS = 1 << 17  # numbers of weights, the same
FEWEST_TILES = 32  # in a chunk, so that a panel of filters is packed for that many tiles at least
GRAIN = 1 << 18  # multiply-adds of vectors that are worth another thread: some 70 microseconds


def grad_input_strided(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w): the pass `conv2d_grad_input`, any stride."""
    taps = find_diagonal(weight, groups) if dh == dw == 1 else None
    if taps is not None:
        return upsample_diagonal(gy, *taps, h, w, sh, sw, ph, pw)
    gx = memory.empty((gy.shape[0], weight.shape[1] * groups, h, w), gy.dtype)
    gy, weight = contiguous(gy), contiguous(weight)
    if dh > 1 or dw > 1:
        gx.fill(0)
        run(stamp, gx.shape[0] * gx.shape[1], gy, weight, gx, (sh, sw, ph, pw, dh, dw), groups)
        return gx
    vertical, horizontal = _phases(weight.shape[2], sh), _phases(weight.shape[3], sw)
    if gy.size == 0 or any(taps == 0 for _, _, taps in vertical + horizontal):
        gx.fill(0)  # some pixels are met by no tap
    for a0, a1, rows in vertical:
        for b0, b1, columns in horizontal:
            if rows and columns and gy.size and gx.size:
                _product(gy, weight, gx, (sh, sw, ph, pw), (a0, a1, b0, b1), (rows, columns), groups)
    return gx


def prepare(weight, dh, dw, groups):
    """weight (C, O/groups, KH, KW) -> kind, data: "diagonal" and its (column, row), or "plain" and the weight."""
    taps = find_diagonal(weight, groups) if dh == dw == 1 else None
    return ("plain", weight) if taps is None else ("diagonal", taps)


def prepared(x, data, oh, ow, sh, sw, ph, pw):
    """The forward of a weight that `prepare` found to be diagonal."""
    return upsample_diagonal(x, *data, oh, ow, sh, sw, ph, pw)


def _phases(k, s):
    """Phases with as many taps each -> [(first, behind the last, taps)]. For k = 3, s = 2: [(0, 1, 2), (1, 2, 1)]."""
    return [(first, last, taps) for first, last, taps in ((0, k % s, k // s + 1), (k % s, s, k // s)) if first < last]


def _product(gy, weight, gx, steps, phases, taps, groups):
    """All positions and channels for phases a0:a1, b0:b1, each with `taps` = (rows, columns) of taps."""
    (sh, sw, ph, pw), (a0, a1, b0, b1) = steps, phases
    images, filters = gy.shape[:2]
    channels, (h, w) = weight.shape[1], gx.shape[2:]
    # The first P with an output row in one of the phases, and the one behind the last; the same of Q and columns.
    grid = (-((a1 - 1 - ph) // sh), (ph + h - 1 - a0) // sh + 1, -((b1 - 1 - pw) // sw), (pw + w - 1 - b0) // sw + 1)
    depth = filters // groups * taps[0] * taps[1]
    if grid[0] >= grid[1] or grid[2] >= grid[3]:
        return  # an output too small to have these phases
    tiles = -(-images * (grid[1] - grid[0]) * (grid[3] - grid[2]) // MOST_ROWS)
    width = VECTORS * VECTOR_BITS // (8 * gx.itemsize)
    panels = -(-channels * (a1 - a0) * (b1 - b0) // width)
    # Every core packs one operand whole and its share of the other: let the one that all of them pack be the smaller.
    by_tiles = tiles * MOST_ROWS >= panels * width
    chunk = _even_share(tiles, max(FEWEST_TILES, CHUNK // (MOST_ROWS * depth)))
    count = tiles if by_tiles else panels
    grain = -(-GRAIN * count // (tiles * panels * MOST_ROWS * VECTORS * depth))
    parts = parts_of(count, grain)
    a = memory.workspace((parts, depth, (chunk * MOST_ROWS + 15) // 16 * 16 + 16), gx.dtype)
    b = memory.workspace((parts, min(panels, max(1, FILTERS // (depth * width))), depth, width), gx.dtype)
    c = memory.workspace((parts, MOST_ROWS, width), gx.dtype)
    for group in range(groups):
        run(multiply, count, by_tiles, tiles, panels, chunk, gy, weight, gx, steps, phases, taps, grid,
            (group, groups), a, b, c, grain=grain)


def _even_share(count, most):
    """The smallest share so that no more of them are needed than with shares of `most`."""
    return -(-count // -(-count // most))
