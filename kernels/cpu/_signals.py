"""Waiting for another thread without falling asleep at once.

To wake a sleeping thread takes the operating system some 50 microseconds, and now and then it wakes it on the very core
that the caller is busy on. The passes of a network follow each other faster than that. So who waits looks at a number
in memory for a short while first, outside of Python's global lock; only then it sleeps, and the core is free for
others. (The pools of OpenMP and OpenBLAS look on for milliseconds; two of them on the same cores hold each other up.)
"""

import platform
from queue import SimpleQueue

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._compile import compiled

LOOKS = 4000  # before falling asleep: 50 to 200 microseconds
HAS_PAUSE = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


class Signal:
    """A number that only grows. One thread sets it, another waits until it has reached some value."""

    def __init__(self) -> None:
        self.value = np.zeros(8, np.int64)  # one cache line; the first number counts
        self.asleep = False
        self.bell: SimpleQueue = SimpleQueue()

    def set(self, value: int) -> None:
        self.value[0] = value
        if self.asleep:
            self.bell.put(None)

    def wait(self, value: int) -> None:
        while not look(self.value, value, LOOKS, 0):
            self.asleep = True
            if self.value[0] < value:  # it may have been set in between; then the bell may ring once for nothing
                self.bell.get()
            self.asleep = False


@compiled
def look(number, value, looks, after):
    """Whether number[0] reaches `value` while it is looked at so many times, and, if it does, `after` times more."""
    for _ in range(looks):
        if read_now(number) >= value:
            for _ in range(after):
                read_now(number)
            return True
    return False


@intrinsic
def read_now(typing, number):
    """number[0] as it is in memory at this moment: a plain load would be moved out of the loop and done once."""

    def build(context, builder, signature, args):
        if HAS_PAUSE:  # tells the processor that this is a loop that waits
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
        return builder.load_atomic(context.make_array(signature.args[0])(context, builder, args[0]).data, "acquire", 8)

    return types.int64(number), build
