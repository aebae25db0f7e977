"""Small arguments for every pass: what `races` and `step` run, and what the tests run once on every kernel folder.

    arguments = example("max_pool2d", cuda)     # cuda: the folder whose pass they are for
    y, indices = cuda.max_pool2d(*arguments)

Most launches of them have several blocks, and a last one that is not full. Where a pass chooses its kernels by the
shapes of its arguments, further examples stand under "pass: what is special": every kernel is launched by one of them.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from . import _emulator
from ._program import Program

FOLDER = __package__
N, C, H, W = 2, 4, 10, 13
O, KH, KW = 6, 3, 2  # filters
OH, OW = 4, 13  # a row is left over; the first window begins in the padding and the last one ends there
STEPS = (2, 1, 0, 1, 1, 2)  # sh, sw, ph, pw, dh, dw
GROUPS = 2
POOL = (KH, KW, *STEPS)
POOLED = (N, C, OH, OW)
KEY = 0x0123456789ABCDEF  # of random numbers
LARGE = (2, 3, 48, 50)  # more pixels than one block sums
UP = (N, C, 5, 6)  # what a transposed convolution enlarges: by 2, from its own weight
UP_STEPS = (10, 12, 4, 4, 2, 2, 1, 1, 1, 1, C)  # h, w, kh, kw, sh, sw, ph, pw, dh, dw, groups


def example(name: str, folder: ModuleType, dtype: Any = np.float32) -> tuple:
    """The arguments of a pass, the same at every call. Raises KeyError for a name that has none."""
    return EXAMPLES[name](_Numbers(dtype), folder)


class _Numbers:
    """Arrays of random numbers of a dtype."""

    def __init__(self, dtype: Any) -> None:
        self.rng, self.dtype = np.random.default_rng(0), dtype

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(self.dtype)

    def positive(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(0.5, 2, shape).astype(self.dtype)

    def places(self, shape: tuple[int, ...] = POOLED, pixels: int = H * W) -> np.ndarray:
        """Indices of an input plane, some of them more than once."""
        return self.rng.integers(0, pixels, shape, np.int32)

    def different_places(self) -> np.ndarray:
        """The same, but none of them twice in a plane."""
        planes = [self.rng.permutation(H * W)[: OH * OW] for _ in range(N * C)]
        return np.array(planes, np.int32).reshape(POOLED)

    def labels(self) -> np.ndarray:
        """Classes, and void here and there."""
        return self.rng.choice([*range(C), 255], (N, H, W))


def _conv(a, folder):
    return a(N, C, H, W), _filters(a), a(O), OH, OW, *STEPS, GROUPS


def _filters(a):
    return a(O, C // GROUPS, KH, KW)


def _deep(a, images):
    """Filters with so many taps, and so many filters, that a matrix product is worth its columns."""
    return a(images, 32, 5, 7), a(10, 32, 3, 3), a(10), 3, 7, 2, 1, 1, 1, 1, 1, 1


def _tiled(a):
    """3x3 at stride 1, with channels and pixels enough for Winograd."""
    return a(N, 32, 9, 10), a(16, 32, 3, 3), a(16), 9, 10, 1, 1, 1, 1, 1, 1, 1


def _input_grad(a, x, weight, bias, oh, ow, *rest):
    return a(len(x), len(weight), oh, ow), weight, *x.shape[2:], *rest


def _weight_grad(a, x, weight, bias, oh, ow, *rest):
    return a(len(x), len(weight), oh, ow), x, *weight.shape[2:], *rest


def _prepared(a, folder):
    kind, data = folder.prepare_conv2d(_filters(a), H, W, OH, OW, *STEPS, GROUPS)
    return a(N, C, H, W), data, kind, a(O), O, KH, KW, OH, OW, *STEPS, GROUPS


def _prepared_transposed(a, folder):
    h, w, kh, kw, *rest = UP_STEPS
    kind, data = folder.prepare_conv_transpose2d(a(C, 1, kh, kw), *UP[2:], h, w, *rest)
    return a(*UP), data, kind, *UP_STEPS


def _windows_grad(a, folder):
    """The gradient of a maximum, and where it was found."""
    _, indices = folder.max_pool2d(a(N, C, H, W), OH, OW, *POOL)
    return a(*POOLED), indices, H, W, *POOL


def _apart_grad(a, folder):
    """The same of windows that do not overlap."""
    windows = (2, 2, 2, 2, 0, 0, 1, 1)
    _, indices = folder.max_pool2d(a(N, C, H, W), 4, 6, *windows)
    return a(N, C, 4, 6), indices, H, W, *windows


def _divisor(a):
    return a.positive(4, 7)


def _normalized_grad(a, shape=(N, C, H, W)):
    mean, inv_std, weight = a(shape[1]), a.positive(shape[1]), a(shape[1])
    return a(*shape), a(*shape), mean, inv_std, weight


def _normalized(a, folder):
    _, x, *statistics = _normalized_grad(a)
    return x, *statistics, a(C)


def _normalized_relu_grad(a, folder):
    gy, x, *statistics = _normalized_grad(a)
    return gy, np.maximum(a(N, C, H, W), 0), x, *statistics


def _parameters(a):
    """A list for an optimiser: a large array, a small one."""
    return [a(7, 31), a(5)]


def _adam(a, folder):
    seconds = [a.positive(7, 31), a.positive(5)]
    return (_parameters(a), _parameters(a), _parameters(a), seconds, [0.1, 0.2], 0.9, 0.999, 1e-8, [0.0, 0.01], 3)


EXAMPLES = {
    "adam_update": _adam,
    "adaptive_avg_pool2d": lambda a, folder: (a(N, C, H, W), 4, 7),
    "adaptive_avg_pool2d: large windows": lambda a, folder: (a(N, C, H, W), 1, 2),
    "adaptive_avg_pool2d_grad": lambda a, folder: (a(N, C, 4, 7), H, W),
    "add_bias": lambda a, folder: (a(N, C, H, W), a(C)),
    "avg_pool2d": lambda a, folder: (a(N, C, H, W), _divisor(a), 4, 7, 3, 2, 2, 2, 0, 1),
    "avg_pool2d: large windows": lambda a, folder: (a(N, C, H, W), a.positive(1, 2), 1, 2, 9, 6, 9, 6, 0, 0),
    "avg_pool2d_grad": lambda a, folder: (a(N, C, 4, 7), _divisor(a), H, W, 3, 2, 2, 2, 0, 1),
    "batch_norm_frozen_grad": lambda a, folder: _normalized_grad(a),
    "batch_norm_grad": lambda a, folder: _normalized_grad(a),
    "batch_norm_grad: large": lambda a, folder: _normalized_grad(a, LARGE),
    "batch_norm_normalize": _normalized,
    "batch_norm_relu": _normalized,
    "batch_norm_relu_frozen_grad": _normalized_relu_grad,
    "batch_norm_relu_grad": _normalized_relu_grad,
    "batch_norm_statistics": lambda a, folder: (a(N, C, H, W),),
    "batch_norm_statistics: large": lambda a, folder: (a(*LARGE),),
    "channel_sums": lambda a, folder: (a(N, C, H, W),),
    "channel_sums: large": lambda a, folder: (a(*LARGE),),
    "conv2d": _conv,
    "conv2d: deep": lambda a, folder: _deep(a, N),
    "conv2d: deep, one image": lambda a, folder: _deep(a, 1),
    "conv2d: tiled": lambda a, folder: _tiled(a),
    "conv2d_grad_input": lambda a, folder: _input_grad(a, *_conv(a, folder)),
    "conv2d_grad_input: deep": lambda a, folder: _input_grad(a, *_deep(a, N)),
    "conv2d_grad_input: tiled": lambda a, folder: _input_grad(a, *_tiled(a)),
    "conv2d_grad_weight": lambda a, folder: _weight_grad(a, *_conv(a, folder)),
    "conv2d_grad_weight: deep": lambda a, folder: _weight_grad(a, *_deep(a, N)),
    "conv2d_grad_weight: tiled": lambda a, folder: _weight_grad(a, *_tiled(a)),
    "conv2d_prepared": _prepared,
    "conv2d_relu": _conv,
    "conv2d_relu_prepared": _prepared,
    "conv_transpose2d_prepared": _prepared_transposed,
    "dropout": lambda a, folder: (a(N, C, H, W), KEY, 0.4, 1),
    "dropout: channels": lambda a, folder: (a(N, C, H, W), KEY, 0.4, H * W),
    "gather": lambda a, folder: (a(N, C, H, W), a.places()),
    "local_response_norm": lambda a, folder: (a(N, C, H, W), 3, 0.1, 0.75, 1.0),
    "local_response_norm_grad": lambda a, folder: (a(N, C, H, W), a(N, C, H, W), a.positive(N, C, H, W), 3, 0.1, 0.75),
    "max_pool2d": lambda a, folder: (a(N, C, H, W), OH, OW, *POOL),
    "max_pool2d_grad": _windows_grad,
    "max_pool2d_grad: windows apart": _apart_grad,
    "prepare_conv2d": lambda a, folder: (_filters(a), H, W, OH, OW, *STEPS, GROUPS),
    "prepare_conv_transpose2d": lambda a, folder: (a(C, 1, 4, 4), *UP[2:], *UP_STEPS[:2], *UP_STEPS[4:]),
    "relu": lambda a, folder: (a(N, C, H, W),),
    "relu_grad": lambda a, folder: (a(N, C, H, W), a(N, C, H, W)),
    "relu_grad: turned": lambda a, folder: (a(C, N, H, W).swapaxes(0, 1), a(N, C, H, W)),
    "resize_bilinear": lambda a, folder: (a(N, C, 5, 6), H, W, False),
    "resize_bilinear_grad": lambda a, folder: (a(N, C, H, W), 5, 6, True),
    "scatter": lambda a, folder: (a(*POOLED), a.places(), H, W),
    "scatter: different places": lambda a, folder: (a(*POOLED), a.different_places(), H, W),
    "scatter: planes of several ranges": lambda a, folder: (a(1, 2, 17, 18), a.places((1, 2, 17, 18), 65 * 64), 65, 64),
    "sgd_update": lambda a, folder: (_parameters(a), _parameters(a), _parameters(a), [0.1, 0.2], 0.9, [0.0, 0.01]),
    "softmax_cross_entropy": lambda a, folder: (
        a(N, C, H, W), a.labels(), a.positive(C), a.positive(N, H, W), 255),
    "softmax_cross_entropy_grad": lambda a, folder: (
        a(N, C, H, W), a.labels(), a.positive(C), a.positive(N, H, W), a(N, H, W), 255, 0.1),
}


def run(name: str, folder: ModuleType, dtype: Any = np.float32, move: Callable[[Any], Any] | None = None) -> list[Any]:
    """A pass on its example, moved to a GPU for example: all that it returns, or the arrays that it changed."""
    arguments = tuple(_moved(argument, move or np.asarray) for argument in example(name, folder, dtype))
    returned = getattr(folder, pass_of(name))(*arguments)
    if returned is None:
        return [array for one in arguments for array in (one if isinstance(one, list) else [one])]
    return list(returned) if isinstance(returned, tuple) else [returned]


def _moved(argument: Any, move: Callable[[Any], Any]) -> Any:
    if isinstance(argument, list):
        return [_moved(one, move) for one in argument]
    return move(argument) if isinstance(argument, np.ndarray) else argument


def pass_of(name: str) -> str:
    """"conv2d: deep" -> "conv2d"."""
    return name.split(":")[0]


def launches(name: str) -> list[tuple[Program, str]]:
    """Run an example on this folder: which files and kernels it has launched, in their order."""
    seen = []

    def noted(program: Program, kernel: str, *rest: Any) -> None:
        seen.append((program, kernel))
        launch(program, kernel, *rest)

    launch = _emulator.launch
    with mock.patch.object(_emulator, "launch", noted):
        run(name, importlib.import_module(FOLDER))
    return list(dict.fromkeys(seen))


def programs() -> list[Program]:
    """Every .cu file that a launcher of this folder has, once for each launcher."""
    modules = [importlib.import_module(f"{FOLDER}.{found.name}")
               for found in pkgutil.iter_modules(importlib.import_module(FOLDER).__path__)]
    values = [value for module in modules for value in vars(module).values() if isinstance(value, Program)]
    return list({id(value): value for value in values}.values())


if __name__ == "__main__":  # python -m minifcn.kernels.cuda._examples relu: what `step` starts in the debugger
    launches(sys.argv[1])
