"""Memory that is used again: a fresh page costs more than the arithmetic that is done on it.

The operating system hands out memory in pages of 4 KiB, each cleared at its first touch: a quarter of a millisecond for
every MiB, while a core reads and writes the same MiB in a twentieth of that. A network asks for the same sizes in every
step, so buffers that nobody uses any more are kept here for the next who wants one of that size.

    y = empty((n, c, h, w), np.float32)      # like numpy.empty, uninitialised

A buffer comes back when the last array that looks into it is gone. The array is made from a *lease*, and it is the
lease that is watched, not the array: views hold on to the lease too, and may outlive the array that they were cut from.

Workspaces are kept apart, by dtype, and begin as zeros. A vector that is not full has lanes which nobody stores, but
which are multiplied all the same. Integers, read as floats, are numbers below 1e-38, and with those a multiplication
takes some 150 cycles on many processors; so what a workspace held before must have been numbers of its own dtype.
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

ARRAYS = "arrays"

Buffer = tuple[np.ndarray, int]  # bytes, and the address of the first that is aligned

# (kind, size) -> buffers; appending and popping are atomic. The kind is ARRAYS, or the dtype of workspaces.
_idle: defaultdict[tuple[str, int], list[Buffer]] = defaultdict(list)
_counts = {"leased": 0, "most_leased": 0, "idle": 0, "made": 0, "reused": 0}  # three in bytes, two in buffers


class _Lease:
    """A buffer on loan. NumPy reads `__array_interface__` and keeps this object alive as the array's base."""

    __slots__ = ("__array_interface__", "buffer", "kind")

    def __init__(self, kind: str, buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.kind, self.buffer = kind, buffer
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (buffer[1], False)}

    def __del__(self, counts: Any = _counts, idle: Any = _idle) -> None:  # at exit, the module's names are gone first
        size = self.buffer[0].size
        counts["leased"] -= size
        counts["idle"] += size
        idle[self.kind, size].append(self.buffer)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array, C-contiguous and aligned to a cache line."""
    if SIDE:
        return guarded(shape, dtype)
    dtype = np.dtype(dtype)
    wanted = math.prod(shape) * dtype.itemsize
    return _leased(ARRAYS, shape, dtype) if wanted >= SMALLEST else np.empty(shape, dtype)


def workspace(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The same for what a kernel reads and writes again and again: aligned even if it is small.

    A vector that lies across two cache lines takes twice as long. What it holds are zeros, or what other workspaces of
    this dtype held.
    """
    if SIDE:
        return guarded(shape, dtype)
    dtype = np.dtype(dtype)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted >= SMALLEST:
        return _leased(dtype.name, shape, dtype)
    whole = np.zeros(wanted + ALIGNMENT, np.uint8)
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
    for kind, size in list(_idle):
        while _pop(kind, size):
            pass


def _leased(kind: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    buffer = _buffer(kind, _rounded(math.prod(shape) * dtype.itemsize + ALIGNMENT))
    return np.asarray(_Lease(kind, buffer, shape, dtype))


def _buffer(kind: str, size: int) -> Buffer:
    buffer = _idle_buffer(kind, size)
    if buffer is None:
        _make_room(size)
        whole = np.empty(size, np.uint8) if kind == ARRAYS else np.zeros(size, np.uint8)
        address = whole.ctypes.data
        buffer = whole, address + -address % ALIGNMENT  # asked for once: that takes as long as all the rest
        _counts["made"] += 1
    else:
        _counts["reused"] += 1
    _counts["leased"] += buffer[0].size
    _counts["most_leased"] = max(_counts["most_leased"], _counts["leased"])
    return buffer


def _idle_buffer(kind: str, size: int) -> Buffer | None:
    """One of this size, else the smallest that will do, if it is no more than ROOMY times as large."""
    exact = _pop(kind, size)
    if exact is not None:
        return exact
    for other_kind, other in sorted(_idle):
        if kind == other_kind and size < other <= ROOMY * size:
            buffer = _pop(kind, other)
            if buffer is not None:
                return buffer
    return None


def _pop(kind: str, size: int) -> Buffer | None:
    try:
        buffer = _idle[kind, size].pop()
    except IndexError:  # none, or another thread was faster
        return None
    _counts["idle"] -= size
    return buffer


def _make_room(size: int) -> None:
    """Before a buffer is made: give idle ones back if all together would be far more than was ever in use at once."""
    total = _counts["leased"] + _counts["idle"] + size
    excess = total - max(_counts["most_leased"], _counts["leased"] + size) * 5 // 4 - SPARE
    for kind, other in sorted(_idle, key=lambda key: key[1], reverse=True):
        while excess > 0 and _pop(kind, other):
            excess -= other


def _rounded(size: int) -> int:
    """Up to the next of STEPS sizes between two powers of two, so that nearly equal requests share buffers."""
    step = max(1, (1 << (size - 1).bit_length()) // (2 * STEPS))
    return -(-size // step) * step
