"""Weight gradient of a direct convolution, with the filters side by side in vectors.

    for each 128 or 256 filters, each chunk of taps:
        for each block of output pixels:
            turn gy over, from (filter, pixel) to (pixel, filter)                        # 256 x 32: 32 KiB
            for each band of 10 taps, each 32 filters:
                sums[tap, filter] += input at tap, pixel * gy                            # the micro-kernel
        turn the sums over into gweight

The input is not copied, but for its padding: a tap's numbers are read where they lie, whatever stride and dilation. A
band's taps are neighbouring channels at one place of the filter as far as possible, so that output rows and columns
that the band meets in the padding only are left out: with a dilation of 24 on a map of 64 x 64, half of all.

Each block of pixels is summed on its own first (see `_tap_kernel`). Threads share the pairs of filters and chunks: each
sums over all pixels by itself, always in the same order. Workspace: 70 KiB a thread for each 32 filters that go
together, and the padded input.

Measured (2026-11, AVX-512, 116 GFLOP/s a core): 80 to 95 % of the peak with one thread and with two: 7x7, 64 channels
94 %, AlexNet's second layer 95 %, its first 87 %, 3x3 with stride 2 82 %. The first layer of VGG on 224 x 224 stops at
52 %: its 27 taps take as long as reading gy from memory. 21 filters fill two vectors to 66 %. With two multiply-adds a
cycle (2026-11-29, some 220 GFLOP/s a core): 7x7 190 GFLOP/s, AlexNet's first two layers 170, 1x1 160, fc6 145, 3x3 with
stride 2 139. Pixels that a table has to find cost 15 % of the micro-kernel's speed there.
"""

import functools

import numpy as np

from ._compile import compiled
from ._direct_columns import tile_width
from ._direct_source import padded
from ._direct_sums import store_sums
from ._micro_kernel import at
from ._processor import SECOND_LEVEL
from ._tap_kernel import TAP_ROWS, add_taps
from ._threads import parts_of, run, thread_count
from ._transposed_gradients import grad_weight as grad_weight_by_windows
from ._transposed_gradients import suits
from ._vectors import copy_run, fetch_second_level, transpose_square
from .memory import empty, workspace

MOST_PIXELS = 256  # of a block; a multiple of every vector
MOST_TAPS = 256  # of a chunk
TOGETHER = SECOND_LEVEL >> 18  # times 32 filters that share what is read of the input
LONG = 48  # pixels of a row that are worth summing by themselves
T0, T1, P0, P1, Q0, Q1 = range(6)  # of a band: its taps, and the output rows and columns that it meets


def grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C/groups, kh, kw)."""
    n, o, oh, ow = gy.shape
    channels, h, w = x.shape[1] // groups, x.shape[2], x.shape[3]
    gweight = empty((o, channels, kh, kw), gy.dtype)
    if not gweight.size or not gy.size:
        gweight.fill(0)
        return gweight
    if suits(o // groups, kw, dw, gy.dtype):
        return grad_weight_by_windows(gy, x, kh, kw, sh, sw, ph, pw, dh, groups)
    source, form = padded(x, (oh - 1) * sh + (kh - 1) * dh + 1, (ow - 1) * sw + (kw - 1) * dw + 1, ph, pw)
    width = tile_width.py_func(gy)
    taps = channels * kh * kw
    blocks = -(-(o // groups) // width)  # of filters, in each group
    together = -(-blocks // -(-blocks // TOGETHER))
    bundles = -(-blocks // together) * groups
    size = _chunk_size(taps, kh * kw, bundles, thread_count())
    columns = -(-ow // -(-ow // MOST_PIXELS))  # of a block
    rows = max(1, MOST_PIXELS // columns) if columns == ow else 1
    rows = -(-oh // -(-oh // rows))  # all blocks nearly alike
    tables = _tables(taps, size, form, h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, rows, columns, width)
    count = bundles * -(-taps // size)
    parts = parts_of(count)
    panels = workspace((parts, together, (-(-rows * columns // width) * width + width) * width), gy.dtype)
    sums = workspace((parts, together, (size + width) * width), gy.dtype)
    run(_grad_weight, count, gy, source.reshape(n, -1), form.channel * channels, *tables, rows, columns,
        sh * form.pitch, sw, gweight.reshape(o, taps), groups, panels, sums)
    return gweight


@functools.lru_cache(maxsize=64)  # to compute them takes as long as a small layer's sums; a network has few layers
def _tables(taps, size, form, h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, rows, columns, width):
    """Places of taps in the input and in sums, bands, each chunk's first band, places of a block's pixels."""
    area = kh * kw
    order = _order(taps, area, size)
    i, j = order % area // kw, order % kw
    places = order // area * form.channel + i * dh * form.pitch + j * dw
    edges = [*_inside(h, oh, sh, i * dh - ph), *_inside(w, ow, sw, j * dw - pw)]
    p, q = np.divmod(np.arange(rows * columns), columns)
    return places, order % size * width, *_bands(taps, size, edges), p * sh * form.pitch + q * sw


def _chunk_size(taps, area, bundles, parts):
    """Taps of a chunk: whole bands of one place in the filter if that fits, and as many chunks as threads can share."""
    whole = area * TAP_ROWS
    size = whole * (MOST_TAPS // whole) or MOST_TAPS
    chunks = -(-taps // size)
    if chunks * bundles >= 8 * parts or chunks * bundles % parts == 0:
        return size
    while chunks * bundles % parts:
        chunks += 1
    return -(-taps // chunks)


def _order(taps, area, size):
    """(taps,): within each chunk, by TAP_ROWS channels and then by the place in the filter."""
    tap = np.arange(taps)
    return np.lexsort((tap // area, tap % area, tap // area // TAP_ROWS, tap // size))


def _inside(size, count, step, shift):
    """The output rows first <= p < last for which 0 <= p*step + shift < size, for each shift."""
    first = np.clip(-(shift // step), 0, count)
    return first, np.maximum(first, np.clip((size - 1 - shift) // step + 1, 0, count))


def _bands(taps, size, edges):
    """(bands, 6) and, for each chunk, its first band. Bands of a chunk are nearly equal, none above TAP_ROWS."""
    starts, chunks = [], [0]
    for begin in range(0, taps, size):
        length = min(size, taps - begin)
        number = -(-length // TAP_ROWS)
        starts.append(begin + np.arange(number) * length // number)
        chunks.append(chunks[-1] + number)
    starts = np.concatenate(starts)
    first_p, last_p, first_q, last_q = edges
    bands = np.stack([starts, np.append(starts[1:], taps),
                      np.minimum.reduceat(first_p, starts), np.maximum.reduceat(last_p, starts),
                      np.minimum.reduceat(first_q, starts), np.maximum.reduceat(last_q, starts)], axis=1)
    return bands, np.array(chunks)


@compiled
def _grad_weight(part, start, stop, gy, source, group_size, places, targets, bands, chunks, pixels, rows, columns,
                 row_step, column_step, gweight, groups, panels, sums):
    n, o, oh, ow = gy.shape
    width, filters, chunk_count = tile_width(gy), o // groups, chunks.size - 1
    together = panels.shape[1] * width  # filters
    bundles = (filters + together - 1) // together  # of a group
    for unit in range(start, stop):
        bundle, chunk = unit // chunk_count, unit % chunk_count
        group, f = bundle // bundles, bundle % bundles * together
        here = min(together, filters - f)
        some = bands[chunks[chunk] : chunks[chunk + 1]]
        k0, k1 = some[0, T0], some[-1, T1]
        sums[part, :, : (k1 - k0) * width] = gy.dtype.type(0)
        for image in range(n):
            for p in range(some[:, P0].min(), some[:, P1].max(), rows):
                for q in range(some[:, Q0].min() // columns * columns, some[:, Q1].max(), columns):
                    _block(gy[image], group * filters + f, here, source[image], group * group_size, places, targets,
                           some, pixels, p, min(some[:, P1].max(), p + rows), q, min(ow, q + columns), row_step,
                           column_step, panels[part], sums[part])
        for b in range(0, here, width):
            store_sums(gweight, group * filters + f + b, min(width, here - b), k0, k1, sums[part, b // width],
                       panels[part, b // width])


@compiled
def _block(gy, f, filters, source, begin, places, targets, bands, pixels, p0, p1, q0, q1, row_step, column_step, panels,
           sums):
    """Output pixels p0..p1 x q0..q1 of one image: several whole rows, or a piece of one."""
    width, length = tile_width(gy), q1 - q0
    oh, ow = gy.shape[1:]
    for b in range(0, filters, width):
        _turn_over(gy, f + b, min(width, filters - b), p0 * ow + q0, (p1 - p0) * length, panels[b // width])
    for band in range(bands.shape[0]):
        t, t1 = bands[band, T0], bands[band, T1]
        u0, u1 = max(p0, bands[band, P0]), min(p1, bands[band, P1])
        v0, v1 = max(q0, bands[band, Q0]), min(q1, bands[band, Q1])
        if u0 < u1 and v0 < v1:
            calls, count = u1 - u0, v1 - v0
            even = row_step == length * column_step  # rows follow each other without a gap
            if 8 * count > 7 * length and (even or length < LONG):
                calls, v0, count = 1, q0, (u1 - u0) * length  # all in one go; a few zeros cost less than more calls
            for b in range(0, filters, width):  # the band stays in the first-level cache meanwhile
                panel, total = panels[b // width], at(sums[b // width], 0)
                for u in range(u0, u0 + calls):
                    numbers = at(source, begin + u * row_step + v0 * column_step)
                    gradients = at(panel, ((u - p0) * length + v0 - q0) * width)
                    if calls < u1 - u0 and not even:
                        add_taps(t1 - t, count, numbers, at(places, t), at(pixels, 0), gradients, width // 2, width,
                                 total, at(targets, t))
                    else:  # pixels that lie evenly need no table
                        add_taps(t1 - t, count, numbers, at(places, t), column_step, gradients, width // 2, width,
                                 total, at(targets, t))


@compiled
def _turn_over(gy, f, filters, s, count, panel):
    """panel[pixel, filter], both from those of gy (filter, pixel); lanes behind the last filter are never stored."""
    width = tile_width(gy)
    lanes, plane = width // 2, gy.shape[1] * gy.shape[2]
    square = ((count + lanes - 1) // lanes) * lanes * width  # behind the pixels
    for k in range(0, count, lanes):
        for lane in range(0, width, lanes):
            place = (f + lane) * plane + s + k
            target = at(panel, k * width + lane)
            for r in range(min(lanes, filters - lane)):
                fetch_second_level(at(gy, place + r * plane + count))  # the next block
            if k + lanes <= count and lane + lanes <= filters:
                transpose_square(target, width, at(gy, place), plane)
            else:
                for r in range(min(lanes, filters - lane)):
                    copy_run(at(panel, square + r * lanes), at(gy, place + r * plane), min(lanes, count - k))
                transpose_square(target, width, at(panel, square), lanes)
