"""A launch on a GPU, through CuPy: NVRTC compiles the source for the card at the first one; CuPy keeps the result."""

import functools
import importlib
from typing import Any

MOST_THREADS = 256


def launch(program: Any, kernel: str, grid: tuple, threads: int, values: list[Any], defines: tuple[str, ...]) -> None:
    """Queue a kernel of a `Program` on the current stream: it returns before the kernel has run."""
    _module(program, defines).get_function(kernel)(grid, (threads, 1, 1), tuple(values))


@functools.cache
def _module(program: Any, defines: tuple[str, ...]) -> Any:
    cupy = importlib.import_module("cupy")
    return cupy.RawModule(code=program.text, options=("-std=c++17", *defines))
