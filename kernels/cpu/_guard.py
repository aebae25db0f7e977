"""Buffers with a wall: MINIFCN_GUARD=after|before ends the process when a kernel leaves its arrays on that side.

A raw address has no bounds that numba could check. But memory has: a page that nobody may touch is laid right behind
(or right before) each buffer, so that the first number read or written beyond it is a segmentation fault. New buffers
are filled with NaN, which shows up in the result if a kernel forgets to write a number before it is read.

For a run of the test suite: it is slow, and it needs a system with mprotect.
"""

import ctypes
import math
import mmap
import os
from typing import Any

import numpy as np

PROT_NONE = 0  # neither read nor write
SIDES = ("after", "before")


def side() -> str:
    """Which side is guarded, "" for none. Raises ValueError for another word."""
    wish = os.environ.get("MINIFCN_GUARD", "")
    if wish not in ("", *SIDES):
        raise ValueError(f"MINIFCN_GUARD: expected one of {', '.join(SIDES)}, got {wish!r}. Choose one, or unset it.")
    return wish


SIDE = side()


def guarded(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A C-contiguous array of NaN (or -1) that ends at, or begins behind, a page nobody may touch."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    mapping = mmap.mmap(-1, pages + mmap.PAGESIZE)
    memory = np.frombuffer(mapping, np.uint8)  # keeps the mapping alive
    wall, start = (pages, pages - size) if SIDE == "after" else (0, mmap.PAGESIZE)
    memory[start : start + size] = 0xFF  # NaN as a float, -1 as an integer
    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.c_void_p(memory.ctypes.data + wall)
    if libc.mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), PROT_NONE):
        raise OSError(ctypes.get_errno(), "MINIFCN_GUARD: mprotect failed")
    return memory[start : start + size].view(dtype).reshape(shape)


def guarded_copy(x: np.ndarray) -> np.ndarray:
    """The numbers of `x` in such an array."""
    copy = guarded(x.shape, x.dtype)
    copy[...] = x
    return copy
