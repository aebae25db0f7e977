"""The matrix micro-kernel: a small block of a matrix product, held in registers. All convolutions end up in here.

    C[r, s] (+)= sum over k of  A[r, k] * B[k, s]          r in rows, s in 2 vectors of lanes

A processor core can start one or two vector multiply-adds in each cycle, but each takes about four cycles, and loading
a number from memory costs as much as multiplying it. Both limits are met by keeping a block of C in registers:

    * rows x 2 accumulators are independent of each other, so that a new one can start while others are still under way;
    * per k, rows + 2 loads feed rows * 2 multiply-adds: the two vectors of B meet every number of A, which is spread
      over all lanes ("broadcast").

The more rows, the better the ratio, until the registers are full: rows*2 accumulators + 2 vectors of B + 1 number of A.

Numba would compile the plain loops to less than half of that speed, as it does not keep C in registers. So the block is
written here in LLVM's own language, in which numba expresses every function anyway: `@intrinsic` gives us the builder.
Measured: 115 of 116 GFLOP/s on one core (AVX-512 at 3.65 GHz, one 512-bit multiply-add a cycle).
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._processor import HAS_FMA, LANES, REGISTERS, VECTOR_BITS

VECTORS = 2  # vectors of B side by side
MOST_ROWS = 14 if REGISTERS == 32 else 6  # 14*2 + 2 + 1 = 31 of 32 registers, 6*2 + 2 + 1 = 15 of 16
SLOT = -(-MOST_ROWS // LANES) * LANES  # numbers from one k to the next of a packed A: whole vectors
INT = ir.IntType(64)


@intrinsic
def at(typing, array, offset):
    """The address of element `offset` of a C-contiguous array, counted from its beginning. Nothing is checked."""
    pointer = types.CPointer(array.dtype)

    def build(context, builder, signature, args):
        return builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])

    return pointer(array, types.intp), build


@intrinsic(prefer_literal=True)
def multiply_tile(typing, rows, add, k, a, a_row, a_k, b, b_k, c, c_row):
    """C[r, s] = (add: C[r, s] +) sum over k of A[r, k] * B[k, s], r < rows, s < width of `b`.

    rows and add are constants: for each pair a block of its own is built. a, b and c are addresses from `at`; element
    A[r, k] lies a_row*r + a_k*k numbers behind a, row k of B b_k*k behind b, row r of C c_row*r behind c.
    """
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(add, types.BooleanLiteral | types.IntegerLiteral):
        return None  # numba asks again with constants
    steps = types.intp
    signature = types.void(rows, add, steps, a, steps, steps, b, steps, c, steps)

    def build(context, builder, signature, args):
        _multiply(builder, rows.literal_value, bool(add.literal_value), *args[2:])
        return context.get_dummy_value()

    return signature, build


@intrinsic(prefer_literal=True)
def multiply_tile_and_fetch(typing, rows, k, a, a_row, a_k, b, b_k, c, c_row, ahead):
    """C[r, s] = sum over k of A[r, k] * B[k, s], and meanwhile k rows behind `ahead`, laid out as those of B, come to
    the second-level cache: the next B, which else would be waited for.
    """
    if not isinstance(rows, types.IntegerLiteral):
        return None
    steps = types.intp
    signature = types.void(rows, steps, a, steps, steps, b, steps, c, steps, b)

    def build(context, builder, signature, args):
        _multiply(builder, rows.literal_value, False, *args[1:-1], ahead=args[-1])
        return context.get_dummy_value()

    return signature, build


@intrinsic
def add_rows(typing, rows, k, a, a_row, a_k, b, b_k, c, c_row):
    """C[r, s] += sum over k of A[r, k] * B[k, s]: as `multiply_tile`, for a number of rows that is known when it runs.

    The blocks for 1 to MOST_ROWS rows are built one after the other, and a jump goes to the one that is asked for.
    """
    signature = types.void(types.intp, types.intp, a, types.intp, types.intp, b, types.intp, c, types.intp)

    def build(context, builder, signature, args):
        _for_each(builder, args[0], range(1, MOST_ROWS + 1), lambda rows: _multiply(builder, rows, True, *args[1:]))
        return context.get_dummy_value()

    return signature, build


@intrinsic
def multiply_columns(typing, rows, add, k, a, b, c):
    """C (+)= A @ B of packed blocks: A[r, k] lies r + SLOT*k numbers behind a, B[k] and C[r] follow each other at once.

    add: whether to add to what is there; known when it runs.
    """
    signature = types.void(types.intp, types.boolean, types.intp, a, b, c)

    def build(context, builder, signature, args):
        _multiply_packed(builder, *args)
        return context.get_dummy_value()

    return signature, build


@intrinsic
def multiply_columns_narrow(typing, rows, add, k, a, b, c):
    """The same for the first of the two vectors of B and C: where there are no more lanes to fill."""
    signature = types.void(types.intp, types.boolean, types.intp, a, b, c)

    def build(context, builder, signature, args):
        _multiply_packed(builder, *args, vectors=1)
        return context.get_dummy_value()

    return signature, build


@intrinsic
def multiply_rows(typing, rows, k, a, b, c, c_row):
    """C += A @ B of packed blocks: as `multiply_columns`, but C[r] lies c_row*r behind c."""
    signature = types.void(types.intp, types.intp, a, b, c, types.intp)

    def build(context, builder, signature, args):
        rows, *others = args
        _multiply_packed(builder, rows, True, *others)
        return context.get_dummy_value()

    return signature, build


def _multiply_packed(builder, rows, add, k, a, b, c, c_row=None, vectors=VECTORS):
    width = INT(VECTORS * Vectors(builder, a.type.pointee).lanes)
    _for_each(builder, rows, range(1, MOST_ROWS + 1), lambda number: _multiply(
        builder, number, add, k, a, INT(1), INT(SLOT), b, width, c, c_row or width, vectors=vectors))


def _for_each(builder, value, numbers, build_one):
    """Build a block for each of `numbers`, and a jump to the one that `value` is."""
    after = builder.append_basic_block("after")
    jump = builder.switch(value, after)
    for number in numbers:
        block = builder.append_basic_block(f"case_{number}")
        jump.add_case(INT(number), block)
        builder.position_at_end(block)
        build_one(number)
        builder.branch(after)
    builder.position_at_end(after)


def _multiply(builder, rows, add, k, a, a_row, a_k, b, b_k, c, c_row, vectors=VECTORS, ahead=None):
    """The instructions of one block of C: clear it, one step for each k, store it or (add) add it to what is there.

    add: a bool, or a value that is known when it runs.

    Adding last makes long sums sums of short ones: 4096 numbers added to one lose a digit more than 16 times 256.
    """
    tile = Vectors(builder, a.type.pointee)

    def one_k(index, sums):  # sums: the block of C, row by row
        of_b = [tile.load(builder.gep(b, [builder.mul(index, b_k)]), v) for v in range(vectors)]
        a_column = builder.gep(a, [builder.mul(index, a_k)])
        if ahead is not None:
            for v in range(vectors):
                fetch_line(builder, builder.gep(ahead, [builder.add(builder.mul(index, b_k), INT(v * tile.lanes))]), 2)
        result = []
        for r in range(rows):
            number = tile.broadcast(builder.gep(a_column, [builder.mul(a_row, INT(r))]))
            result += [tile.multiply_add(number, of_b[v], sums[r * vectors + v]) for v in range(vectors)]
        return result

    sums = _loop(builder, k, [tile.zero] * (rows * vectors), one_k)

    def store(adding):
        for position, total in enumerate(sums):
            row, v = builder.gep(c, [builder.mul(c_row, INT(position // vectors))]), position % vectors
            tile.store(builder.fadd(tile.load(row, v), total) if adding else total, row, v)

    if isinstance(add, bool):
        store(add)
    else:
        with builder.if_else(builder.trunc(add, ir.IntType(1))) as (adding, not_adding):
            with adding:
                store(True)
            with not_adding:
                store(False)


def fetch_line(builder, address, level, to_write=False):
    """Begin to bring the cache line at `address` to a level of the caches. Nothing happens if it is nobody's."""
    kind = ir.FunctionType(ir.VoidType(), [address.type, *[ir.IntType(32)] * 3])
    call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    numbers = int(to_write), 4 - level, 1  # 3: innermost; 1: data
    builder.call(call, [address, *map(ir.IntType(32), numbers)])


class Vectors:
    """Vector instructions for one type of number, as calls of an LLVM builder."""

    def __init__(self, builder, number):
        bits = 32 if isinstance(number, ir.FloatType) else 64
        self.builder, self.number, self.lanes = builder, number, VECTOR_BITS // bits
        self.vector = ir.VectorType(number, self.lanes)
        self.zero = ir.Constant(self.vector, None)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self.fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{self.lanes}f{bits}")

    def _place(self, pointer, v):
        return self.builder.bitcast(self.builder.gep(pointer, [INT(v * self.lanes)]), self.vector.as_pointer())

    def load(self, pointer, v):
        return self.builder.load(self._place(pointer, v), align=4)

    def store(self, value, pointer, v):
        self.builder.store(value, self._place(pointer, v), align=4)

    def broadcast(self, pointer):
        """One number from memory in every lane."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, self.builder.load(pointer), ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None))

    def multiply_add(self, x, y, total):
        if HAS_FMA:
            return self.builder.call(self.fma, [x, y, total])
        return self.builder.fadd(self.builder.fmul(x, y), total)  # without the instruction, fma would be a slow call


def _loop(builder, count, start, body):
    """values = start; repeat count >= 1 times: values = body(index, values). The values stay in registers."""
    before = builder.block
    loop, after = builder.append_basic_block("k"), builder.append_basic_block("after_k")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(INT)
    values = [builder.phi(value.type) for value in start]
    following = body(index, values)
    counted = builder.add(index, INT(1))
    for phi, first, then in zip([index, *values], [INT(0), *start], [counted, *following], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(then, builder.block)
    builder.cbranch(builder.icmp_signed("<", counted, count), loop, after)
    builder.position_at_end(after)
    return following
