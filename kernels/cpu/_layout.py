"""Arrays the way that compiled loops want them: C-contiguous, and of one type to the compiler."""

import numpy as np

from ._guard import SIDE, guarded_copy


class _Writeable:
    """The memory of an array under another flag; keeps that array alive."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def contiguous(x: np.ndarray) -> np.ndarray:
    """`x` itself if it can be, else a copy; C-contiguous and aligned to its numbers.

    Frozen weights are read-only, which to numba is another type, for which every kernel would be compiled once more. So
    they are passed on under a writeable flag; a kernel writes only into what it made.
    """
    if SIDE:
        return guarded_copy(x)
    if x.flags.carray:  # the usual case, in one look: contiguous, aligned and writeable
        return x
    x = np.require(x, requirements=["C", "A"])
    return x if x.flags.writeable else np.asarray(_Writeable(x))
