"""Vectors for Winograd's transforms: a formula on many channels at once, and channels from planes to neighbours.

The transforms of a tile are sums of few numbers. In plain loops LLVM does not see that six streams of loads and six of
stores never touch the same memory, and so leaves vectors unused. Therefore they are built as the micro-kernel is, from
LLVM's own instructions; `_Vector` overloads + - *, so that the formulas stand in `_winograd.py` as on paper.

Costs, in vectors of lanes: a line of 6 to 6 takes 6 loads, 12 additions or multiply-adds and 6 stores; to transpose a
square of lanes x lanes (16x16 with AVX-512) takes 16 loads, 4*16 shuffles and 16 stores.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._micro_kernel import INT
from ._processor import LANES
from ._winograd import (
    POINTS,
    TILE,
    filter_line,
    filter_line_adjoint,
    input_line,
    output_line,
    output_line_adjoint,
)

INT32, BIT = ir.IntType(32), ir.IntType(1)
RUN = 7  # tiles that are transformed together: their 30 columns are just below two squares of 16
COLUMNS = (RUN * TILE + POINTS - TILE + LANES - 1) // LANES * LANES
VECTOR, MASK = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(BIT, LANES)


class _Vector:
    """A value of the program that is being built: `a * 2.0 + b` appends the instructions that compute it."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _new(self, operation, other):
        if isinstance(other, float):
            other = _Vector(self.builder, ir.Constant(VECTOR, [other] * LANES))
        return _Vector(self.builder, operation(self.value, other.value, flags=("contract",)))  # a*b + c: round once

    def __add__(self, other):
        return self._new(self.builder.fadd, other)

    def __sub__(self, other):
        return self._new(self.builder.fsub, other)

    def __mul__(self, other):
        return self._new(self.builder.fmul, other)


def _place(builder, address, step, i):
    place = builder.gep(address, [builder.mul(step, INT(i))])
    return builder.bitcast(place, VECTOR.as_pointer())


def _line(formula, taken, past_caches=False):
    """An instruction for numba: line(a, a_step, b, b_step) applies `formula` to `taken` vectors, a_step apart.

    past_caches: straight to memory, whole cache lines at once (b must begin one), which saves reading them first.
    """

    @intrinsic
    def line(typing, a, a_step, b, b_step):
        def build(context, builder, signature, args):
            a, a_step, b, b_step = args
            read = [_Vector(builder, builder.load(_place(builder, a, a_step, i), align=4)) for i in range(taken)]
            for i, result in enumerate(formula(*read)):
                place = _place(builder, b, b_step, i)
                stored = builder.store(result.value, place, align=4 * LANES if past_caches else 4)
                if past_caches:
                    stored.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))
            return context.get_dummy_value()

        return types.void(a, types.intp, b, types.intp), build

    return line


transform_input_line = _line(input_line, 6)  # 6 -> 6
transform_filter_line = _line(filter_line, 3)  # 3 -> 6
stream_filter_line = _line(filter_line, 3, past_caches=True)
transform_output_line = _line(output_line, 6)  # 6 -> 4
transform_output_line_adjoint = _line(output_line_adjoint, 4)  # 4 -> 6
transform_filter_line_adjoint = _line(filter_line_adjoint, 6)  # 6 -> 3


@intrinsic
def finish_output_line(typing, a, a_step, b, b_step, bias, floor):
    """transform_output_line, plus a vector of biases, and at least `floor`: 0 is ReLU, -infinity changes nothing."""

    def build(context, builder, signature, args):
        a, a_step, b, b_step, bias, floor = args
        read = [_Vector(builder, builder.load(_place(builder, a, a_step, i), align=4)) for i in range(6)]
        add = _Vector(builder, builder.load(_place(builder, bias, INT(0), 0), align=4))
        least = _spread(builder, floor, VECTOR)
        for i, result in enumerate(output_line(*read)):
            value = (result + add).value
            below = builder.fcmp_ordered("<", value, least)  # not true for NaN, which so stays
            builder.store(builder.select(below, least, value), _place(builder, b, b_step, i), align=4)
        return context.get_dummy_value()

    return types.void(a, types.intp, b, types.intp, bias, types.float32), build


@intrinsic
def copy_run(typing, a, first, last, b, count):
    """b[s] = a[s] for s < count <= COLUMNS; a is read at first <= s < last only, the others are 0."""

    def build(context, builder, signature, args):
        a, first, last, b, count = args
        for k in range(0, COLUMNS, LANES):
            first_k, last_k, count_k = (builder.sub(number, INT(k)) for number in (first, last, count))
            value = _load_some(builder, builder.gep(a, [INT(k)]), _between(builder, first_k, last_k))
            _store_some(builder, value, builder.gep(b, [INT(k)]), _between(builder, INT(0), count_k))
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, b, types.intp), build


@intrinsic
def transpose_square(typing, a, a_row, first, last, b, b_row, count):
    """b[s, r] = a[r, s] for r, s < LANES; a is read at first <= s < last only (else 0), b written at r < count only."""

    def build(context, builder, signature, args):
        a, a_row, first, last, b, b_row, count = args
        inside, kept = _between(builder, first, last), _between(builder, INT(0), count)
        square = []
        for _ in range(LANES):
            square.append(_load_some(builder, a, inside))
            a = builder.gep(a, [a_row])
        for vector in _transposed(builder, square):
            _store_some(builder, vector, b, kept)
            b = builder.gep(b, [b_row])
        return context.get_dummy_value()

    steps = types.intp
    return types.void(a, steps, steps, steps, b, steps, steps), build


def _transposed(builder, square):
    """Swap quarters, then quarters of quarters ...: element (r, s) goes to (s, r) bit by bit of r and s."""
    distance = LANES // 2
    while distance:
        low = [s if not s & distance else s - distance + LANES for s in range(LANES)]  # from the first, or the second
        high = [s + distance if not s & distance else s + LANES for s in range(LANES)]
        for r in range(LANES):
            if not r & distance:
                pair = square[r], square[r + distance]
                square[r], square[r + distance] = (_shuffled(builder, *pair, order) for order in (low, high))
        distance //= 2
    return square


def _shuffled(builder, x, y, order):
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, LANES), order))


def _spread(builder, number, kind):
    """One number in every lane."""
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, number, INT32(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(INT32, LANES), None))


def _between(builder, first, last):
    """A mask of the lanes first <= lane < last."""
    lanes = ir.Constant(ir.VectorType(INT, LANES), list(range(LANES)))
    return builder.and_(builder.icmp_signed(">=", lanes, _spread(builder, first, lanes.type)),
                        builder.icmp_signed("<", lanes, _spread(builder, last, lanes.type)))


def _load_some(builder, address, mask):
    """The lanes of `mask` from memory, 0 in the others, whose memory is not touched."""
    pointer = builder.bitcast(address, VECTOR.as_pointer())
    kind = ir.FunctionType(VECTOR, [pointer.type, INT32, MASK, VECTOR])
    load = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
    return builder.call(load, [pointer, INT32(4), mask, ir.Constant(VECTOR, None)])


def _store_some(builder, value, address, mask):
    pointer = builder.bitcast(address, VECTOR.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, pointer.type, INT32, MASK])
    store = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
    builder.call(store, [value, pointer, INT32(4), mask])
