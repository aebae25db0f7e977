"""Micro-kernels of wide filters: a vector is a piece of a filter's row, and meets the windows where they lie.

    windows[v, k] = one vector of the image, first[v] + further[k] numbers behind its beginning

    add_dots       C[r, v]  += sum over k, lane of  A[r, k, lane] * windows[v, k, lane]      input gradient
    add_products   C[r, v, lane] += sum over k of   A[r, k] * windows[v, k, lane]            weight gradient

The taps of a filter's row meet neighbours in the image, at any stride. So nothing is copied, if rows are whole vectors:
neither windows, nor filters. For the input gradient v is a pixel and k a piece of the filter, and each lane sums what
it meets; the lanes are added up at the end only, once in a hundred steps. For the weight gradient v is a piece of the
filter and k a pixel. A block of 7 x 3 leaves registers for all that is read in one step, since LLVM may read first and
multiply then: of 3 channels x 9 windows it spilled some, and input gradients took up to a third longer.

Measured (2026-11, AVX-512), operands in the first two levels of the cache and nothing spilled: 107 to 116 GFLOP/s of
116, for blocks of 3 x 9 and 9 x 3.
"""

import itertools

from numba import types
from numba.extending import intrinsic

from ._micro_kernel import INT, Vectors, _for_each, _loop
from ._processor import REGISTERS
from ._tap_kernel import _keep_order
from ._vectors import Masked, numbers

MANY, FEW = (7, 3) if REGISTERS == 32 else (4, 2)  # 7*3 + 7 + 3 = 31 of 32 registers, 4*2 + 4 + 2 = 14 of 16
DOTS = FEW, MANY  # channels and windows of one block
PRODUCTS = MANY, FEW


@intrinsic
def add_dots(typing, rows, k, a, a_row, image, first, further, c, c_row, count):
    """C[r, v] += sum over k, lane of A[r, k, lane] * windows[v, k, lane], for r < rows and v < count.

    rows and count are at most those of DOTS; `first` has as many places all the same. Rows of A and C begin a_row and
    c_row numbers apart.
    """
    steps = types.intp
    signature = types.void(steps, steps, a, steps, image, first, further, c, steps, steps)
    return signature, _for_each_number_of_rows(_add_dots, DOTS[0])


@intrinsic
def add_products(typing, rows, k, a, a_row, image, first, further, c, c_row):
    """C[r, v, lane] += sum over k of A[r, k] * windows[v, k, lane], for r < rows and all windows of PRODUCTS."""
    steps = types.intp
    signature = types.void(steps, steps, a, steps, image, first, further, c, steps)
    return signature, _for_each_number_of_rows(_add_products, PRODUCTS[0])


def _for_each_number_of_rows(build_one, most):
    def build(context, builder, signature, args):
        _for_each(builder, args[0], range(1, most + 1), lambda rows: build_one(builder, rows, *args[1:]))
        return context.get_dummy_value()

    return build


def _add_dots(builder, rows, k, a, a_row, image, first, further, c, c_row, count):
    tile, windows = Vectors(builder, a.type.pointee), DOTS[1]
    a_rows, starts = _starts(builder, rows, a, a_row, windows, image, first)

    def one_k(index, sums):
        step, place = builder.load(builder.gep(further, [index])), builder.mul(index, INT(tile.lanes))
        of_a = [tile.load(builder.gep(row, [place]), 0) for row in a_rows]
        result = []
        for v, start in enumerate(starts):
            _keep_order(builder)
            window = tile.load(builder.gep(start, [step]), 0)
            result += [tile.multiply_add(of_a[r], window, sums[v * rows + r]) for r in range(rows)]
        return result

    sums = _loop(builder, k, [tile.zero] * (rows * windows), one_k)
    for r in range(rows):
        row = builder.gep(c, [builder.mul(c_row, INT(r))])
        for number, total in enumerate(_sum_lanes(builder, sums[r::rows])):
            _add(builder, row, number * tile.lanes, total, count)


def _add_products(builder, rows, k, a, a_row, image, first, further, c, c_row):
    tile, windows = Vectors(builder, a.type.pointee), PRODUCTS[1]
    a_rows, starts = _starts(builder, rows, a, a_row, windows, image, first)

    def one_k(index, sums):
        step = builder.load(builder.gep(further, [index]))
        some = [tile.load(builder.gep(start, [step]), 0) for start in starts]
        result = []
        for r, row in enumerate(a_rows):
            _keep_order(builder)
            number = tile.broadcast(builder.gep(row, [index]))
            result += [tile.multiply_add(number, some[v], sums[r * windows + v]) for v in range(windows)]
        return result

    sums = _loop(builder, k, [tile.zero] * (rows * windows), one_k)
    for position, total in enumerate(sums):
        row, v = builder.gep(c, [builder.mul(c_row, INT(position // windows))]), position % windows
        tile.store(builder.fadd(tile.load(row, v), total), row, v)


def _starts(builder, rows, a, a_row, windows, image, first):
    """The addresses where rows of A and windows begin."""
    return ([builder.gep(a, [builder.mul(a_row, INT(r))]) for r in range(rows)],
            [builder.gep(image, [builder.load(builder.gep(first, [INT(v)]))]) for v in range(windows)])


def _sum_lanes(builder, vectors):
    """The sums over the lanes of each vector, side by side in the first lanes of one vector, or of as many as it takes.

    Neighbouring lanes are added, of two vectors at a time, until the neighbours belong to different vectors.
    """
    lanes = vectors[0].type.count
    even, odd = numbers(range(0, 2 * lanes, 2)), numbers(range(1, 2 * lanes, 2))
    for _ in range(lanes.bit_length() - 1):
        pairs = itertools.zip_longest(vectors[::2], vectors[1::2], fillvalue=vectors[-1])
        vectors = [builder.fadd(builder.shuffle_vector(*pair, even), builder.shuffle_vector(*pair, odd))
                   for pair in pairs]
    return vectors


def _add(builder, row, place, value, count):
    """row[place + lane] += value[lane], as far as this is in front of row[count]."""
    some = Masked(builder, row.type.pointee, INT(0), builder.sub(count, INT(place)))
    target = builder.gep(row, [INT(place)])
    some.store(builder.fadd(some.load(target), value), target)
