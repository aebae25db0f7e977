"""Winograd's convolution, put together: V from the input, 36 matrix products with U, outputs from their results M.

V and M are 36/16 times as large as the maps that they come from, so they must not reach main memory. Two ways:

    fused    Each thread takes a strip of tiles whose V and M fit into its second-level cache, and does all three steps.
             U is read again for each strip, from the third-level cache. For wide maps of few channels.
    phased   First V of all tiles; then each thread takes blocks of output channels, so that U is read only once, and M
             of one block stays in the second-level cache. For deep, small maps, whose U is larger than all caches.

Workspace: fused FUSED_BYTES a thread, phased PHASED_BYTES and one block of M a thread.

Distance from the limit (2026-11, AVX-512 with one multiply-add a cycle, 116 GFLOP/s a core): the matrix products run
at 97 % of the peak. Whole layers on one core take 1.1 to 1.3 times the time of the products alone (256 channels at
56x56, 128 at 112x112), 1.7 times with 64 channels at 224x224, where maps pass through main memory and 16 channels of
a pixel share few places of the cache. PyTorch, at 97 % of the peak, multiplies four times as often: 2.5 to 3.5 times
as slow. 512 channels at 14x14 are bound by reading U, 38 MB: 1.8 to 2.7 times.
"""

import numpy as np

from . import memory
from ._compile import compiled
from ._layout import contiguous
from ._micro_kernel import MOST_ROWS, at, multiply_tile
from ._processor import LANES
from ._threads import parts_of, run
from ._winograd import POSITIONS
from ._winograd_choice import FUSED, plan, row_step, strip_tiles
from ._winograd_filters import WIDTH, odd_lines
from ._winograd_transforms import SCRATCH, tile_count, tile_grid, transform_input, transform_output

FULL, HALF, QUARTER = MOST_ROWS, (MOST_ROWS + 2) // 2, (MOST_ROWS + 2) // 4  # tiles of a block in registers
PHASED_BYTES = 32 << 20  # of V, if it is phased
BLOCK = 4 * FULL  # tiles of M, if it is phased


def convolve(x, u, bias, o, oh, ow, ph, pw, dh, dw, relu):
    """x (N, C, H, W) and u of o filters -> y (N, o, oh, ow), float32; bias (o,) or None; relu: at least 0.

    ph and pw may be larger than the filter, or negative: the picture is cropped then. The input gradient is
    convolve(gy, transform_weight_rotated(weight), None, C, H, W, 2*dh - ph, 2*dw - pw, dh, dw, False).
    """
    y, biases, floor = start_outputs(len(x), o, oh, ow, bias, relu)
    if not x.size:
        y[...] = np.maximum(biases[:o, None, None], floor)
    elif y.size:
        grid = tile_grid(oh, ow, ph, pw, dh, dw)
        tiles = tile_count(x.shape[0], grid)
        way = _fused if plan(x.shape[1], tiles) == FUSED else _phased
        way(contiguous(x), contiguous(u), biases, floor, grid, tiles, y)
    return y


def start_outputs(n, o, oh, ow, bias, relu):
    """y (n, o, oh, ow) to be written, a bias for every channel and those up to a whole block, and the least value."""
    biases = np.zeros(-(-o // WIDTH) * WIDTH, np.float32)
    if bias is not None:
        biases[:o] = bias
    return memory.empty((n, o, oh, ow), np.float32), biases, np.float32(0 if relu else -np.inf)


def _fused(x, u, bias, floor, grid, tiles, y):
    row = row_step(x.shape[1])
    strip = min(max(strip_tiles(x.shape[1]), FULL), tiles)
    v_plane, m_plane = odd_lines((strip + FULL) * row), odd_lines((strip + FULL) * WIDTH)
    parts = parts_of(tiles, FULL)
    workspace = memory.empty((parts, POSITIONS * (v_plane + m_plane) + SCRATCH), np.float32)
    run(_strips, tiles, x, u, bias, floor, grid, strip, row, v_plane, m_plane, workspace, y, grain=FULL)


@compiled
def _strips(part, start, stop, x, u, bias, floor, grid, strip, row, v_plane, m_plane, workspace, y):
    channels, outputs = x.shape[1], y.shape[1]
    v = workspace[part, :POSITIONS * v_plane]
    m = workspace[part, POSITIONS * v_plane:POSITIONS * (v_plane + m_plane)]
    scratch = workspace[part, POSITIONS * (v_plane + m_plane):]
    for first in range(start, stop, strip):
        last = min(first + strip, stop)
        for c0 in range(0, channels, LANES):
            transform_input(x, c0, first, last, grid, v, c0, row, v_plane, scratch)
        for o0 in range(0, outputs, WIDTH):
            multiply_points(v, 0, row, v_plane, u, o0 * channels, channels, m, m_plane, last - first)
            for lane in range(0, min(WIDTH, outputs - o0), LANES):
                transform_output(m, lane, WIDTH, m_plane, first, last, grid, bias, floor, o0 + lane, y, scratch)


def _phased(x, u, bias, floor, grid, tiles, y):
    row = row_step(x.shape[1])
    chunk = min(tiles, max(BLOCK, PHASED_BYTES // (POSITIONS * 4 * row) // BLOCK * BLOCK))
    v_plane = odd_lines((chunk + FULL) * row)
    m_plane = odd_lines((min(chunk, BLOCK) + FULL) * WIDTH)
    v = memory.empty((POSITIONS * v_plane,), np.float32)
    channel_blocks, output_blocks = -(-x.shape[1] // LANES), -(-y.shape[1] // WIDTH)
    for first in range(0, tiles, chunk):
        last = min(first + chunk, tiles)
        units = output_blocks * -(-(last - first) // BLOCK)
        workspace = memory.empty((parts_of(max(units, channel_blocks)), POSITIONS * m_plane + SCRATCH), np.float32)
        run(transform_channels, channel_blocks, x, first, last, grid, v, row, v_plane, workspace)
        run(_outputs, units, v, u, x.shape[1], bias, floor, first, last, grid, row, v_plane, m_plane, workspace, y)


@compiled
def transform_channels(part, start, stop, x, first, last, grid, v, row, v_plane, workspace):
    """V of tiles first:last, blocks of channels start:stop."""
    for block in range(start, stop):
        transform_input(x, block * LANES, first, last, grid, v, block * LANES, row, v_plane, workspace[part])


@compiled
def _outputs(part, start, stop, v, u, channels, bias, floor, first, last, grid, row, v_plane, m_plane, workspace, y):
    """Outputs of tiles first:last. A unit is a block of tiles for a block of output channels; tiles run faster."""
    m, scratch = workspace[part, :POSITIONS * m_plane], workspace[part, POSITIONS * m_plane:]
    tile_blocks = (last - first + BLOCK - 1) // BLOCK
    for unit in range(start, stop):
        o0 = unit // tile_blocks * WIDTH
        begin = first + unit % tile_blocks * BLOCK
        end = min(begin + BLOCK, last)
        multiply_points(v, (begin - first) * row, row, v_plane, u, o0 * channels, channels, m, m_plane, end - begin)
        for lane in range(0, min(WIDTH, y.shape[1] - o0), LANES):
            transform_output(m, lane, WIDTH, m_plane, begin, end, grid, bias, floor, o0 + lane, y, scratch)


@compiled
def multiply_points(v, v_start, row, v_plane, u, u_start, channels, m, m_plane, tiles):
    """M[p] = V[p] @ U[p] for `tiles` tiles and WIDTH output channels, p in 36 points.

    Blocks of FULL tiles; what is left goes as one or two smaller ones. Those may take in tiles beyond the last, whose
    place is there, but whose result nobody reads.
    """
    u_plane = u.shape[1]
    for p in range(POSITIONS):
        b, t = at(u, p * u_plane + u_start), 0
        while t < tiles:
            left = tiles - t
            a, c = at(v, v_start + p * v_plane + t * row), at(m, p * m_plane + t * WIDTH)
            if left > 2 * HALF or HALF < left <= FULL:
                multiply_tile(FULL, False, channels, a, row, 1, b, WIDTH, c, WIDTH)
                t += FULL
            elif left > QUARTER:
                multiply_tile(HALF, False, channels, a, row, 1, b, WIDTH, c, WIDTH)
                t += HALF
            else:
                multiply_tile(QUARTER, False, channels, a, row, 1, b, WIDTH, c, WIDTH)
                t += QUARTER
