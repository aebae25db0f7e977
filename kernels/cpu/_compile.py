"""Python loops to machine code, once: the decorator of every kernel in this folder.

    @compiled
    def _relu(part, start, stop, x, y):
        for i in range(start, stop):
            ...

Numba compiles a function at its first call and keeps the result on disk. It looks for changes in the function's own
file only, so that an edit of the micro-kernel would leave its callers stale. Therefore the folder on disk is named by
a hash of everything that the machine code depends on: all sources of this folder, numba, the processor, and the width
of vectors that was chosen.
"""

import functools
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import llvmlite
import llvmlite.binding
import numba
from numba.core.compiler_lock import global_compiler_lock

from .. import _cache
from . import _notice as _notice  # begins to listen
from ._processor import FEATURES, SECOND_LEVEL, VECTOR_BITS

# NaN and infinity keep their meaning, but a*b + c may be rounded once, and sums may be taken in another order.
SUMS = {"reassoc", "contract", "nsz"}


def compiled(function: Callable | None = None, *, fastmath: Any = False, inline: Any = "never") -> Any:
    """Compile `function` at its first call, or load it from disk; it then runs without Python's global lock.

    Args:
        fastmath: SUMS where sums may be reordered, so that they are vectorised.
        inline: "always" for a small function whose arguments are to become constants of its caller.
    """
    if function is None:
        return functools.partial(compiled, fastmath=fastmath, inline=inline)
    config: Any = numba.config  # its settings are made when numba starts, unseen by type checkers
    previous = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder())  # read when a function is decorated, and by no other one than ours
    try:
        kernel: Any = numba.njit(
            nogil=True, cache=True, error_model="numpy", fastmath=fastmath, inline=inline, boundscheck=_boundscheck(),
        )(function)
    finally:
        config.CACHE_DIR = previous
    kernel.compile = _one_process_at_a_time(kernel.compile)
    return kernel


def _one_process_at_a_time(compile_one: Callable) -> Callable:
    """Several processes that start together, as parallel tests do, wait for the first and load what it compiled."""

    @functools.wraps(compile_one)
    def locked(signature: Any) -> Any:
        with global_compiler_lock, _file_lock():  # in this order everywhere, else two threads could block each other
            try:
                return compile_one(signature)
            except (EOFError, pickle.UnpicklingError):  # a file on disk was cut short, by a crash or a full disk
                compile_one.__self__._cache.flush()  # type: ignore[attr-defined]
                return compile_one(signature)

    return locked


@functools.cache
def _file_lock() -> filelock.BaseFileLock:
    return filelock.FileLock(cache_folder() / "lock", thread_local=False)  # may be taken again by who holds it


def cache_folder() -> Path:
    """Where machine code is kept."""
    return _cache.cache_folder(f"kernels-{fingerprint()}")


@functools.cache
def fingerprint() -> str:
    """A hash of everything that the machine code depends on."""
    parts = [numba.__version__, llvmlite.__version__, llvmlite.binding.get_host_cpu_name(), str(VECTOR_BITS),
             str(SECOND_LEVEL), str(sorted(name for name, has in FEATURES.items() if has)), str(_boundscheck())]
    digest = hashlib.sha256("\n".join(parts).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _boundscheck() -> bool:
    """MINIFCN_BOUNDSCHECK=1: every index is looked at, slowly. For a run of the test suite."""
    return os.environ.get("MINIFCN_BOUNDSCHECK", "") not in ("", "0")
