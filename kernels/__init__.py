"""The hot loops, written four times: one pass of one op is one plain function of arrays and numbers.

    reference   plain Python loops: the definition, and what a beginner steps through
    array       the same passes vectorised, on NumPy or CuPy alike
    cpu         the same in numba
    cuda        the same in CUDA C++; on NumPy's arrays it runs emulated, for trust and for learning

The four folders have the same file names, function names and signatures. Which one runs is decided at each call by
the type of the array (numpy -> cpu, cupy -> cuda), by the environment variable MINIFCN_KERNELS, or inside

    with use_kernels("reference"):
        ...

Winograd's convolution multiplies less and rounds more, so it can be forbidden: by MINIFCN_WINOGRAD=0, or inside
`with use_winograd(False)`.

A kernel validates nothing and has no defaults: `minifcn.ops` checks arguments and computes sizes before it calls one.
This package never imports minifcn.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from . import _trace

FOLDERS = ("reference", "array", "cpu", "cuda")
_loaded: dict[str, ModuleType] = {}
_chosen: ContextVar[str | None] = ContextVar("minifcn_kernels", default=None)
_winograd: ContextVar[bool | None] = ContextVar("minifcn_winograd", default=None)


def array_module(x: Any) -> ModuleType:
    """numpy or cupy, whichever made `x`. CuPy is never imported here: an array of it proves that it already was."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    import numpy  # not above: most of this package's users begin with `--help`, which needs none of it

    return numpy


@contextlib.contextmanager
def use_kernels(folder: str) -> Iterator[None]:
    """Run everything inside the `with` block on one kernel folder, whatever the arrays are.

    Raises ValueError for a name that is none of FOLDERS.
    """
    token = _chosen.set(_known(folder, "use_kernels"))
    try:
        yield
    finally:
        _chosen.reset(token)


def folder_for(x: Any) -> str:
    """The name of the kernel folder that arrays like `x` are computed with, here and now."""
    chosen = _chosen.get() or os.environ.get("MINIFCN_KERNELS")
    if chosen:
        return _known(chosen, "MINIFCN_KERNELS")
    return "cpu" if array_module(x).__name__ == "numpy" else "cuda"


def kernels_for(x: Any) -> ModuleType:
    """The kernel folder for arrays like `x`, as a module: `kernels_for(x).conv2d(x, weight, ...)`."""
    name = folder_for(x)
    folder = _loaded.get(name) or _load(name)
    return _trace.Traced(folder) if _trace.enabled() else folder  # type: ignore[return-value]


def _load(name: str) -> ModuleType:
    """Imported when it is first asked for: numba takes half a second."""
    _loaded[name] = importlib.import_module(f".{name}", __name__)
    return _loaded[name]


@contextlib.contextmanager
def use_winograd(allowed: bool) -> Iterator[None]:
    """Allow or, with False, forbid Winograd's convolution inside the `with` block: the nearest block counts.

    Without it float32 sums are those of the definition in another order, and nothing else. float64 never uses it.
    Raises TypeError for anything but a bool.
    """
    if not isinstance(allowed, bool):
        raise TypeError(f"use_winograd: expected True or False, got {allowed!r}. False forbids it.")
    token = _winograd.set(allowed)
    try:
        yield
    finally:
        _winograd.reset(token)


def winograd_allowed() -> bool:
    """Whether a convolution in float32 may go by Winograd here and now: yes, unless it was forbidden."""
    chosen = _winograd.get()
    if chosen is not None:
        return chosen
    wish = os.environ.get("MINIFCN_WINOGRAD") or "1"
    if wish not in ("0", "1"):
        raise ValueError(f"MINIFCN_WINOGRAD: expected 0 or 1, got {wish!r}. Set it to 0 to forbid Winograd.")
    return wish == "1"


def _known(folder: str, who: str) -> str:
    if folder not in FOLDERS:
        raise ValueError(f"{who}: expected one of {', '.join(FOLDERS)}, got {folder!r}. Choose one of these folders.")
    return folder
