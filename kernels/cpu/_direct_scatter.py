"""Input gradient of a direct convolution: filters, transposed, times gradient pixels; columns are added to the input.

    for each block of pixels of gy:
        for each 14 taps, each 32 pixels:
            columns = weight^T (taps, O) * gy (O, pixels)         # the micro-kernel
            add the columns to the pixels that they were read from

It is `_direct_pixels` read backwards: what was gathered is scattered, through the same table of taps, into planes of
remainders that are put together at the end. Threads share the channels, so no two write to the same place. Workspace:
400 KiB a thread for pixels, a fifth of the second-level cache for filters, and the padded input.
"""

from ._compile import compiled
from ._direct_columns import MOST_TAPS, scatter_columns, share, tile_width
from ._direct_source import layout, put_together, tap_offsets
from ._micro_kernel import MOST_ROWS, SLOT, at, multiply_columns
from ._processor import SECOND_LEVEL
from ._threads import parts_of, run
from ._vectors import copy_run
from .memory import workspace, zeros

MOST_TILES = 12  # of 32 pixels, in a block
BANDS = SECOND_LEVEL * 3 >> 18  # of MOST_ROWS taps, copied together: the more of a filter, the fewer jumps in memory


def scatter(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w)."""
    n, o, oh, ow = gy.shape
    _, channels, kh, kw = weight.shape
    form = layout(oh, ow, kh, kw, sh, sw, dh, dw)
    planes = zeros((n, channels * groups, form.channel), gy.dtype)
    if planes.size and gy.size:
        offsets = tap_offsets(form, channels, kh, kw, sh, sw, dh, dw)
        parts, width = parts_of(channels * groups), tile_width(gy)
        panels = workspace((parts, MOST_TILES * MOST_TAPS * width), gy.dtype)
        scratch = workspace((parts, BANDS * MOST_TAPS * SLOT + MOST_ROWS * width), gy.dtype)
        run(_scatter, channels * groups, gy.reshape(n, o, oh * ow), weight.reshape(o, -1), planes.reshape(n, -1),
            form.channel, form.pitch, offsets, ow, groups, panels, scratch)
    return put_together(planes, form, h, w, sh, sw, ph, pw)


@compiled
def _scatter(part, start, stop, gy, weight, planes, channel, pitch, offsets, ow, groups, panels, scratch):
    n, o, pixels = gy.shape
    width, filters = tile_width(gy), o // groups
    channels = planes.shape[1] // channel // groups
    taps = offsets.size // channels  # of one channel
    for image in range(n):
        for group in range(groups):
            c0, c1 = max(start - group * channels, 0), min(stop - group * channels, channels)
            for s in range(0, pixels if c0 < c1 else 0, MOST_TILES * width):
                _block(gy[image], weight, planes[image], group * channels * channel, pitch, offsets, c0 * taps,
                       c1 * taps, group * filters, (group + 1) * filters, s, min(pixels, s + MOST_TILES * width), ow,
                       panels[part], scratch[part])


@compiled
def _block(gy, weight, planes, begin, pitch, offsets, k0, k1, f0, f1, s0, s1, ow, panel, scratch):
    """Taps k0..k1 of filters f0..f1 at pixels s0..s1 of one image."""
    width = tile_width(gy)
    columns = BANDS * MOST_TAPS * SLOT  # where they begin, behind the filters
    blocks = (f1 - f0 + MOST_TAPS - 1) // MOST_TAPS
    for block in range(blocks):
        g0, g1 = f0 + share(block, blocks, f1 - f0), f0 + share(block + 1, blocks, f1 - f0)
        size = (g1 - g0) * width
        _gather_pixels(gy, g0, g1, s0, s1, panel)
        for first in range(k0, k1, BANDS * MOST_ROWS):
            last = min(k1, first + BANDS * MOST_ROWS)
            _copy_filters(weight, g0, g1, first, last, scratch)
            for s in range(s0, s1, width):
                for k in range(first, last, MOST_ROWS):
                    following = min(last, k + MOST_ROWS)
                    multiply_columns(following - k, False, g1 - g0,
                                     at(scratch, (k - first) // MOST_ROWS * (g1 - g0) * SLOT),
                                     at(panel, (s - s0) // width * size), at(scratch, columns))
                    scatter_columns(planes, begin, offsets, k, following, s, min(width, s1 - s), ow, pitch, scratch,
                                    columns, width)


@compiled
def _copy_filters(weight, g0, g1, k0, k1, scratch):
    """Taps k0..k1 of filters g0..g1, in bands: (bands, filters, SLOT)."""
    filters, lanes = g1 - g0, tile_width(weight) // 2
    for g in range(filters):
        for k in range(k0, k1, MOST_ROWS):
            place = ((k - k0) // MOST_ROWS * filters + g) * SLOT
            for r in range(0, min(MOST_ROWS, k1 - k), lanes):
                copy_run(at(scratch, place + r), at(weight, (g0 + g) * weight.shape[1] + k + r),
                         min(lanes, min(MOST_ROWS, k1 - k) - r))


@compiled
def _gather_pixels(gy, g0, g1, s0, s1, panel):
    """Pixels s0..s1 of channels g0..g1, in tiles: (tiles, channels, 32)."""
    width = tile_width(gy)
    half = width // 2
    place = 0
    for s in range(s0, s1, width):
        for g in range(g0, g1):
            base = g * gy.shape[1] + s
            copy_run(at(panel, place), at(gy, base), min(half, s1 - s))
            if s + half < s1:
                copy_run(at(panel, place + half), at(gy, base + half), min(half, s1 - s - half))
            place += width
