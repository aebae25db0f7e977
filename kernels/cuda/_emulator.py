"""A launch without a GPU: g++ builds the .cu file with emulator.h in front, and ctypes calls it on NumPy's arrays.

    with use_kernels("cuda"):
        y, cache = ops.relu(x)          # x is NumPy's: kernels/cuda/relu.cu runs here, a thread of the system a thread

It is for trust and for learning, not for speed. Beside what the kernel computes it looks at

- the types of the arguments that the launcher passes, which a GPU would read as whatever the kernel expects;
- barriers and shuffles that only a part of a block comes to;
- what a kernel writes outside its arrays, and, by NaN, what it reads there: the arrays are copied to a memory of their
  own, as to a GPU's, with a margin around each;
- shared memory that is read before it is written, by NaN too;
- indices outside of a shared array, integers that overflow, `float4` pointers that are not aligned.

MINIFCN_EMULATOR=thread builds for ThreadSanitizer, which sees two threads at one address; its library must be loaded
before Python. MINIFCN_EMULATOR=debug builds for a debugger, line by line. `minifcn.kernels.cuda.races` and
`minifcn.kernels.cuda.step` do the rest.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .._cache import cache_folder
from ._program import FOLDER, is_array

MOST_THREADS = 64  # of a block: two warps
MARGIN = 4096  # bytes around each array
ALIGNED = 16  # bytes: an array that begins at such an address on the processor does so in the memory of the emulator
FAULTS = "bounds,alignment,signed-integer-overflow,integer-divide-by-zero,shift,float-cast-overflow"
OPTIONS = ("-std=c++20", "-g", "-fPIC", "-pthread", "-fvisibility=hidden", "-ffp-contract=off",
           "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-sign-compare")  # a GPU's thread numbers are unsigned
CHECKED = (f"-fsanitize={FAULTS}", "-fno-sanitize-recover=all")
# Bits that no kernel is likely to write: for floats a NaN that any arithmetic turns into another one ("signalling").
STRANGE = {"float32": 0xFFBFFFFF, "float64": 0xFFF7FFFFFFFFFFFF}


def launch(program: Any, kernel: str, grid: tuple, threads: int, values: list[Any], defines: tuple[str, ...]) -> None:
    """Run a kernel of a `Program` to its end. Raises RuntimeError for what is named above, TypeError for the types."""
    libraries = _libraries(program, defines)
    _check_types(program.name, kernel, getattr(libraries[0], f"types_{kernel}")().decode().split(), values)
    memory = _memory(program.name, values)
    numbers = [_given(value, memory) for value in values]
    addresses = (ctypes.c_void_p * len(numbers))(*(number.ctypes.data for number in numbers))

    why = ctypes.create_string_buffer(500)
    order = _Launch((ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(threads, 1, 1), program.meets,
                    ctypes.cast(addresses, ctypes.c_void_p), ctypes.cast(why, ctypes.c_void_p))
    functions = [getattr(library, f"launch_{kernel}") for library in libraries]
    if len(functions) == 2:
        libraries[0].launch_both(*functions, ctypes.byref(order))
    else:
        functions[0](ctypes.byref(order), 0)
    if why.value:
        raise RuntimeError(f"{program.name}.cu: expected {kernel} to come to its end, got {why.value.decode()}.")
    for one in memory.values():
        one.back(f"{program.name}.cu: expected {kernel} to write inside its arrays, got writes outside of")


class _Launch(ctypes.Structure):
    """Launch of emulator.h."""

    _fields_ = (("grid", ctypes.POINTER(ctypes.c_uint)), ("block", ctypes.POINTER(ctypes.c_uint)),
                ("meets", ctypes.c_bool), ("values", ctypes.c_void_p), ("why", ctypes.c_void_p))


class _Memory:
    """A copy of an array with a margin on both sides, as in the memory of a GPU."""

    def __init__(self, array: np.ndarray, number: int) -> None:
        self.array, self.number = array, number
        bits = np.dtype(f"u{array.itemsize}")
        most = STRANGE.get(array.dtype.name, np.iinfo(bits).max)
        self.strange = bits.type(most - number)  # another for each argument: a number that one took from another shows
        self.start = (MARGIN + array.ctypes.data % ALIGNED) // array.itemsize
        self.all = np.full(self.start + array.size + MARGIN // array.itemsize, self.strange, bits)
        self.there = array.reshape(-1).view(bits)
        self.inside = self.all[self.start : self.start + array.size]
        self.inside[:] = self.there
        self.address = self.inside.ctypes.data

    def back(self, complaint: str) -> None:
        """Copy to the array what has changed. Raises RuntimeError if the margin has."""
        around = (self.all[: self.start], self.all[self.start + self.array.size :])
        if any((margin != self.strange).any() for margin in around):
            raise RuntimeError(f"{complaint} argument {self.number}, of shape {self.array.shape}.")
        if not np.array_equal(self.there, self.inside):
            self.there[:] = self.inside


def _memory(who: str, values: list[Any]) -> dict[tuple, _Memory]:
    """A memory for each array: one, if a launcher passes the same array twice."""
    arrays = [(number, value) for number, value in enumerate(values) if is_array(value)]
    for number, one in arrays:
        for _, other in arrays[:number]:
            if _place(one) != _place(other) and np.may_share_memory(one, other):
                raise ValueError(f"{who}: expected arrays that are the same or apart, got two that overlap. "
                                 f"The launcher has to copy one of them.")
    memory: dict[tuple, _Memory] = {}
    for number, array in arrays:
        if _place(array) not in memory:
            memory[_place(array)] = _Memory(array, number)
    return memory


def _place(array: np.ndarray) -> tuple[int, int]:
    return array.ctypes.data, array.nbytes


def _given(value: Any, memory: dict[tuple, _Memory]) -> np.ndarray:
    """A kernel's argument, as an array of that one number or address."""
    if value is None:
        return np.asarray(np.uintp(0))
    return np.asarray(np.uintp(memory[_place(value)].address) if is_array(value) else value)


def _check_types(who: str, kernel: str, expected: list[str], values: list[Any]) -> None:
    """The kernel's parameters are what the launcher passes."""
    got = ["null" if v is None else "*" * is_array(v) + v.dtype.str[1:].replace("b", "u") for v in values]
    fits = len(got) == len(expected) and all(
        a == b or (b == "null" and a.startswith("*")) for a, b in zip(expected, got, strict=True))
    if not fits:
        raise TypeError(f"{who}.cu: expected the arguments of {kernel} to be {' '.join(expected)}, got {' '.join(got)} "
                        f"(* an array, f float, i int, u unsigned, then bytes). Change the launcher or the kernel.")


@functools.cache
def _libraries(program: Any, defines: tuple[str, ...]) -> tuple[ctypes.CDLL, ...]:
    """The compiled file. For ThreadSanitizer two copies of it, each with a shared memory of its own."""
    path = _compiled(program, defines)
    paths = (path, _copied(path)) if "-fsanitize=thread" in _purpose() else (path,)
    return tuple(_loaded(path, program.kernels) for path in paths)


def _compiled(program: Any, defines: tuple[str, ...]) -> Path:
    exports = "".join(f"EMULATED({kernel})\n" for kernel in program.kernels)
    # A namespace without a name: no function or shared array of it is taken for that of another library.
    source = f'namespace {{\n#include "{program.path.name}"\n}}\n{exports}'
    options = (*_purpose(), *defines, "-shared", "-x", "c++", "-", "-x", "none", str(_machine()))
    places = (f"-I{program.path.parent}", f"-I{FOLDER}", "-include", str(FOLDER / "emulator.h"))
    return _built(f"{program.name}.so", program.text, options, places, source)


def _loaded(path: Path, kernels: tuple[str, ...]) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for kernel in kernels:
        getattr(library, f"types_{kernel}").restype = ctypes.c_char_p
        getattr(library, f"launch_{kernel}").restype = None
    return library


def _machine() -> Path:
    """emulator.cpp, compiled."""
    races = ("-DRACES",) if "-fsanitize=thread" in _purpose() else ()
    return _built("emulator.o", "", ("-O1", *races, "-c"), (str(FOLDER / "emulator.cpp"),))


def _copied(path: Path) -> Path:
    """Another file with the same code: a library is loaded once, a copy of it once more."""
    copy = path.with_suffix(".2.so")
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            os.replace(shutil.copy(path, folder), copy)
    return copy


def _purpose() -> tuple[str, ...]:
    """The compiler's options for what MINIFCN_EMULATOR asks for."""
    wish = os.environ.get("MINIFCN_EMULATOR", "")
    purposes = {"": ("-O1", *CHECKED), "thread": ("-O1", "-fsanitize=thread"), "debug": ("-O0", *CHECKED)}
    if wish not in purposes:
        raise ValueError(f"MINIFCN_EMULATOR: expected thread or debug, got {wish!r}. Unset it, or look for races with "
                         f"`thread`, or step with `debug`.")
    return purposes[wish]


def _built(name: str, text: str, options: tuple[str, ...], places: tuple[str, ...], source: str = "") -> Path:
    """A file that g++ makes, or made before from the same text with the same options. What it warns of is a warning.

    Args:
        places: options that say where files are. What was made from the same text elsewhere is as good, but not for a
            debugger, which shows the files.
    """
    shown = places if "-O0" in options else ()
    digest = hashlib.sha256("\n".join((_emulator_hash(), name, text, *OPTIONS, *options, *shown, source)).encode())
    path = cache_folder("emulator") / f"{digest.hexdigest()[:16]}-{name}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # whole or not at all
            made = Path(folder) / name
            plain = {word: value for word, value in os.environ.items() if word != "LD_PRELOAD"}  # no ThreadSanitizer
            done = subprocess.run([compiler(), *OPTIONS, *places, *options, "-o", str(made)], input=source, text=True,
                                  capture_output=True, check=False, env=plain, cwd=folder)  # a folder without sources
            if done.returncode:
                raise RuntimeError(f"{name}: expected {compiler()} to compile it, got\n{done.stderr}")
            if done.stderr:
                warnings.warn(f"{name}: {compiler()} says\n{done.stderr}", stacklevel=2)
            os.replace(made, path)
    return path


@functools.cache
def compiler() -> str:
    """The compiler, g++ by whatever name: CXX of the environment, else g++. Raises RuntimeError if there is none."""
    name = os.environ.get("CXX") or "g++"
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"cuda: expected g++ 11 or newer to run CUDA kernels on NumPy arrays, got no {name}. "
                           f"Install it, or name one by CXX.")
    return found


@functools.cache
def _emulator_hash() -> str:
    version = subprocess.run([compiler(), "--version"], text=True, capture_output=True, check=True).stdout
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in ("emulator.h", "emulator.cpp")]
    return hashlib.sha256("\n".join([version, *texts]).encode()).hexdigest()
