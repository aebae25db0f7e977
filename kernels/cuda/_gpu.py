"""A launch on a GPU, through CuPy: NVRTC compiles the source for the card at the first one; CuPy keeps the result."""

import functools
import importlib
from typing import Any

import numpy as np

MOST_THREADS = 256


def launch(program: Any, kernel: str, grid: tuple, threads: int, values: list[Any], defines: tuple[str, ...]) -> None:
    """Queue a kernel of a `Program` on the current stream: it returns before the kernel has run."""
    given = tuple(np.intp(0) if value is None else value for value in values)  # a null pointer
    _kernel(program, kernel, defines)(grid, (threads, 1, 1), given)


def options(defines: tuple[str, ...]) -> tuple[str, ...]:
    """What NVRTC is told; CuPy adds the card's architecture."""
    return ("-std=c++17", *defines)


@functools.cache
def _kernel(program: Any, kernel: str, defines: tuple[str, ...]) -> Any:
    """Kept, because CuPy looks a kernel up by its whole source. It is one for all cards: CuPy loads it on each."""
    return _module(program, defines).get_function(kernel)


@functools.cache
def _module(program: Any, defines: tuple[str, ...]) -> Any:
    cupy = importlib.import_module("cupy")
    return cupy.RawModule(code=program.text, options=options(defines))
