"""Kernels index numbers that lie in a row. This is how such a kernel changes an array that does not."""

import contextlib

from ._program import contiguous


@contextlib.contextmanager
def in_place(*arrays):
    """The arrays in a row, to be changed inside the `with` block. If they are copies, its end writes them back."""
    rows = [contiguous(array) for array in arrays]
    yield rows
    for array, row in zip(arrays, rows, strict=True):
        if not array.flags.c_contiguous:
            array[...] = row
