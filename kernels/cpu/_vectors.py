"""Moving whole vectors: runs that begin and end anywhere, and squares of numbers turned over their diagonal.

A row of an image rarely is a multiple of a vector. A *masked* instruction works on some of the lanes and leaves the
rest of memory alone, so that a run may end anywhere without a loop over single numbers behind it.

In plain loops over arrays, LLVM cannot know that what is written never overlaps what is read, and often leaves vectors
unused. So these few are built from its own instructions, as the micro-kernel is. They take addresses from `at`.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._micro_kernel import INT, Vectors, fetch_line
from ._processor import VECTOR_BITS

INT32 = ir.IntType(32)


@intrinsic
def copy_run(typing, target, source, count):
    """target[s] = source[s] for s < count, which is at most one vector."""

    def build(context, builder, signature, args):
        some = Masked(builder, args[0].type.pointee, INT(0), args[2])
        some.store(some.load(args[1]), args[0])
        return context.get_dummy_value()

    return types.void(target, source, types.intp), build


@intrinsic(prefer_literal=True)
def pick_run(typing, step, target, count, source, first, last):
    """target[s] = source[s * step] for s < count, which is at most one vector; 0 where not first <= s * step < last.

    step is a constant, a power of two: so many vectors are read, and every step-th number is kept.
    """
    if not isinstance(step, types.IntegerLiteral):
        return None
    signature = types.void(step, target, types.intp, source, types.intp, types.intp)

    def build(context, builder, signature, args):
        _, target, count, source, first, last = args
        number = target.type.pointee
        kept = Masked(builder, number, INT(0), count)
        read = []
        for v in range(step.literal_value):
            skipped = INT(v * kept.lanes)
            inside = Masked(builder, number, builder.sub(first, skipped), builder.sub(last, skipped))
            read.append(inside.load(builder.gep(source, [skipped])))
        while len(read) > 1:  # every second number of two neighbours
            read = [builder.shuffle_vector(*pair, numbers(range(0, 2 * kept.lanes, 2)))
                    for pair in zip(read[::2], read[1::2], strict=True)]
        kept.store(read[0], target)
        return context.get_dummy_value()

    return signature, build


@intrinsic
def add_run(typing, target, source, count):
    """target[s] += source[s] for s < count, which is at most one vector."""

    def build(context, builder, signature, args):
        some = Masked(builder, args[0].type.pointee, INT(0), args[2])
        some.store(builder.fadd(some.load(args[0]), some.load(args[1])), args[0])
        return context.get_dummy_value()

    return types.void(target, source, types.intp), build


@intrinsic
def finish_run(typing, target, source, plus, least, count):
    """target[s] = max(source[s] + plus, least) for s < count; source has a whole vector. NaN stays."""

    def build(context, builder, signature, args):
        target, source, plus, least, count = args
        every = Vectors(builder, target.type.pointee)
        plus, least = (spread(builder, number, every.lanes) for number in (plus, least))
        value = builder.fadd(every.load(source, 0), plus)
        below = builder.fcmp_ordered("<", value, least)  # not true for NaN
        Masked(builder, target.type.pointee, INT(0), count).store(builder.select(below, least, value), target)
        return context.get_dummy_value()

    return types.void(target, source, target.dtype, target.dtype, types.intp), build


@intrinsic
def transpose_square(typing, target, target_row, source, source_row):
    """target[s, r] = source[r, s] for a square as wide as a vector; rows begin target_row and source_row apart."""

    def build(context, builder, signature, args):
        target, target_row, source, source_row = args
        every = Vectors(builder, target.type.pointee)
        _transpose(builder, every.lanes, target, target_row, source, source_row,
                   lambda value, place: every.store(value, place, 0), lambda place: every.load(place, 0))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), build


@intrinsic
def transpose_square_to_memory(typing, target, target_row, source, source_row):
    """`transpose_square` past the caches: for what is too large to stay there. Rows of the target begin cache lines.

    A whole line that is written so need not be read first, which saves a third of the traffic.
    """

    def build(context, builder, signature, args):
        target, target_row, source, source_row = args
        every = Vectors(builder, target.type.pointee)

        def store(value, place):
            place = builder.bitcast(place, every.vector.as_pointer())
            stored = builder.store(value, place, align=VECTOR_BITS // 8)
            stored.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))

        _transpose(builder, every.lanes, target, target_row, source, source_row, store,
                   lambda place: every.load(place, 0))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), build


@intrinsic
def transpose_some(typing, target, target_row, count, source, source_row, first, last):
    """The same, but the source is read at first <= s < last only, 0 elsewhere, and written are r < count only."""

    def build(context, builder, signature, args):
        target, target_row, count, source, source_row, first, last = args
        inside = Masked(builder, target.type.pointee, first, last)
        kept = Masked(builder, target.type.pointee, INT(0), count)
        _transpose(builder, kept.lanes, target, target_row, source, source_row, kept.store, inside.load)
        return context.get_dummy_value()

    steps = types.intp
    return types.void(target, steps, steps, source, steps, steps, steps), build


def _fetch(to_write, level):
    """An instruction for numba that begins to bring the cache line at `source` to a level of the caches."""

    @intrinsic
    def fetch(typing, source):
        def build(context, builder, signature, args):
            fetch_line(builder, args[0], level, to_write)
            return context.get_dummy_value()

        return types.void(source), build

    return fetch


fetch, fetch_second_level, fetch_to_write = _fetch(False, 1), _fetch(False, 2), _fetch(True, 1)


def _transpose(builder, lanes, target, target_row, source, source_row, store, load):
    square = []
    for _ in range(lanes):
        square.append(load(source))
        source = builder.gep(source, [source_row])
    for vector in transposed(builder, square):
        store(vector, target)
        target = builder.gep(target, [target_row])


def transposed(builder, square):
    """Swap quarters, then quarters of quarters ...: element (r, s) goes to (s, r) bit by bit of r and s."""
    lanes = len(square)
    distance = lanes // 2
    while distance:
        low = [s if not s & distance else s - distance + lanes for s in range(lanes)]  # from the first, or the second
        high = [s + distance if not s & distance else s + lanes for s in range(lanes)]
        for r in range(lanes):
            if not r & distance:
                pair = square[r], square[r + distance]
                square[r], square[r + distance] = (builder.shuffle_vector(*pair, numbers(o)) for o in (low, high))
        distance //= 2
    return square


class Masked:
    """Loads and stores of the lanes first <= lane < last, in code that is being built."""

    def __init__(self, builder, number, first, last):
        every = Vectors(builder, number)
        self.builder, self.vector, self.zero, self.lanes = builder, every.vector, every.zero, every.lanes
        lanes = numbers(range(self.lanes))
        first, last = (spread(builder, builder.trunc(bound, INT32), self.lanes) for bound in (first, last))
        self.mask = builder.and_(builder.icmp_signed(">=", lanes, first), builder.icmp_signed("<", lanes, last))
        self.name = f"v{self.lanes}f{32 if isinstance(number, ir.FloatType) else 64}.p0"

    def load(self, pointer):
        """0 in the other lanes, whose memory is not touched."""
        place = self._place(pointer)
        kind = ir.FunctionType(self.vector, [place.type, INT32, self.mask.type, self.vector])
        call = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.load.{self.name}")
        return self.builder.call(call, [place, INT32(4), self.mask, self.zero])

    def store(self, value, pointer):
        place = self._place(pointer)
        kind = ir.FunctionType(ir.VoidType(), [self.vector, place.type, INT32, self.mask.type])
        call = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.store.{self.name}")
        self.builder.call(call, [value, place, INT32(4), self.mask])

    def _place(self, pointer):
        return self.builder.bitcast(pointer, self.vector.as_pointer())


def spread(builder, number, lanes):
    """One number in every lane."""
    nothing = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    first = builder.insert_element(nothing, number, INT32(0))
    return builder.shuffle_vector(first, nothing, numbers([0] * lanes))


def numbers(values):
    """A vector of constants."""
    values = list(values)
    return ir.Constant(ir.VectorType(INT32, len(values)), values)
