"""Sums of a direct convolution, from a block with the filters in vectors to an array of one filter a row."""

from ._compile import compiled
from ._direct_columns import tile_width
from ._micro_kernel import at
from ._vectors import copy_run, transpose_square, transpose_square_to_memory

LARGE = 32 << 20


@compiled
def store_sums(target, f, filters, s0, s1, sums, square):
    """target[f + lane, s] = sums[(s - s0), lane] for lane < filters and s0 <= s < s1, in squares as wide as a vector.

    s counts pixels in the forward pass, and taps in the weight gradient. `square` is room for one square. A target of
    LARGE bytes whose rows begin with cache lines is written past the caches.
    """
    width, row = tile_width(sums), target.shape[1]
    lanes = width // 2
    past = target.size * target.itemsize >= LARGE and row % lanes == 0 and s0 % lanes == 0
    for s in range(s0, s1, lanes):
        for first in range(0, filters, lanes):
            source, place = at(sums, (s - s0) * width + first), (f + first) * row + s
            if past and s + lanes <= s1 and first + lanes <= filters:
                transpose_square_to_memory(at(target, place), row, source, width)
            elif s + lanes <= s1 and first + lanes <= filters:
                transpose_square(at(target, place), row, source, width)
            else:
                transpose_square(at(square, 0), lanes, source, width)
                for r in range(min(lanes, filters - first)):
                    copy_run(at(target, place + r * row), at(square, r * lanes), min(lanes, s1 - s))
