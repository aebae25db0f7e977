"""A launch without a GPU: g++ builds the .cu file with emulator.h in front, and ctypes calls it on NumPy's arrays.

    with use_kernels("cuda"):
        y, cache = ops.relu(x)          # x is NumPy's: kernels/cuda/relu.cu runs here, a thread of the system a thread

It is for trust and for learning, not for speed. Beside what the kernel computes it looks at

- the types of the arguments that the launcher passes, which a GPU would read as whatever the kernel expects;
- barriers and shuffles that only a part of a block comes to;
- what a kernel writes outside its arrays, and, by NaN, what it reads there: the arrays are copied to a memory of their
  own, as to a GPU's, with a margin around each.

MINIFCN_EMULATOR=thread builds for ThreadSanitizer, which sees two threads at one address. Its library must be loaded
before Python: `minifcn.kernels.cuda.races` does that.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .._cache import cache_folder
from ._program import FOLDER, is_array

MOST_THREADS = 64  # of a block: two warps
MARGIN = 4096  # bytes around each array
OPTIONS = ("-std=c++20", "-O1", "-g", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
           "-Wno-sign-compare")  # a GPU's thread numbers are unsigned, sizes are not


def launch(program: Any, kernel: str, grid: tuple, threads: int, values: list[Any], defines: tuple[str, ...]) -> None:
    """Run a kernel of a `Program` to its end. Raises RuntimeError for what is named above."""
    library = _library(program, defines)
    _check_types(program.name, kernel, getattr(library, f"types_{kernel}")().decode().split(), values)
    memory = [_Memory(value) if is_array(value) else None for value in values]
    given = [ctypes.c_void_p(m.address) if m else _number(value) for m, value in zip(memory, values, strict=True)]
    addresses = (ctypes.c_void_p * len(given))(*(ctypes.addressof(one) for one in given))
    wrong = getattr(library, f"launch_{kernel}")(
        (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(threads, 1, 1), program.meets, addresses)
    if wrong:
        raise RuntimeError(f"{program.name}.cu: expected {kernel} to keep its blocks together, got: {wrong.decode()}")
    for number, one in enumerate(memory):
        if one:
            one.back(f"{program.name}.cu: expected {kernel} to write inside its arrays, got writes outside of argument "
                     f"{number}, of shape {values[number].shape}")


class _Memory:
    """A copy of an array with a margin on both sides, full of NaN (or -1), as the emulated GPU's memory."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.bytes = np.full(array.nbytes + 2 * MARGIN, 0xFF, np.uint8)
        self.inside = self.bytes[MARGIN : MARGIN + array.nbytes]
        self.inside[:] = array.reshape(-1).view(np.uint8)
        self.address = self.inside.ctypes.data

    def back(self, complaint: str) -> None:
        """Copy to the array what has changed. Raises RuntimeError if the margin has."""
        if not (self.bytes[:MARGIN] == 0xFF).all() or not (self.bytes[-MARGIN:] == 0xFF).all():
            raise RuntimeError(complaint)
        there = self.array.reshape(-1).view(np.uint8)
        if not np.array_equal(there, self.inside):
            there[:] = self.inside


def _number(value: Any) -> Any:
    kind = {"i4": ctypes.c_int, "i8": ctypes.c_longlong, "f4": ctypes.c_float, "f8": ctypes.c_double}
    return kind[value.dtype.str[1:]](value.item())


def _check_types(who: str, kernel: str, expected: list[str], values: list[Any]) -> None:
    """The kernel's parameters are what the launcher passes."""
    got = ["*" * is_array(v) + v.dtype.str[1:].replace("b", "u") for v in values]
    fits = len(got) == len(expected) and all(
        a == b or (b == "i8" and isinstance(v, np.intp) and v == 0 and a.startswith("*"))  # a null pointer
        for a, b, v in zip(expected, got, values, strict=True))
    if not fits:
        raise TypeError(f"{who}.cu: expected the arguments of {kernel} to be {' '.join(expected)}, got {' '.join(got)} "
                        f"(* an array, f float, i int, u unsigned, then bytes). Change the launcher or the kernel.")


@functools.cache
def _library(program: Any, defines: tuple[str, ...]) -> ctypes.CDLL:
    """The compiled file, from the disk if it was compiled before."""
    exports = "".join(f"EMULATED({kernel})\n" for kernel in program.kernels)
    path = _built(f"{program.name}.so", program.text, (
        *_sanitizer(), *defines, "-shared", f"-I{FOLDER}", "-include", str(FOLDER / "emulator.h"), "-x", "c++", "-",
        "-x", "none", str(_machine()),
    ), f'#include "{program.path}"\n{exports}')
    library = ctypes.CDLL(str(path))
    for kernel in program.kernels:
        for name in (f"types_{kernel}", f"launch_{kernel}"):
            getattr(library, name).restype = ctypes.c_char_p
    return library


def _machine() -> Path:
    """emulator.cpp, compiled."""
    return _built("emulator.o", "", (*_sanitizer(), "-c", str(FOLDER / "emulator.cpp")))


def _sanitizer() -> tuple[str, ...]:
    wish = os.environ.get("MINIFCN_EMULATOR", "")
    if wish not in ("", "thread"):
        raise ValueError(f"MINIFCN_EMULATOR: expected thread, got {wish!r}. Unset it, or look for races with `thread`.")
    return ("-fsanitize=thread",) if wish else ()


def _built(name: str, text: str, options: tuple[str, ...], source: str = "") -> Path:
    """A file that g++ makes, or made before from the same text with the same options."""
    digest = hashlib.sha256("\n".join((_emulator_hash(), text, *OPTIONS, *options, source)).encode()).hexdigest()[:16]
    path = cache_folder("emulator") / f"{digest}-{name}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # whole or not at all
            made = Path(folder) / name
            done = subprocess.run([compiler(), *OPTIONS, *options, "-o", str(made)], input=source, text=True,
                                  capture_output=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{name}: expected {compiler()} to compile it, got\n{done.stderr}")
            os.replace(made, path)
    return path


@functools.cache
def compiler() -> str:
    """The C++ compiler: CXX of the environment, else g++. Raises RuntimeError if there is none."""
    name = os.environ.get("CXX") or "g++"
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"cuda: expected a C++20 compiler to run CUDA kernels on NumPy arrays, got no {name}. "
                           f"Install g++ 11 or newer, or name another one by CXX.")
    return found


@functools.cache
def _emulator_hash() -> str:
    version = subprocess.run([compiler(), "--version"], text=True, capture_output=True, check=True).stdout
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in ("emulator.h", "emulator.cpp")]
    return hashlib.sha256("\n".join([version, *texts]).encode()).hexdigest()
