"""Moving whole vectors: short runs that end anywhere, and squares of numbers turned over their diagonal.

A row of an image rarely is a multiple of a vector. A *masked* instruction works on the first `count` lanes and leaves
the rest of memory alone, so that a run may end anywhere without a loop over single numbers behind it.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._micro_kernel import Vectors


@intrinsic
def copy_run(typing, target, source, count):
    """target[s] = source[s] for s < count, which is at most one vector."""
    signature = types.void(target, source, types.intp)

    def build(context, builder, signature, args):
        vectors = _Masked(builder, args[0].type.pointee, args[2])
        vectors.store(vectors.load(args[1]), args[0])
        return context.get_dummy_value()

    return signature, build


@intrinsic
def add_run(typing, target, source, count):
    """target[s] += source[s] for s < count, which is at most one vector."""
    signature = types.void(target, source, types.intp)

    def build(context, builder, signature, args):
        vectors = _Masked(builder, args[0].type.pointee, args[2])
        vectors.store(builder.fadd(vectors.load(args[0]), vectors.load(args[1])), args[0])
        return context.get_dummy_value()

    return signature, build


@intrinsic
def transpose_square(typing, target, target_row, source, source_row):
    """target[s, r] = source[r, s] for a square as wide as a vector; rows begin target_row and source_row apart.

    Interleave the upper with the lower half of the rows: 0, n/2, 1, n/2 + 1, ... Each round moves one bit of the row's
    number into the column's, so after log2(n) rounds rows have become columns.
    """
    signature = types.void(target, types.intp, source, types.intp)

    def build(context, builder, signature, args):
        target, target_row, source, source_row = args
        v = Vectors(builder, target.type.pointee)
        n = v.lanes
        rows = [v.load(builder.gep(source, [builder.mul(source_row, _int(r))]), 0) for r in range(n)]
        low = [k // 2 + (k % 2) * n for k in range(n)]  # 0, n, 1, n + 1, ...: of two vectors side by side
        high = [k + n // 2 for k in low]
        for _ in range(n.bit_length() - 1):
            pairs = [(rows[r], rows[r + n // 2]) for r in range(n // 2)]
            rows = [builder.shuffle_vector(*pair, _indices(half)) for pair in pairs for half in (low, high)]
        for r, row in enumerate(rows):
            v.store(row, builder.gep(target, [builder.mul(target_row, _int(r))]), 0)
        return context.get_dummy_value()

    return signature, build


class _Masked:
    """Loads and stores of the first `count` lanes."""

    def __init__(self, builder, number, count):
        v = Vectors(builder, number)
        self.builder, self.vector = builder, v.vector
        lanes = ir.VectorType(ir.IntType(32), v.lanes)
        nothing = ir.Constant(lanes, ir.Undefined)
        first = builder.insert_element(nothing, builder.trunc(count, ir.IntType(32)), ir.IntType(32)(0))
        everywhere = builder.shuffle_vector(first, nothing, ir.Constant(lanes, None))
        self.mask = builder.icmp_unsigned("<", _indices(range(v.lanes)), everywhere)
        self.zero = v.zero
        self.name = f"v{v.lanes}f{32 if isinstance(number, ir.FloatType) else 64}.p0"

    def load(self, pointer):
        place = self._place(pointer)
        kind = ir.FunctionType(self.vector, [place.type, ir.IntType(32), self.mask.type, self.vector])
        call = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.load.{self.name}")
        return self.builder.call(call, [place, ir.IntType(32)(4), self.mask, self.zero])

    def store(self, value, pointer):
        place = self._place(pointer)
        kind = ir.FunctionType(ir.VoidType(), [self.vector, place.type, ir.IntType(32), self.mask.type])
        call = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.store.{self.name}")
        self.builder.call(call, [value, place, ir.IntType(32)(4), self.mask])

    def _place(self, pointer):
        return self.builder.bitcast(pointer, self.vector.as_pointer())


def _int(number):
    return ir.IntType(64)(number)


def _indices(numbers):
    numbers = list(numbers)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)
