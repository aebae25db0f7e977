"""Weight gradient of a direct convolution: gradient pixels (O, pixels) times columns, transposed (pixels, K).

    for each block of taps:
        for each block of pixels:
            gather the columns of the block and turn them over           # pixels x taps, in L2
            for each 14 filters, each 32 taps: gweight += gy * columns   # the micro-kernel

Threads share the taps, or the filters where these are more: each sums over all pixels on its own, always in the same
order. Each block of pixels is summed on its own first: half a million numbers in one go would lose a digit. Workspace:
half a megabyte a thread, and the padded input.
"""

from ._compile import compiled
from ._direct_columns import gather_columns, share, tile_width
from ._direct_source import source_of, tap_offsets
from ._direct_vectors import transpose_square
from ._micro_kernel import MOST_ROWS, add_rows, at
from ._threads import parts_of, run
from .memory import empty

MOST_PIXELS = 256  # of a block; a multiple of every vector
MOST_TILES = 12  # of 32 taps, in a block


def grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C/groups, kh, kw)."""
    n, o, oh, ow = gy.shape
    channels = x.shape[1] // groups
    gweight = empty((o, channels, kh, kw), gy.dtype)
    gweight.fill(0)
    if not gweight.size or not gy.size:
        return gweight
    source, form = source_of(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
    offsets = tap_offsets(form, channels, kh, kw, sh, sw, dh, dw)
    width = tile_width(gy)
    tiles = -(-offsets.size // width)
    by_filters = groups > 1 or (tiles < 8 and o > tiles)
    count = o if by_filters else tiles
    parts = parts_of(count)
    panels = empty((parts, MOST_PIXELS * width * (MOST_TILES + 1)), gy.dtype)
    sums = empty((parts, MOST_ROWS, width), gy.dtype)
    run(_grad_weight, count, by_filters, gy.reshape(n, o, -1), source.reshape(n, -1), form.channel * channels,
        form.pitch, offsets, gweight.reshape(o, -1), ow, groups, panels, sums)
    return gweight


@compiled
def _grad_weight(part, start, stop, by_filters, gy, source, group_size, pitch, offsets, gweight, ow, groups, panels,
                 sums):
    n, o, pixels = gy.shape
    taps, width, filters = offsets.size, tile_width(gy), o // groups
    for group in range(groups):
        f0, f1 = group * filters, (group + 1) * filters
        k0, k1 = start * width, min(stop * width, taps)
        if by_filters:
            f0, f1, k0, k1 = max(f0, start), min(f1, stop), 0, taps
        for k in range(k0, k1 if f0 < f1 else k0, MOST_TILES * width):
            following = min(k1, k + MOST_TILES * width)
            for image in range(n):
                for s in range(0, pixels, MOST_PIXELS):
                    _block(gy[image], source[image], group * group_size, pitch, offsets, gweight, f0, f1, k, following,
                           s, min(pixels, s + MOST_PIXELS), ow, panels[part], sums[part])


@compiled
def _block(gy, source, begin, pitch, offsets, gweight, f0, f1, k0, k1, s0, s1, ow, panel, sums):
    """Filters f0..f1 and taps k0..k1 at pixels s0..s1 of one image."""
    width, _taps, pixels = tile_width(gy), offsets.size, gy.shape[1]
    size = MOST_PIXELS * width
    for k in range(k0, k1, width):  # the tile before this one is not needed yet: columns are gathered there
        place = ((k - k0) // width + 1) * size
        gather_columns(source, begin, offsets, k, min(k1, k + width), s0, s1 - s0, ow, pitch, panel, place, MOST_PIXELS)
        _turn_over(panel, place - size, place, s1 - s0, width)
    bands = (f1 - f0 + MOST_ROWS - 1) // MOST_ROWS
    for band in range(bands):
        f, rows = f0 + share(band, bands, f1 - f0), share(band + 1, bands, f1 - f0) - share(band, bands, f1 - f0)
        for k in range(k0, k1, width):
            sums[:] = gy.dtype.type(0)
            add_rows(rows, s1 - s0, at(gy, f * pixels + s0), pixels, 1, at(panel, (k - k0) // width * size), width,
                     at(sums, 0), width)
            for r in range(rows):
                for lane in range(min(width, k1 - k)):
                    gweight[f + r, k + lane] += sums[r, lane]


@compiled
def _turn_over(panel, target, source, pixels, width):
    """(32 taps, MOST_PIXELS) -> (pixels, 32 taps), in squares as wide as a vector."""
    lanes = width // 2
    for s in range(0, pixels, lanes):
        for k in range(0, width, lanes):
            transpose_square(at(panel, target + s * width + k), width, at(panel, source + k * MOST_PIXELS + s),
                             MOST_PIXELS)
