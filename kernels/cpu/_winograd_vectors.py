"""Vectors for Winograd's transforms: a formula on many channels at once.

The transforms of a tile are sums of few numbers. In plain loops LLVM does not see that six streams of loads and six of
stores never touch the same memory, and so leaves vectors unused. Therefore they are built as the micro-kernel is, from
LLVM's own instructions; `_Vector` overloads + - *, so that the formulas stand in `_winograd.py` as on paper.

Costs, in vectors of lanes: a line of 6 to 6 takes 6 loads, 12 additions or multiply-adds and 6 stores.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ._micro_kernel import INT
from ._processor import LANES
from ._vectors import INT32, Masked, spread, transposed
from ._winograd import (
    POINTS,
    TILE,
    filter_line,
    filter_line_adjoint,
    input_line,
    output_line,
    output_line_adjoint,
)

RUN = 7  # tiles of inputs that are transformed together: their 30 columns are just below two squares of 16
OUTPUT_RUN = 8  # tiles of outputs: they do not overlap, and have 32
COLUMNS = OUTPUT_RUN * TILE
VECTOR = ir.VectorType(ir.FloatType(), LANES)


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
def finish_square(typing, a, bias, floor, y, y_step, count):
    """max(A^T m + bias, floor) of LANES/TILE tiles, whose 6 vectors of LANES channels lie one by one at a.

    These are LANES pixels of LANES channels: a square that is turned over on its way, in registers. Pixels s < count of
    channel r go to y[r*y_step + s]. floor: 0 is ReLU, -infinity changes nothing.
    """

    def build(context, builder, signature, args):
        a, bias, floor, y, y_step, count = args
        add = _Vector(builder, builder.load(_place(builder, bias, INT(0), 0), align=4))
        least = spread(builder, floor, LANES)
        pixels = []
        for first in range(0, LANES // TILE * POINTS, POINTS):
            read = [_Vector(builder, builder.load(_place(builder, a, INT(LANES), first + i), align=4))
                    for i in range(POINTS)]
            for result in output_line(*read):
                value = (result + add).value
                below = builder.fcmp_ordered("<", value, least)  # not true for NaN, which so stays
                pixels.append(builder.select(below, least, value))
        kept = Masked(builder, ir.FloatType(), INT(0), count)
        for r, channel in enumerate(transposed(builder, pixels)):
            kept.store(channel, builder.gep(y, [builder.mul(y_step, INT(r))]))
        return context.get_dummy_value()

    return types.void(a, bias, types.float32, y, types.intp, types.intp), build


@intrinsic
def copy_columns(typing, a, first, last, b, count):
    """b[s] = a[s] for s < count <= COLUMNS; a is read at first <= s < last only, the others are 0."""

    def build(context, builder, signature, args):
        a, first, last, b, count = args
        for k in range(0, COLUMNS, LANES):
            first_k, last_k, count_k = (builder.sub(number, INT(k)) for number in (first, last, count))
            value = Masked(builder, ir.FloatType(), first_k, last_k).load(builder.gep(a, [INT(k)]))
            Masked(builder, ir.FloatType(), INT(0), count_k).store(value, builder.gep(b, [INT(k)]))
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, b, types.intp), build
