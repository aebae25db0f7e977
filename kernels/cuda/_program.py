"""A .cu file and its launches: on a GPU for CuPy's arrays, on the emulator for NumPy's.

    _CU = Program("relu")                                   # relu.cu in this folder
    _CU.run("relu", x.size, x, y, np.int64(x.size))         # at least x.size threads, in blocks
    _CU.run("max_pool2d", (pixels, planes), x, y, planes)   # and `planes` blocks deep in the second direction

What the kernels of this folder agree on:

- A file is compiled once for each dtype (REAL is float or double), and for each number of threads a block has (THREADS,
  a power of two from 32 to 256; 64 on the emulator) and each set of further constants that its launcher declares.
- Blocks are rows of threads. In the first direction there are at least as many threads as there is work, so a kernel
  begins with a comparison, or strides over the rest. In the second and third there are at most 65535 blocks, CUDA's
  bound, and a kernel strides: `for (int plane = blockIdx.y; plane < planes; plane += gridDim.y)`.
- A Python int is an `int` and a Python float a REAL; NumPy's numbers are what they are (`np.int64` a `long long`,
  `np.float64` a `double`); None is a null pointer. Offsets into arrays are computed in `long long`, because a batch may
  have more than 2**31 numbers.
- Arrays are contiguous: `contiguous(x)` sees to it.
"""

import functools
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import array_module

FOLDER = Path(__file__).parent
MOST_BLOCKS = 65535  # in the second and the third direction
REALS = {"float32": "float", "float64": "double"}


class Program:
    """A .cu file, with the sets of constants that it is launched with: Program("conv", {"TAPS": 1}, {"TAPS": 9}).

    Attributes:
        constants: those sets, declared so that each can be compiled before anybody needs it; one empty set, if none is.
        name: of the file, without its ending.
        text: what it says, its headers put in: a compiler needs no folder, and who keeps machine code by a hash of the
            text sees a header change.
        kernels: the names of its kernels.
        meets: whether threads of a block share anything or wait for each other.
    """

    def __init__(self, name: str, *constants: dict[str, int], folder: Path = FOLDER) -> None:
        self.name, self.path, self.constants = name, folder / f"{name}.cu", constants or ({},)

    @functools.cached_property
    def text(self) -> str:
        return _with_headers(self.path, set())

    @functools.cached_property
    def kernels(self) -> tuple[str, ...]:
        return tuple(re.findall(r'__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(', self.text))

    @functools.cached_property
    def meets(self) -> bool:
        return re.search(r"__shared__|__syncthreads|_sync\(", self.text) is not None

    def run(self, kernel: str, work: Any, *arguments: Any, threads: int = 256, **constants: int) -> None:
        """Launch a kernel on `work` threads, or (threads, blocks) or (threads, blocks, blocks); none if there is none.

        Raises ValueError for constants that were not declared and for an array that is not contiguous, OverflowError
        for a number that is no `int`.
        """
        if constants not in self.constants:
            raise ValueError(f"{self.name}: expected constants that Program declares, {self.constants}, got "
                             f"{constants}. Declare these too: the tests compile what is declared for every GPU.")
        wide, *deep = (int(size) for size in (work if isinstance(work, tuple) else (work,)))
        if not wide or not all(deep):
            return
        array = _first_real(self.name, arguments)
        machine = _machine(array_module(array))
        threads = _threads(wide, min(threads, machine.MOST_THREADS), machine.MOST_THREADS)
        grid = (-(-wide // threads), *(min(blocks, MOST_BLOCKS) for blocks in deep), 1, 1)[:3]
        values = [_value(self.name, a, array.dtype) for a in arguments]
        machine.launch(self, kernel, grid, threads, values, defines(array.dtype, threads, constants))


def defines(dtype: Any, threads: int, constants: dict[str, int]) -> tuple[str, ...]:
    """The compiler's options that a launch needs."""
    given = {"REAL": REALS[np.dtype(dtype).name], "THREADS": threads, **constants}
    return tuple(f"-D{name}={value}" for name, value in given.items())


def contiguous(x: Any) -> Any:
    """`x` with its numbers in a row, as the kernels index it: itself, if it is so already."""
    return array_module(x).ascontiguousarray(x)


def empty(like: Any, shape: tuple[int, ...], dtype: Any = None) -> Any:
    """A new array beside `like`. For the emulator it is full of NaN (or -1): a number that no kernel wrote shows."""
    xp = array_module(like)
    made = xp.empty(shape, dtype or like.dtype)
    if xp is np and made.size:
        made.reshape(-1).view(np.uint8)[:] = 0xFF
    return made


def is_array(value: Any) -> bool:
    """An array, of any device, and not one of NumPy's numbers."""
    return hasattr(value, "dtype") and not isinstance(value, np.generic)


def _first_real(who: str, arguments: tuple) -> Any:
    """What decides REAL, and where the launch runs."""
    for argument in arguments:
        if is_array(argument) and argument.dtype.name in REALS:
            return argument
    raise TypeError(f"{who}: expected an array of float32 or float64 among the arguments, got none. "
                    f"A kernel of integers alone needs one too: it decides what REAL is.")


def _machine(xp: ModuleType) -> ModuleType:
    from . import _emulator, _gpu  # here, because they import this file

    return _emulator if xp is np else _gpu


def _threads(wide: int, asked: int, most: int) -> int:
    """A power of two: small work does not need large blocks. The emulator has one size, to compile each file once."""
    if most <= 64:
        return most
    return max(32, min(asked, 1 << (wide - 1).bit_length()))


def _value(who: str, argument: Any, dtype: Any) -> Any:
    """An argument as the kernel's parameter has it: None, an array, or a number of NumPy's of the right size."""
    if argument is None or isinstance(argument, np.generic):  # before float: NumPy's doubles are Python's too
        return argument
    if isinstance(argument, (bool, int)):
        return np.int32(argument) if -(2**31) <= argument < 2**31 else _too_large(who, argument)
    if isinstance(argument, float):
        return np.dtype(dtype).type(argument)
    if is_array(argument) and not argument.flags.c_contiguous:
        raise ValueError(f"{who}: expected contiguous arrays, got one with strides {argument.strides} for the shape "
                         f"{argument.shape}. The launcher has to pass contiguous(x).")
    return argument


def _too_large(who: str, number: int) -> Any:
    raise OverflowError(f"{who}: expected numbers below 2**31, got {number}. Use smaller batches or images.")


def _with_headers(path: Path, seen: set[str]) -> str:
    """The text with each `#include "..."` replaced by that file, once."""

    def put_in(found: re.Match) -> str:
        name = found[1]
        if name in seen:
            return ""
        seen.add(name)
        beside = path.parent / name
        return _with_headers(beside if beside.exists() else FOLDER / name, seen)

    return re.sub(r'#include "(\w+\.h)"\n', put_in, path.read_text(encoding="utf-8").replace("#pragma once\n", ""))
