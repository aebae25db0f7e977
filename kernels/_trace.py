"""MINIFCN_TRACE=1: every pass says on stderr what it did, by which algorithm, and how fast.

    conv2d  1x64x224x224 64x64x3x3  winograd  5.312 ms  696 GFLOP/s  4.9 GB/s

FLOPs are those of the definition, so an algorithm that saves multiplications may show more than the processor has.
Bytes are those of the arrays that went in and came out, each once.
"""

import os
import sys
import time
from types import ModuleType
from typing import Any

_chosen: list[str] = []  # algorithms that the pass which is running has named


def enabled() -> bool:
    return os.environ.get("MINIFCN_TRACE", "") not in ("", "0")


def chose(algorithm: str) -> None:
    """A pass that has several algorithms says which one it took."""
    _chosen[:] = [algorithm]


class Traced:
    """A kernel folder whose passes report themselves."""

    def __init__(self, folder: ModuleType) -> None:
        self._folder = folder
        self.__name__ = folder.__name__

    def __getattr__(self, name: str) -> Any:
        work = getattr(self._folder, name)

        def traced(*args: Any) -> Any:
            _chosen.clear()
            start = time.perf_counter()
            result = work(*args)
            seconds = time.perf_counter() - start
            print(_line(name, args, result, seconds), file=sys.stderr)
            return result

        return traced if callable(work) else work


def _line(name: str, args: tuple, result: Any, seconds: float) -> str:
    given, made = _arrays(args), _arrays(result if isinstance(result, tuple) else (result,))
    shapes = " ".join("x".join(map(str, a.shape)) for a in given if a.ndim)
    parts = [name, shapes, *_chosen, f"{seconds * 1e3:.3f} ms"]
    flops = _flops(name, args, result)
    if flops:
        parts.append(f"{flops / seconds / 1e9:.0f} GFLOP/s")
    parts.append(f"{sum(a.nbytes for a in (*given, *made)) / seconds / 1e9:.1f} GB/s")
    return "  ".join(parts)


def _arrays(values: Any) -> list[Any]:
    """Those among some values, and in lists among them: an optimiser's step has one for each parameter."""
    flat = [a for value in values for a in (value if isinstance(value, list) else (value,))]
    return [a for a in flat if hasattr(a, "nbytes")]


def _flops(name: str, args: tuple, result: Any) -> int:
    """Two for each tap of each output pixel of a convolution; 0 for every other pass."""
    if name in ("conv2d", "conv2d_relu"):
        return 2 * result.size * args[1][0].size
    if name in ("conv2d_prepared", "conv2d_relu_prepared"):
        kh, kw = args[5:7]
        return 2 * result.size * (args[0].shape[1] // args[-1]) * kh * kw
    if name == "conv2d_grad_input":
        return 2 * args[0].size * args[1][0].size
    if name == "conv2d_grad_weight":
        return 2 * args[0].size * result[0].size
    return 0
