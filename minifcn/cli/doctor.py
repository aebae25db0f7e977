"""minifcn doctor: what this machine has, and which kernels run on it."""

import argparse
import os
import platform
from importlib import metadata
from typing import Any

from .options import add_json, print_json

PACKAGES = ("numpy", "scipy", "numba", "pillow", "rich", "safetensors", "threadpoolctl", "filelock", "matplotlib",
            "cupy", "torch")
WITHOUT_AVX512 = ("Haswell", "Zen", "SandyBridge", "Nehalem", "Prescott", "Core2", "Excavator", "Steamroller")
WATCHED = ("MINIFCN_", "OPENBLAS_", "OMP_", "MKL_", "NUMBA_")  # environment variables that change how it runs


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor", help="what this machine has", description=__doc__,
        epilog="example:\n  minifcn doctor --json", formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    report = examine()
    if arguments.json:
        print_json(report)
        return 0
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in report.items():
        if isinstance(value, dict):
            value = "\n".join(f"{key}: {text}" for key, text in value.items())
        table.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", escape(str(value)))
    Console().print(table)
    return 0


def examine() -> dict[str, Any]:
    """Everything that the command prints."""
    from .. import __version__
    from ..arrays import gpu_status

    ok, reason = gpu_status()
    return {
        "minifcn": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "processor": _processor(),
        "compiled_kernels": _compiled(),
        "matrix_products": _blas(),
        "gpu": _gpus() if ok else f"no: {reason}",
        "kernels": kernels(),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(WATCHED)},
    }


def _gpus() -> dict[str, str]:
    """The GPUs that CuPy computes on, and what it does that with. Asked only where one works."""
    import importlib

    from ..arrays import version_of

    cupy = importlib.import_module("cupy")
    runtime, found = cupy.cuda.runtime, {}
    for number in range(runtime.getDeviceCount()):
        facts = runtime.getDeviceProperties(number)
        with cupy.cuda.Device(number):
            free, total = runtime.memGetInfo()
        found[f"cuda:{number}"] = (
            f"{facts['name'].decode()}, compute capability {facts['major']}.{facts['minor']}, "
            f"{total / 2**30:.1f} GiB of memory, {free / 2**30:.1f} free"
        )
    nvrtc = ".".join(str(part) for part in cupy.cuda.nvrtc.getVersion())
    return found | {"driver": f"for CUDA {version_of(runtime.driverGetVersion())}",
                    "runtime": f"CUDA {version_of(runtime.runtimeGetVersion())}",
                    "CuPy": cupy.__version__, "NVRTC": nvrtc}


def kernels() -> dict[str, str]:
    """Which kernel folder computes what, here and now."""
    import numpy

    from ..kernels import folder_for
    from ..kernels.cuda._emulator import compiler

    chosen = os.environ.get("MINIFCN_KERNELS")
    try:
        emulator = f"emulated, with {compiler()}"
    except RuntimeError as error:
        emulator = f"no: {error}"
    return {"numpy": folder_for(numpy.empty(0)), "cupy": chosen or "cuda", "cuda without a GPU": emulator}


def _version(name: str) -> str:
    names = ("cupy", "cupy-cuda12x", "cupy-cuda13x") if name == "cupy" else (name,)
    for candidate in names:
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def _processor() -> dict[str, Any]:
    """Cores, and what the compiled kernels make of them."""
    from ..kernels.cpu import _processor as processor
    from ..kernels.cpu import _threads

    return {
        "cores": os.cpu_count(),
        "threads": f"{_threads.thread_count()} (MINIFCN_NUM_THREADS)",
        "vectors": f"{processor.VECTOR_BITS} bits, {processor.LANES} float32 numbers at a time (MINIFCN_VECTOR)",
    }


def _compiled() -> dict[str, Any]:
    """Where machine code is kept, and how much of it."""
    from ..kernels.cpu import _compile

    folder = _compile.cache_folder()
    functions = list(folder.rglob("*.nbc"))
    size = sum(path.stat().st_size for path in functions)
    return {"folder": str(folder), "kept": f"{len(functions)} functions, {size / 2**20:.1f} MiB"}


def _blas() -> str:
    """Which library multiplies NumPy's matrices, for which processor, on how many threads; and a word if it is old.

    Only `array` kernels and NumPy itself need it. OpenBLAS takes the newest set of loops that it knows for this
    processor, or the one that OPENBLAS_CORETYPE asks for.
    """
    import numpy  # noqa: F401  loads the library that is asked about here
    from threadpoolctl import threadpool_info

    from ..kernels.cpu import _processor as processor

    found = []
    for info in threadpool_info():
        if info["user_api"] == "blas":
            loops = info.get("architecture", "unknown")
            name = f"{info['internal_api']} {info.get('version')}"
            found.append(f"{name}, loops for {loops}, {info['num_threads']} threads")
            if processor.FEATURES.get("avx512f") and loops in WITHOUT_AVX512:
                found.append("these use half of this processor's vectors: unset OPENBLAS_CORETYPE, or update NumPy")
    return "; ".join(found) or "unknown"
