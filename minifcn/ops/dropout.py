"""Dropout: in training every number, or every channel, is set to zero with probability p, by chance.

What is kept is divided by 1 - p ("inverted" dropout), so that the expected value stays the same and evaluation has
nothing to do: there the input passes unchanged. Srivastava et al. 2014; whole channels: Tompson et al. 2015, where
neighbouring pixels are so alike that dropping single ones hides nothing.

A call draws one number, the key, from its generator; the kernels make all chances from that (Salmon et al. 2011: see
`minifcn.kernels.reference.dropout`). So a seed means the same mask on every device, nothing is copied to a GPU, and the
backward pass needs no mask: it makes the chances again.
"""

import numpy as np

from ..kernels import kernels_for
from .check import Array, check_array, check_float, check_gradient, wanted


def dropout(x: Array, *, p: float, rng: int | np.random.Generator, training: bool) -> tuple[Array, tuple]:
    """Set single numbers to zero with probability p.

    Args:
        x: any shape, float32 or float64.
        p: probability of being dropped, 0 to 1. 1 drops everything.
        rng: int or numpy Generator. A Generator moves on with every call in training; in evaluation nothing is drawn.
        training: False returns x itself, not a copy.

    Returns:
        y of the shape of x, and the cache for `dropout_backward`.

    Raises ValueError for p out of range, TypeError for another dtype.
    """
    check_float("dropout", "x", x)
    return _drop("dropout", x, 1, p, rng, training)


def spatial_dropout(x: Array, *, p: float, rng: int | np.random.Generator, training: bool) -> tuple[Array, tuple]:
    """Set whole channels of x (N, C, H, W) to zero with probability p, for each image anew; otherwise as `dropout`."""
    op = "spatial_dropout"
    check_array(op, "x", x, "N C H W")
    return _drop(op, x, x.shape[2] * x.shape[3], p, rng, training)


def dropout_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """Gradient of `dropout`: gx, None if not needed. What was dropped learns nothing; after evaluation gx is gy."""
    return _drop_backward("dropout_backward", gy, cache, needs)


def spatial_dropout_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """Gradient of `spatial_dropout`, as in `dropout_backward`."""
    return _drop_backward("spatial_dropout_backward", gy, cache, needs)


def check_probability(who: str, p: float) -> None:
    """The layer asks for this when it is made, so that a slip shows at once. Raises ValueError."""
    if not 0 <= p <= 1:
        raise ValueError(f"{who}: expected p, the probability of being dropped, from 0 to 1, got {p}. "
                         f"0.5 is usual; 50 percent is 0.5.")


def _drop(
    op: str, x: Array, together: int, p: float, rng: int | np.random.Generator, training: bool
) -> tuple[Array, tuple]:
    """`together` neighbours share a chance. The cache is (shape, dtype, chances), None where x passed unchanged."""
    check_probability(op, p)
    if not training:
        return x, (x.shape, x.dtype, None)
    chances = int(np.random.default_rng(rng).integers(2**63)), float(p), together
    return kernels_for(x).dropout(x, *chances), (x.shape, x.dtype, chances)


def _drop_backward(op: str, gy: Array, cache: tuple, needs: tuple[bool, ...] | None) -> Array | None:
    shape, dtype, chances = cache
    check_gradient(op, gy, shape, dtype)
    (need_x,) = wanted(op, needs, 1)
    if not need_x or chances is None:
        return gy if need_x else None
    return kernels_for(gy).dropout(gy, *chances)  # the map is linear and its own adjoint
