"""The taps of a convolution in the order in which they are summed, and the pixels that each block of them concerns.

With padding, a tap of the first row of a filter meets nothing but zeros in the first row of the output. With a filter
dilated by 24 on a map of 64, that is more than a third of all multiplications. So taps of one row i of the filter (and
one column j where columns fall outside as often) make a *block* that is summed for the output rows p0..p1 and columns
q0..q1 only where it meets the input. Weights are packed for a *piece*: some channels, with all their taps, as these lie
side by side in memory.

Sums for fewer pixels cost nothing more as long as a block has some hundred taps. Else, and without padding, a block is
all pixels and any taps.
"""

import functools
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ._direct_source import tap_offsets

MOST_TAPS = 256  # of a block: 256 x 32 weights are 32 KiB
FEWEST_TAPS = 64  # of a block that is worth its own
MOST_BLOCKS = 9  # of a piece
MOST_PIECE = 1152  # taps of a piece of several blocks
MISSED = 0.1  # the part of the columns that makes it worth to divide by them too


class Taps(NamedTuple):
    """Tables for `correlate`; K taps."""

    pixels: np.ndarray  # (K,) where the tap's pixel lies for output pixel (0, 0), in the order of summing
    weights: np.ndarray  # (K,) where its weight lies, in the order of packing
    lines: np.ndarray  # (K,) the line of a piece that the weight is packed into
    pieces: np.ndarray  # (P, 4) first tap, the one behind the last, first block, the one behind the last
    blocks: np.ndarray  # (B, 6) k0, k1, p0, p1, q0, q1
    most: int  # taps of a piece
    longest: int  # taps of a block
    all_inside: bool


def sum_in_order(pixels, weights):
    """Blocks of any taps, for all pixels. pixels, weights (K,) -> Taps."""
    count = -(-pixels.size // MOST_TAPS)
    edges = np.arange(count + 1) * pixels.size // max(count, 1)
    k0, k1, number = edges[:-1], edges[1:], np.arange(count)
    start = np.repeat(k0, k1 - k0)
    everywhere = np.zeros(count, np.int64), np.full(count, 1 << 31)
    most = int((k1 - k0).max(initial=1))
    return Taps(pixels, weights, np.arange(pixels.size) - start, np.stack([k0, k1, number, number + 1], 1),
                np.stack([k0, k1, *everywhere, *everywhere], 1), most, most, True)


@functools.lru_cache(maxsize=64)  # to compute them takes as long as a small layer's sums; a network has few layers
def taps_of(form, skipping, channels, kh, kw, h, w, oh, ow, sh, sw, ph, pw, dh, dw):
    """Taps of a convolution whose weight (.., channels, kh, kw) is in order of memory, over an input of this Layout.

    skipping: whether to leave out pixels whose tap falls into the padding.
    """
    offsets = tap_offsets(form, channels, kh, kw, sh, sw, dh, dw)
    rows, columns = _inside(kh, h, oh, sh, ph, dh), _inside(kw, w, ow, sw, pw, dw)
    by_columns = _missed(columns, ow) > MISSED and kh * kw <= MOST_BLOCKS and channels >= FEWEST_TAPS
    by_rows = _missed(rows, oh) > 0 and kh <= MOST_BLOCKS and channels * kw >= FEWEST_TAPS
    if not skipping or not (by_columns or by_rows):
        return sum_in_order(offsets, np.arange(offsets.size))
    wide = 1 if by_columns else kw  # columns of a block
    count = -(-channels * wide // min(MOST_TAPS, MOST_PIECE * wide // (kh * kw)))
    orders, lines, pieces, blocks = [], [], [], []
    k = 0
    for number in range(count):
        c0, c1 = number * channels // count, (number + 1) * channels // count
        order = np.arange((c1 - c0) * kh * kw).reshape(c1 - c0, kh, kw // wide, wide).transpose(1, 2, 0, 3).ravel()
        inverse = np.empty(order.size, np.int64)
        inverse[order] = np.arange(order.size)
        lines.append(inverse)
        orders.append(c0 * kh * kw + order)
        pieces.append((k, k + order.size, len(blocks), len(blocks) + kh * (kw // wide)))
        for i in range(kh):
            for j in range(kw // wide):
                blocks.append((k, k + (c1 - c0) * wide, *rows[i], *(columns[j] if by_columns else (0, ow))))
                k += (c1 - c0) * wide
    return Taps(offsets[np.concatenate(orders)], np.arange(offsets.size), np.concatenate(lines), np.array(pieces),
                np.array(blocks), _longest(pieces), _longest(blocks), False)


def sum_by_tap(pixels, weights, skipping, rows, columns, oh, ow):
    """pixels, weights (i, j, channels), outputs that row i, column j of them concern, all oh x ow outputs -> Taps."""
    kh, kw, channels = pixels.shape
    some_missed = pixels.size and (_missed(rows, oh) > 0 or _missed(columns, ow) > 0)
    if not skipping or not some_missed or channels < FEWEST_TAPS:
        return sum_in_order(pixels.transpose(2, 0, 1).ravel(), weights.transpose(2, 0, 1).ravel())
    count = -(-channels // max(FEWEST_TAPS, min(MOST_TAPS, MOST_PIECE // (kh * kw))))
    ordered, packed, lines, pieces, blocks = [], [], [], [], []
    k = 0
    for c0, c1 in pairwise(number * channels // count for number in range(count + 1)):
        ordered.append(pixels[:, :, c0:c1].ravel())
        packed.append(weights[:, :, c0:c1].transpose(2, 0, 1).ravel())  # as they lie in memory
        lines.append(np.arange(packed[-1].size).reshape(kh, kw, c1 - c0).transpose(2, 0, 1).ravel())
        pieces.append((k, k + packed[-1].size, len(blocks), len(blocks) + kh * kw))
        for tap in range(kh * kw):
            blocks.append((k, k + c1 - c0, *rows[tap // kw], *columns[tap % kw]))
            k += c1 - c0
    return Taps(np.concatenate(ordered), np.concatenate(packed), np.concatenate(lines), np.array(pieces),
                np.array(blocks), _longest(pieces), _longest(blocks), False)


@functools.lru_cache(maxsize=64)
def missed(kh, kw, h, w, oh, ow, sh, sw, ph, pw, dh, dw) -> float:
    """The part of all multiplications that would be with the padding."""
    rows, columns = _inside(kh, h, oh, sh, ph, dh), _inside(kw, w, ow, sw, pw, dw)
    return 1 - (1 - _missed(rows, oh)) * (1 - _missed(columns, ow))


def _longest(ranges):
    return max(k1 - k0 for k0, k1, *_ in ranges)


def _inside(taps, size, count, step, pad, dilation):
    """For each tap the outputs [first, behind the last] that it meets inside of the input."""
    found = []
    for i in range(taps):
        first = max(0, -((i * dilation - pad) // step))
        found.append((min(first, count), max(first, min(count, (size - 1 + pad - i * dilation) // step + 1))))
    return found


def _missed(ranges, count):
    return 1 - sum(last - first for first, last in ranges) / (len(ranges) * count)
