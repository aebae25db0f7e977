"""Winograd's convolution, put together: V from the input, 36 matrix products with U, outputs from their results M.

V and M are 36/16 times as large as the maps that they come from, so they must not reach main memory. Two ways:

    fused    Each thread takes a strip of tiles whose V and M fit into its second-level cache, and does all three steps.
             U is read again for each strip, from the third-level cache. For wide maps of few channels.
    phased   First V of all tiles; then each thread takes groups of output channels, so that U is read only once, and M
             of one group stays in the second-level cache. For deep, small maps, whose U is larger than all caches.

While one point is multiplied, U of the next comes to the second-level cache: 512 channels at 14x14 then take 0.7 of the
time (2026-11, a processor whose third-level cache gives a core 6 GB/s).

Workspace: fused STRIP_BYTES a thread or up to MOST_STRIP_BYTES, phased PHASED_BYTES and GROUPED_BYTES a thread.

Distance from the limit (2026-11, AVX-512 with one multiply-add a cycle, 116 GFLOP/s a core): the matrix products run
at 97 % of the peak. Whole layers on one core take 1.1 to 1.3 times the time of the products alone (256 channels at
56x56, 128 at 112x112), 1.7 times with 64 channels at 224x224, where maps pass through main memory and 16 channels of
a pixel share few places of the cache. PyTorch, at 97 % of the peak, multiplies four times as often: 2.5 to 3.5 times
as slow. 512 channels at 14x14 are bound by reading U, 38 MB: 1.8 to 2.7 times.

With two multiply-adds a cycle (2026-11-29, some 220 GFLOP/s a core, a third-level cache of 6 GB/s a core) the products
run at 175 to 190 GFLOP/s, with 256 channels at 150, and take 57 % of the time with 64 channels at 224x224, 75 % with
128 at 112x112, 83 % with 256 at 56x56. PyTorch takes 2.1 to 3.3 times as long.
"""

import numpy as np

from . import memory
from ._compile import compiled
from ._direct_columns import share
from ._layout import contiguous
from ._micro_kernel import MOST_ROWS, at, multiply_tile, multiply_tile_and_fetch
from ._processor import LANES, SECOND_LEVEL
from ._threads import parts_of, run
from ._winograd import POSITIONS
from ._winograd_choice import FUSED, plan, row_step, strip_tiles
from ._winograd_filters import WIDTH, odd_lines
from ._winograd_transforms import SCRATCH, tile_count, tile_grid, transform_input, transform_output

FULL, HALF, QUARTER = MOST_ROWS, (MOST_ROWS + 2) // 2, (MOST_ROWS + 2) // 4  # tiles of a block in registers
PHASED_BYTES = 32 << 20  # of V, if it is phased
BLOCK = 4 * FULL  # tiles of M, if it is phased
GROUPED_BYTES = SECOND_LEVEL // 8 * 3  # of M, if it is phased: of several output blocks, for which V is read once


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
    workspace = memory.workspace((parts, POSITIONS * (v_plane + m_plane) + SCRATCH), np.float32)
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
            for p in range(POSITIONS):
                u_place = p * u.shape[1] + o0 * channels
                multiply_point(v, p * v_plane, row, u.reshape(-1), u_place, u_place + u.shape[1], channels, m,
                               p * m_plane, WIDTH, last - first)
            for lane in range(0, min(WIDTH, outputs - o0), LANES):
                transform_output(m, lane, WIDTH, m_plane, first, last, grid, bias, floor, o0 + lane, y, scratch)


def _phased(x, u, bias, floor, grid, tiles, y):
    row = row_step(x.shape[1])
    chunk = min(tiles, max(BLOCK, PHASED_BYTES // (POSITIONS * 4 * row) // BLOCK * BLOCK))
    v_plane = odd_lines((chunk + FULL) * row)
    m_plane = odd_lines((min(chunk, BLOCK) + FULL) * WIDTH)
    v = memory.workspace((POSITIONS * v_plane,), np.float32)
    channel_blocks, output_blocks = -(-x.shape[1] // LANES), -(-y.shape[1] // WIDTH)
    groups = _groups(output_blocks, m_plane)
    together = -(-output_blocks // groups)
    for first in range(0, tiles, chunk):
        last = min(first + chunk, tiles)
        units = groups * -(-(last - first) // BLOCK)
        workspace = memory.workspace(
            (parts_of(max(units, channel_blocks)), POSITIONS * m_plane * together + SCRATCH), np.float32)
        run(transform_channels, channel_blocks, x, first, last, grid, v, row, v_plane, workspace)
        run(_outputs, units, v, u, x.shape[1], bias, floor, first, last, grid, row, v_plane, m_plane, groups, together,
            workspace, y)


def _groups(output_blocks, m_plane):
    """Groups of output blocks whose M together fit the second-level cache: V is read once for each group.

    As many as threads can share evenly.
    """
    most = max(1, GROUPED_BYTES // (POSITIONS * 4 * m_plane))
    parts = parts_of(output_blocks)
    return min(output_blocks, -(-output_blocks // (most * parts)) * parts)


@compiled
def transform_channels(part, start, stop, x, first, last, grid, v, row, v_plane, workspace):
    """V of tiles first:last, blocks of channels start:stop."""
    for block in range(start, stop):
        transform_input(x, block * LANES, first, last, grid, v, block * LANES, row, v_plane, workspace[part])


@compiled
def _outputs(part, start, stop, v, u, channels, bias, floor, first, last, grid, row, v_plane, m_plane, groups, together,
             workspace, y):
    """Outputs of tiles first:last. A unit is a block of tiles for a group of output blocks; tiles run faster."""
    m, scratch = workspace[part, :POSITIONS * m_plane * together], workspace[part, POSITIONS * m_plane * together:]
    tile_blocks, output_blocks = (last - first + BLOCK - 1) // BLOCK, (y.shape[1] + WIDTH - 1) // WIDTH
    for unit in range(start, stop):
        group = unit // tile_blocks
        b0, b1 = share(group, groups, output_blocks), share(group + 1, groups, output_blocks)
        begin = first + unit % tile_blocks * BLOCK
        end = min(begin + BLOCK, last)
        for p in range(POSITIONS):
            for b in range(b0, b1):
                u_place = p * u.shape[1] + b * channels * WIDTH
                u_next = u_place + channels * WIDTH if b + 1 < b1 else (p + 1) * u.shape[1] + b0 * channels * WIDTH
                multiply_point(v, p * v_plane + (begin - first) * row, row, u.reshape(-1), u_place, u_next, channels, m,
                               (p * together + b - b0) * m_plane, WIDTH, end - begin)
        for b in range(b0, b1):
            for lane in range(0, min(WIDTH, y.shape[1] - b * WIDTH), LANES):
                transform_output(m, (b - b0) * m_plane + lane, WIDTH, m_plane * together, begin, end, grid, bias, floor,
                                 b * WIDTH + lane, y, scratch)


@compiled
def multiply_point(v, v_place, row, u, u_place, u_next, channels, m, m_place, m_row, tiles):
    """M = V @ U at one point, for `tiles` tiles and WIDTH output channels; u_next: where U lies that is wanted next.

    Blocks of FULL tiles; what is left goes as one or two smaller ones. Those may take in tiles beyond the last, whose
    place is there, but whose result nobody reads.
    """
    b, ahead, t = at(u, u_place), at(u, u_next), 0
    while t < tiles:
        left = tiles - t
        a, c = at(v, v_place + t * row), at(m, m_place + t * m_row)
        if left > 2 * HALF or HALF < left <= FULL:
            if t == 0:
                multiply_tile_and_fetch(FULL, channels, a, row, 1, b, WIDTH, c, m_row, ahead)
            else:
                multiply_tile(FULL, False, channels, a, row, 1, b, WIDTH, c, m_row)
            t += FULL
        elif left > QUARTER:
            multiply_tile_and_fetch(HALF, channels, a, row, 1, b, WIDTH, c, m_row, ahead)
            t += HALF
        else:
            multiply_tile_and_fetch(QUARTER, channels, a, row, 1, b, WIDTH, c, m_row, ahead)
            t += QUARTER
