"""Initialisers: what the numbers of a network are before it has learned anything.

An initialiser is a function `(shape, rng, dtype) -> array`. The ones with a setting are made by a call:

    Conv2d(3, 64, 3, weight_init=init.gaussian(0.01), rng=0)
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import numpy as np

Initialiser = Callable[[tuple[int, ...], np.random.Generator, np.dtype], np.ndarray]
_shapes_only: ContextVar[bool] = ContextVar("minifcn_shapes_only", default=False)


def make(initialiser: Initialiser, shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
    """What layers call: the array of `initialiser`, or inside `shapes_only` a read-only zero of that shape."""
    if _shapes_only.get():
        return np.broadcast_to(np.zeros((), dtype), shape)
    return initialiser(shape, rng, dtype)


@contextlib.contextmanager
def shapes_only() -> Iterator[None]:
    """Layers built inside the `with` block take no memory for weights: enough to count or to draw a network."""
    token = _shapes_only.set(True)
    try:
        yield
    finally:
        _shapes_only.reset(token)


def zero(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
    """All zeros: biases, and the score layers of the published FCNs."""
    return np.zeros(shape, dtype)


def constant(value: float) -> Initialiser:
    """All the same number."""

    def fill(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return np.full(shape, value, dtype)

    return fill


def gaussian(std: float, mean: float = 0.0) -> Initialiser:
    """Normally distributed with a fixed standard deviation (Caffe's `gaussian` filler)."""

    def fill(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return rng.normal(mean, std, shape).astype(dtype)

    return fill


def he(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
    """Normal with variance 2 / fan_in: keeps the size of activations through ReLU layers (He et al. 2015, eq. 10)."""
    fan_in, _ = fans(shape)
    return rng.normal(0.0, math.sqrt(2.0 / fan_in), shape).astype(dtype)


def xavier(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
    """Uniform with variance 2 / (fan_in + fan_out), for linear or symmetric layers (Glorot, Bengio 2010, eq. 16)."""
    bound = math.sqrt(6.0 / sum(fans(shape)))
    return rng.uniform(-bound, bound, shape).astype(dtype)


def bilinear(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
    """Bilinear upsampling for a transposed convolution's weight (C, O/groups, K, K), K = 2*stride - stride % 2.

    Every channel goes to itself only, so the filter is bilinear at [c, c] and zero elsewhere; with one filter for each
    group (O/groups = 1) it is bilinear everywhere. Source: the FCN reference code, `surgery.py`; Long, Shelhamer,
    Darrell 2015, section 3.3.

    Raises ValueError for a kernel that is not square or channel counts that differ.
    """
    channels, outputs, kh, kw = shape
    if kh != kw:
        raise ValueError(f"init.bilinear: expected a square kernel, got {kh}x{kw}. Use one kernel size for both axes.")
    if outputs not in (1, channels):
        raise ValueError(f"init.bilinear: expected as many output as input channels ({channels}), got {outputs}. "
                         f"Bilinear upsampling maps each channel to itself.")
    kernel = np.outer(bilinear_profile(kh), bilinear_profile(kw))  # (K, K)
    weight = np.zeros(shape, dtype)
    source = np.arange(channels)
    weight[source, source if outputs > 1 else 0] = kernel
    return weight


def bilinear_profile(size: int) -> np.ndarray:
    """The triangle 1 - |i - centre| / factor over `size` taps: (size,). For size 4: 0.25, 0.75, 0.75, 0.25."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    return 1 - np.abs(np.arange(size) - centre) / factor


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs an output sums over, and how many outputs an input reaches: (O, C/groups, KH, KW) or (O, F)."""
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps
