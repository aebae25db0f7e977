"""Winograd's convolution with filters that are used only once: U never reaches main memory.

In training, weights change with every step. Where maps are small, transforming them costs more than all else: U is 36/9
of the weight, goes to memory and comes back. Here each thread takes blocks of WIDTH output channels, transforms their
filters for DEPTH input channels at a time into its second-level cache, and multiplies V with them at once:

    for each block of output channels:      M = 0
        for each DEPTH input channels:      U from their filters;  M[p] += V[p] @ U[p], p in 36 points
        outputs from M

So only the weight itself is read from memory. With more than ONCE_TILES tiles, M would not stay in the cache, and the
time of the transform no longer counts: U is made beforehand then.

Workspace: V of all tiles, and for each thread U and M of a block, 600 KB at most.

Measured (2026-11, AVX-512, one core): 512 channels at 14x14 take 4.4 ms, of which the products 2.7, transforming the
filters 1.4 if they lie in a cache, else 1.8. With U made beforehand 5.3 (forward) or 6.7 (rotated), with U ready 3.4.
"""

import numpy as np

from . import memory
from ._compile import compiled
from ._layout import contiguous
from ._micro_kernel import MOST_ROWS, add_rows, at
from ._processor import LANES
from ._threads import parts_of, run
from ._winograd import POSITIONS
from ._winograd_choice import ONCE_TILES, row_step
from ._winograd_filters import (
    FILTER_SCRATCH,
    WIDTH,
    filter_steps,
    odd_lines,
    transform_block,
    transform_weight,
    transform_weight_rotated,
)
from ._winograd_forward import convolve, start_outputs, transform_channels
from ._winograd_transforms import SCRATCH, tile_count, tile_grid, transform_output

DEPTH = 64  # input channels whose U is in the cache: 300 KB
U_PLANE = odd_lines(DEPTH * WIDTH)


def convolve_once(x, weight, rotated, bias, oh, ow, ph, pw, dh, dw, relu):
    """`convolve` with a weight (O, C, 3, 3) as it is: of x (N, C, H, W); or, rotated, of gy (N, O, OH, OW) to gx."""
    o = weight.shape[1 if rotated else 0]
    grid = tile_grid(oh, ow, ph, pw, dh, dw)
    tiles = tile_count(len(x), grid)
    if tiles > ONCE_TILES or not x.size:
        u = transform_weight_rotated(weight) if rotated else transform_weight(weight)
        return convolve(x, u, bias, o, oh, ow, ph, pw, dh, dw, relu)
    y, biases, floor = start_outputs(len(x), o, oh, ow, bias, relu)
    if y.size:
        _convolve_tiles(contiguous(x), contiguous(weight), rotated, biases, floor, grid, tiles, y)
    return y


def _convolve_tiles(x, weight, rotated, bias, floor, grid, tiles, y):
    row = row_step(x.shape[1])
    v_plane, m_plane = odd_lines(tiles * row), odd_lines(tiles * WIDTH)
    channel_blocks, output_blocks = -(-x.shape[1] // LANES), -(-y.shape[1] // WIDTH)
    v = memory.workspace((POSITIONS * v_plane,), np.float32)
    parts = parts_of(max(output_blocks, channel_blocks))
    numbers = POSITIONS * (U_PLANE + m_plane) + max(SCRATCH, FILTER_SCRATCH)
    workspace = memory.workspace((parts, numbers), np.float32)
    run(transform_channels, channel_blocks, x, 0, tiles, grid, v, row, v_plane, workspace)
    run(_blocks, output_blocks, v, weight.reshape(-1), filter_steps(weight, rotated), x.shape[1], bias, floor, tiles,
        grid, row, v_plane, m_plane, workspace, y)


@compiled
def _blocks(part, start, stop, v, weight, steps, channels, bias, floor, tiles, grid, row, v_plane, m_plane, workspace,
            y):
    """Outputs of all tiles for blocks of output channels start:stop."""
    outputs, behind = y.shape[1], POSITIONS * (U_PLANE + m_plane)
    u, m = workspace[part, :POSITIONS * U_PLANE], workspace[part, POSITIONS * U_PLANE:behind]
    scratch = workspace[part, behind:]
    for block in range(start, stop):
        m[:] = 0
        for c in range(0, channels, DEPTH):
            end = min(c + DEPTH, channels)
            transform_block(weight, outputs, steps, block, c, end, u, 0, U_PLANE, False, scratch)
            _add_points(v, c, row, v_plane, u, end - c, m, m_plane, tiles)
        o0 = block * WIDTH
        for lane in range(0, min(WIDTH, outputs - o0), LANES):
            transform_output(m, lane, WIDTH, m_plane, 0, tiles, grid, bias, floor, o0 + lane, y, scratch)


@compiled
def _add_points(v, v_start, row, v_plane, u, depth, m, m_plane, tiles):
    """M[p] += V[p] @ U[p] for `tiles` tiles, `depth` inputs and WIDTH outputs, p in 36 points; tiles shared evenly."""
    blocks = (tiles + MOST_ROWS - 1) // MOST_ROWS
    for p in range(POSITIONS):
        for i in range(blocks):
            t, end = tiles * i // blocks, tiles * (i + 1) // blocks
            add_rows(end - t, depth, at(v, v_start + p * v_plane + t * row), row, 1, at(u, p * U_PLANE), WIDTH,
                     at(m, p * m_plane + t * WIDTH), WIDTH)
