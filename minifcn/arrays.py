"""Where arrays live, and how they move: an array's type is its device, so nothing here is remembered globally.

    device, note = resolve_device("auto")        # ("cuda:0", "") or ("cpu", "running on the CPU: <why>")
    x = to_device(x, device)                     # a numpy or a cupy array; everything after this follows its type
    y = to_numpy(net.forward(x))

CuPy is optional and is imported only when somebody asks about a GPU.
"""

import contextlib
import functools
import importlib
import re
from typing import Any

import numpy as np

from .kernels import array_module, use_kernels, use_winograd

__all__ = [
    "all_finite", "array_module", "device_of", "gpu_status", "numbers_of", "resolve_device", "to_device", "to_numpy",
    "use_device", "use_kernels", "use_winograd",
]


@functools.lru_cache(maxsize=1)
def gpu_status() -> tuple[bool, str]:
    """Whether CUDA arrays can be computed with here, and why not: `(ok, reason)`. Never raises; asked once a process.

    `import cupy` succeeds on a machine without any GPU, or without the compiler library that CuPy's kernels need, so
    in the end only a small computation whose result is looked at says whether it works.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError:
        return False, "CuPy is not installed"
    except Exception as error:  # a half-installed CuPy fails with more than ImportError
        return False, f"cupy not importable: {_one_line(error)}"
    reason = ""
    for check in (_driver_fault, _device_fault, _compiler_fault, _result_fault):
        try:
            reason = reason or check(cupy)
        except Exception as error:
            reason = _one_line(error)
    return not reason, reason or "ok"


def _driver_fault(cupy: Any) -> str:
    """CuPy is built for one CUDA version; a driver of an earlier one refuses everything."""
    driver, wanted = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    if driver == 0:
        return "no NVIDIA driver"
    if driver // 1000 < wanted // 1000:  # within a major version old drivers run newer programs
        return (f"the driver is too old: it is for CUDA {version_of(driver)}, and CuPy for {version_of(wanted)}; "
                f"update the driver or install CuPy for CUDA {driver // 1000}")
    return ""


def _device_fault(cupy: Any) -> str:
    return "" if cupy.cuda.runtime.getDeviceCount() > 0 else "no CUDA device visible"


def _compiler_fault(cupy: Any) -> str:
    """CuPy compiles its kernels when they are first used, by NVRTC, which is a library of its own."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        return f"CuPy finds no NVRTC to compile with: {_one_line(error)}; the extra [ctk] of CuPy brings it"
    return ""


def _result_fault(cupy: Any) -> str:
    a = cupy.arange(4, dtype=cupy.float32)
    total = float((a * a).sum())  # allocate, compile, launch, copy back
    return "" if total == 14.0 else f"wrong result: 0 + 1 + 4 + 9 came back as {total:g}"


def version_of(number: int) -> str:
    """12080, as CUDA counts, is 12.8."""
    return f"{number // 1000}.{number % 1000 // 10}"


def resolve_device(spec: str) -> tuple[str, str]:
    """What `--device` means on this machine: `(device, note)`, the device being "cpu" or "cuda:<number>".

    Only "auto" falls back to the CPU, and then `note` says so with the reason; it is "" where there is nothing to say.
    Raises ValueError for a name that is none, RuntimeError with the reason if "cuda" is asked for and cannot be had.
    """
    found = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", spec)
    if found is None:
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:<number>, got {spec!r}. Choose one of these.")
    if spec == "cpu":
        return "cpu", ""
    ok, reason = gpu_status()
    if spec == "auto":
        return ("cuda:0", "") if ok else ("cpu", f"running on the CPU: {reason}")
    if not ok:
        raise RuntimeError(f"device: expected a working GPU for {spec!r}, got: {reason}. Use 'auto' or 'cpu'; for "
                           f"a GPU install minifcn[gpu12] or minifcn[gpu13], as its driver's CUDA version is.")
    number = int(found[1] or 0)
    count = importlib.import_module("cupy").cuda.runtime.getDeviceCount()
    if number >= count:
        raise RuntimeError(f"device: expected a number below {count}, the CUDA devices visible, got {spec!r}. "
                           f"Choose another, or look at CUDA_VISIBLE_DEVICES.")
    return f"cuda:{number}", ""


def to_device(x: Any, device: str) -> Any:
    """`x` on "cpu", "cuda[:i]" or "auto": the very same array if it is there already, otherwise a copy.

    Raises what `resolve_device` raises.
    """
    place, _ = resolve_device(device)
    if place == "cpu":
        return to_numpy(x)
    with _gpu(place):
        return importlib.import_module("cupy").asarray(x)


def use_device(device: str) -> contextlib.AbstractContextManager:
    """For a `with` block in which new arrays and computations are on a device: CuPy's are on the current GPU.

    Raises what `resolve_device` raises.
    """
    place, _ = resolve_device(device)
    return contextlib.nullcontext() if place == "cpu" else _gpu(place)


def _gpu(place: str) -> Any:
    """CuPy's name for "cuda:<number>"."""
    return importlib.import_module("cupy").cuda.Device(int(place.removeprefix("cuda:")))


def device_of(x: Any) -> str:
    """Where an array is: "cpu" or "cuda:<number>"."""
    return "cpu" if array_module(x) is np else f"cuda:{x.device.id}"


def to_numpy(x: Any) -> np.ndarray:
    """`x` as a NumPy array. Only an array on a GPU, or what is no array yet, is copied."""
    module = array_module(x)
    return np.asarray(x) if module is np else module.asnumpy(x)


def all_finite(array: Any) -> Any:
    """Whether all numbers are: a 0-d array beside them, which nobody has waited for yet."""
    return array_module(array).isfinite(array).all()


def numbers_of(*values: Any) -> list[float]:
    """Numbers and 0-d arrays as Python floats. Those on a GPU come over in one copy, so that the host waits once."""
    found = list(values)
    there = [k for k, value in enumerate(values) if array_module(value) is not np]
    if there:  # float64 has room for every float32 and for counts up to 2**53
        xp = array_module(values[there[0]])
        read = xp.stack([values[k].astype(np.float64) for k in there]).get()
        for k, number in zip(there, read, strict=True):
            found[k] = number
    return [float(value) for value in found]


def _one_line(error: Exception) -> str:
    """CUDA's messages may go on for lines; a reason is printed in a table."""
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first}"
