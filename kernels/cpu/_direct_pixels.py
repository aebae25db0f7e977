"""Direct convolution: filters (O, K) times columns (K, pixels), for any geometry.

    for each block of pixels:
        for each block of taps:
            gather the columns of the block                                    # taps x pixels, in L2
            for each 14 filters, each 32 pixels: y += weight * columns         # the micro-kernel

The filters are read where they are and the result is written where it belongs; nothing but the input is copied.
Threads share the pixels or, where there are more filters than pixels, the filters: then each filter is read from memory
once, by one thread. Workspace: 384 KiB a thread, and the padded input.
"""

from ._compile import compiled
from ._direct_columns import MOST_TAPS, gather_columns, share, tile_width
from ._direct_source import source_of, tap_offsets
from ._micro_kernel import MOST_ROWS, add_rows, at
from ._threads import parts_of, run
from .memory import empty, workspace, zeros

MOST_TILES = 12  # of 32 pixels, in a block: the columns of a block take 384 KiB


def convolve(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    n = x.shape[0]
    o, channels, kh, kw = weight.shape
    y = empty((n, o, oh, ow), x.dtype)
    if not y.size:
        return y
    source, form = source_of(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
    offsets = tap_offsets(form, channels, kh, kw, sh, sw, dh, dw)
    bias = zeros((o,), x.dtype) if bias is None else bias
    width = tile_width(x)
    tiles = -(-oh * ow // width)
    by_filters = o > n * oh * ow or n * tiles < 8
    count = o if by_filters else n * tiles
    parts = parts_of(count)
    panels = workspace((parts, MOST_TILES * MOST_TAPS * width), x.dtype)
    edges = workspace((parts, o * width), x.dtype)
    run(_convolve, count, by_filters, source.reshape(n, -1), form.channel * channels, form.pitch, offsets,
        weight.reshape(o, -1), bias, y.reshape(n, o, oh * ow), ow, groups, relu, panels, edges)
    return y


@compiled
def _convolve(part, start, stop, by_filters, source, group_size, pitch, offsets, weight, bias, y, ow, groups, relu,
              panels, edges):
    n, o, pixels = y.shape
    width = tile_width(y)
    tiles = (pixels + width - 1) // width  # of an image
    o0, o1 = (start, stop) if by_filters else (0, o)
    t0, t1 = (0, n * tiles) if by_filters else (start, stop)
    for image in range(t0 // tiles, (t1 - 1) // tiles + 1):
        first, last = max(t0 - image * tiles, 0), min(t1 - image * tiles, tiles)
        for group in range(groups):
            f0, f1 = max(o0, o // groups * group), min(o1, o // groups * (group + 1))
            for t in range(first, last if f0 < f1 else first, MOST_TILES):
                s0, s1 = t * width, min(pixels, min(last, t + MOST_TILES) * width)
                _block(source[image], group * group_size, pitch, offsets, weight, bias, y[image], f0, f1, s0, s1, ow,
                       relu, panels[part], edges[part])


@compiled
def _block(source, begin, pitch, offsets, weight, bias, y, f0, f1, s0, s1, ow, relu, panel, edge):
    """Filters f0..f1 at pixels s0..s1 of one image, which fit the panel."""
    width = tile_width(y)
    taps, pixels = offsets.size, y.shape[1]
    _fill(y, edge, bias, f0, f1, s0, s1)
    blocks = (taps + MOST_TAPS - 1) // MOST_TAPS
    for block in range(blocks):
        k0, k1 = share(block, blocks, taps), share(block + 1, blocks, taps)
        size = (k1 - k0) * width
        for s in range(s0, s1, width):
            place = (s - s0) // width * size
            gather_columns(source, begin, offsets, k0, k1, s, min(width, s1 - s), ow, pitch, panel, place, width)
        bands = (f1 - f0 + MOST_ROWS - 1) // MOST_ROWS
        for band in range(bands):
            f, rows = f0 + share(band, bands, f1 - f0), share(band + 1, bands, f1 - f0) - share(band, bands, f1 - f0)
            for s in range(s0, s1, width):
                columns, weights = at(panel, (s - s0) // width * size), at(weight, f * taps + k0)
                if s + width <= s1:
                    add_rows(rows, k1 - k0, weights, taps, 1, columns, width, at(y, f * pixels + s), pixels)
                else:
                    add_rows(rows, k1 - k0, weights, taps, 1, columns, width, at(edge, f * width), width)
    _finish(y, edge, f0, f1, s0, s1, relu)


@compiled
def _fill(y, edge, bias, f0, f1, s0, s1):
    """The bias goes where products will be added. Pixels of a tile that is not full are collected in `edge`."""
    width = tile_width(y)
    full = s1 - (s1 - s0) % width
    for f in range(f0, f1):
        for s in range(s0, full):
            y[f, s] = bias[f]
        if full < s1:
            for s in range(f * width, (f + 1) * width):
                edge[s] = bias[f]


@compiled
def _finish(y, edge, f0, f1, s0, s1, relu):
    width = tile_width(y)
    full = s1 - (s1 - s0) % width
    for f in range(f0, f1):
        for s in range(full, s1):
            y[f, s] = edge[f * width + s - full]
        if relu:
            for s in range(s0, s1):
                y[f, s] = y[f, s] if not y[f, s] < 0 else y.dtype.type(0)  # NaN stays
