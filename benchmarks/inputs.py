"""Random inputs that lie in memory as fairly as a library's own would, and not in the cache.

In a network a layer's input was written a moment ago by the layer before it, and has often left the cache again. A
benchmark that hands over the same array in every call finds it in the cache instead, and measures a layer that no
network has. So there are several copies of each input, more than the last-level cache holds, handed out in turn.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

CACHE_LINE = 64  # bytes
MOST_COPIES = 8
MOST_BYTES = 1 << 28  # of all copies together
USUAL_CACHE = 32 << 20  # bytes, where the system does not say


def last_level_cache() -> int:
    """Bytes of the largest cache of processor 0."""
    sizes = [_bytes(path.read_text()) for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max(sizes, default=USUAL_CACHE)


def copies(numbers: int, cache: int | None = None) -> int:
    """How many float32 inputs of so many numbers to rotate: as many as fill the cache twice, within reason."""
    size = 4 * numbers
    return max(1, min(MOST_COPIES, MOST_BYTES // size, math.ceil(2 * (cache or last_level_cache()) / size)))


def aligned(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """An uninitialised array that begins at a cache line, as PyTorch's own tensors do and NumPy's need not."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def normal(rng: np.random.Generator, *shape: int, std: float = 1.0) -> np.ndarray:
    """Normally distributed float32 numbers."""
    x = aligned(shape)
    rng.standard_normal(out=x, dtype=np.float32)
    if std != 1:
        x *= np.float32(std)
    return x


class Place:
    """Where the arrays of a row lie: main memory. Another one is `card.Card`.

    Attributes:
        device: its name, to minifcn and to PyTorch alike.
    """

    device = "cpu"

    def put(self, array: np.ndarray) -> Any:
        """The array, there."""
        return array

    def normal(self, rng: np.random.Generator, *shape: int, std: float = 1.0) -> Any:
        """Normally distributed float32 numbers."""
        return self.put(normal(rng, *shape, std=std))

    def several(self, rng: np.random.Generator, *shape: int) -> list[Any]:
        """As many arrays of normally distributed numbers as should be rotated."""
        return [self.normal(rng, *shape) for _ in range(copies(math.prod(shape)))]


MAIN_MEMORY = Place()


def _bytes(text: str) -> int:
    """32768K as a number."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    text = text.strip()
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)
