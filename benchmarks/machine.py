"""What was measured on, and with which versions: a figure without these means nothing."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from .inputs import last_level_cache

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "onnxruntime")


def describe() -> dict[str, Any]:
    import threadpoolctl

    import minifcn
    from minifcn.kernels.cpu._processor import VECTOR_BITS

    blas = [f"{info['internal_api']} {info['version']}, loops for {info.get('architecture', 'unknown')}"
            for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return {
        "processor": processor(), "cores": len(os.sched_getaffinity(0)), "vector_bits": VECTOR_BITS,
        "last_level_cache": last_level_cache(), "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "minifcn": minifcn.__version__,
        "graph": "fused" if hasattr(minifcn, "fuse") else "not fused",
        "versions": versions(PACKAGES),
        "numpy_blas": "; ".join(blas), "pytorch": _pytorch(),
        "environment": environment("OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "DNNL_", "ONEDNN_"),
    }


def lines(machine: dict[str, Any]) -> list[str]:
    """The same for people."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        f"{machine['processor']}, {machine['cores']} cores, vectors of {machine['vector_bits']} bits, "
        f"last-level cache {machine['last_level_cache'] >> 20} MiB",
        f"minifcn {machine['minifcn']} (graphs {machine['graph']}), Python {machine['python']}, {versions}",
        f"NumPy multiplies with {machine['numpy_blas']}; PyTorch: {machine['pytorch']}",
    ]


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Of those that are installed."""
    return {name: version for name in packages if (version := _version(name))}


def environment(*beginnings: str) -> dict[str, str]:
    """The variables whose names begin so, and minifcn's own. Not where anything lies."""
    return {name: value for name, value in sorted(os.environ.items())
            if name.startswith(("MINIFCN_", *beginnings)) and os.sep not in value}


def processor() -> str:
    try:
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        return named[0].split(":")[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _pytorch() -> str:
    if _version("torch") is None:
        return "not installed"
    import torch

    onednn = "oneDNN on" if torch.backends.mkldnn.is_available() else "without oneDNN"
    return f"{torch.backends.cpu.get_cpu_capability()}, {onednn}"
