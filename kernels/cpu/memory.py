"""Memory that is used again: a fresh page costs more than the arithmetic that is done on it.

The operating system hands out memory in pages of 4 KiB, each cleared at its first touch: a quarter of a millisecond for
every MiB, while a core reads and writes the same MiB in a twentieth of that. A network asks for the same sizes in every
step, so buffers that nobody uses any more are kept here for the next who wants one of that size.

    y = empty((n, c, h, w), np.float32)      # like numpy.empty, uninitialised

A buffer comes back when the last array that looks into it is gone. The array is made from a *lease*, and it is the
lease that is watched, not the array: views hold on to the lease too, and may outlive the array that they were cut from.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np

from ._guard import SIDE, guarded

ALIGNMENT = 64  # bytes: one cache line, one vector of AVX-512
SMALLEST = 1 << 16  # bytes: below this, numpy.empty is as fast
STEPS = 8  # sizes between two powers of two: at most an eighth of a buffer is wasted
ROOMY = 2  # a buffer this many times too large is better than a new one
SPARE = 1 << 26  # bytes that may lie idle beyond a quarter of the most that was ever on loan at the same time

Buffer = tuple[np.ndarray, int]  # bytes, and the address of the first that is aligned

_idle: defaultdict[int, list[Buffer]] = defaultdict(list)  # size -> buffers; appending and popping are atomic
_counts = {"leased": 0, "most_leased": 0, "idle": 0, "made": 0, "reused": 0}  # three in bytes, two in buffers


class _Lease:
    """A buffer on loan. NumPy reads `__array_interface__` and keeps this object alive as the array's base."""

    __slots__ = ("__array_interface__", "buffer")

    def __init__(self, buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.buffer = buffer
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (buffer[1], False)}

    def __del__(self, counts: Any = _counts, idle: Any = _idle) -> None:  # at exit, the module's names are gone first
        size = self.buffer[0].size
        counts["leased"] -= size
        counts["idle"] += size
        idle[size].append(self.buffer)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array, C-contiguous and aligned to a cache line."""
    if SIDE:
        return guarded(shape, dtype)
    dtype = np.dtype(dtype)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted < SMALLEST:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(_buffer(_rounded(wanted + ALIGNMENT)), shape, dtype))


def workspace(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The same for what a kernel reads and writes again and again: aligned even if it is small.

    A vector that lies across two cache lines takes twice as long.
    """
    dtype = np.dtype(dtype)
    wanted = math.prod(shape) * dtype.itemsize
    if SIDE or wanted >= SMALLEST:
        return empty(shape, dtype)
    whole = np.empty(wanted + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, whole, -whole.ctypes.data % ALIGNMENT)


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The same, cleared."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def report() -> dict[str, int]:
    """Bytes on loan, the most there ever were, bytes kept for later; buffers made, and times one was used again."""
    return dict(_counts)


def release() -> None:
    """Give everything that nobody uses back to the system."""
    for size in list(_idle):
        while _pop(size):
            pass


def _buffer(size: int) -> Buffer:
    buffer = _idle_buffer(size)
    if buffer is None:
        _make_room(size)
        whole = np.empty(size, np.uint8)
        address = whole.ctypes.data
        buffer = whole, address + -address % ALIGNMENT  # asked for once: that takes as long as all the rest
        _counts["made"] += 1
    else:
        _counts["reused"] += 1
    _counts["leased"] += buffer[0].size
    _counts["most_leased"] = max(_counts["most_leased"], _counts["leased"])
    return buffer


def _idle_buffer(size: int) -> Buffer | None:
    """One of this size, else the smallest that will do, if it is no more than ROOMY times as large."""
    exact = _pop(size)
    if exact is not None:
        return exact
    for other in sorted(_idle):
        if size < other <= ROOMY * size:
            buffer = _pop(other)
            if buffer is not None:
                return buffer
    return None


def _pop(size: int) -> Buffer | None:
    try:
        buffer = _idle[size].pop()
    except IndexError:  # none, or another thread was faster
        return None
    _counts["idle"] -= size
    return buffer


def _make_room(size: int) -> None:
    """Before a buffer is made: give idle ones back if all together would be far more than was ever in use at once."""
    total = _counts["leased"] + _counts["idle"] + size
    excess = total - max(_counts["most_leased"], _counts["leased"] + size) * 5 // 4 - SPARE
    for other in sorted(_idle, reverse=True):
        while excess > 0 and _pop(other):
            excess -= other


def _rounded(size: int) -> int:
    """Up to the next of STEPS sizes between two powers of two, so that nearly equal requests share buffers."""
    step = max(1, (1 << (size - 1).bit_length()) // (2 * STEPS))
    return -(-size // step) * step
