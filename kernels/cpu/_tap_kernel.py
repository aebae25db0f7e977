"""The micro-kernel of weight gradients: as in `_micro_kernel`, but its numbers may lie anywhere.

    C[r, s] += sum over k of  A[r, k] * B[k, s]       k in output pixels, r and s in taps and filters

A tap meets its pixels p*pitch + q numbers behind its first one, and the first pixels of the taps of a filter are
strewn over the image. So rows and pixels are found by tables. That takes an address for each row, and a processor has
16 registers for addresses: hence 10 rows, not 14. Measured (2026-11, AVX-512): 112 to 116 of 116 GFLOP/s.

The sum over k is taken on its own and added to C at the end: half a million numbers added to one would lose a digit.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ._micro_kernel import INT, VECTORS, Vectors, _for_each, _loop
from ._processor import REGISTERS

TAP_ROWS = 10 if REGISTERS == 32 else 6


@intrinsic
def add_taps(typing, rows, k, a, a_rows, a_k, b, b_vector, b_k, c, c_rows):
    """C[r, s] += sum over k of A[r, k] * B[k, s], for up to TAP_ROWS rows and 2 vectors.

    A[r, k] lies a_rows[r] + a_k[k] behind a; vector v of B[k] b_vector*v + b_k[k] behind b; C[r] c_rows[r] behind c.
    a_k and b_k may be numbers: then those of k lie a_k * k and b_k * k behind.
    """
    steps = types.intp
    a_k, b_k = (t if isinstance(t, types.CPointer) else steps for t in (a_k, b_k))
    signature = types.void(steps, steps, a, a_rows, a_k, b, steps, b_k, c, c_rows)

    def build(context, builder, signature, args):
        _for_each(builder, args[0], range(1, TAP_ROWS + 1), lambda rows: _multiply(builder, rows, *args[1:]))
        return context.get_dummy_value()

    return signature, build


def _multiply(builder, rows, k, a, a_rows, a_k, b, b_vector, b_k, c, c_rows):
    tile = Vectors(builder, a.type.pointee)

    def look_up(pointer, table, index):
        steps = builder.load(builder.gep(table, [index])) if isinstance(table.type, ir.PointerType) else (
            builder.mul(table, index))
        return builder.gep(pointer, [steps])

    a_starts = [look_up(a, a_rows, INT(r)) for r in range(rows)]
    b_starts = [builder.gep(b, [builder.mul(b_vector, INT(v))]) for v in range(VECTORS)]

    def one_k(index, sums):  # sums: the block of C, row by row
        vectors = [tile.load(look_up(start, b_k, index), 0) for start in b_starts]
        result = []
        for r in range(rows):
            _keep_order(builder)
            number = tile.broadcast(look_up(a_starts[r], a_k, index))
            result += [tile.multiply_add(number, vectors[v], sums[r * VECTORS + v]) for v in range(VECTORS)]
        return result

    sums = _loop(builder, k, [tile.zero] * (rows * VECTORS), one_k)
    for position, total in enumerate(sums):
        row, v = look_up(c, c_rows, INT(position // VECTORS)), position % VECTORS
        tile.store(builder.fadd(tile.load(row, v), total), row, v)


def _keep_order(builder):
    """No instruction, but loads stay on their side of it: LLVM would do all of them first, and run out of registers."""
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)
