"""Maps cut into pieces of work: so many that threads share evenly, each so small that it stays in a core's cache.

What a pass computes for a piece depends on that piece alone. Sums are kept by piece and put together in order, so they
are the same to the last bit on any number of threads.
"""

from ._compile import compiled

PIECE = 1 << 14  # numbers: 64 KiB of float32, a few arrays of which fit into an L2 cache
WHOLE = 16  # float32 numbers in the widest vector
GRAIN = 1 << 17  # numbers read and written once, 12 microseconds in the cache: to hand over fewer takes longer


def pieces_in(pixels: int, most: int = PIECE) -> int:
    """Into how many pieces a plane of so many pixels is cut, none larger than `most`, a multiple of WHOLE."""
    return max(1, -(-pixels // most))


def grain_of(pixels: int, pieces: int, arrays: int = 2) -> int:
    """The smallest share of a thread in pieces, for `run`, if a pass reads and writes so many arrays."""
    return max(1, 2 * GRAIN * pieces // (arrays * max(1, pixels)))


@compiled
def piece(unit, pieces, pixels):
    """Which plane, and from which pixel to which, if planes are cut into `pieces` and all pieces are counted."""
    plane = unit // pieces
    part = unit - plane * pieces
    step = -(-pixels // (pieces * WHOLE)) * WHOLE  # whole vectors: numbers left over at a piece's end go one by one
    return plane, min(pixels, part * step), min(pixels, (part + 1) * step)
