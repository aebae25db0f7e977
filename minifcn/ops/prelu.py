"""The parametric rectified linear unit: a leaky one whose slope is learned, one for each channel or one for all.

    y = x where x > 0, weight[c] * x elsewhere

Source: He, Zhang, Ren, Sun 2015, "Delving Deep into Rectifiers", section 2.1.
"""

from ..kernels import array_module
from .check import Array, check_alike, check_array, check_gradient, wanted


def prelu(x: Array, weight: Array) -> tuple[Array, tuple]:
    """x where it is positive, weight * x elsewhere; NaN stays NaN.

    Args:
        x: (N, C, ...) with any number of axes behind, float32 or float64.
        weight: (C,), or (1,) for one slope shared by all channels; dtype of x.

    Returns:
        y of the same shape, and the cache. Raises ValueError for shapes that do not fit, TypeError for dtypes.
    """
    op = "prelu"
    check_array(op, "x", x)
    check_alike(op, x, weight=weight)
    if x.ndim < 2:
        raise ValueError(f"{op}: expected x with the axes N, C and any number behind, got shape {x.shape}. "
                         f"Add the batch axis: x[None].")
    if weight.shape not in ((1,), (x.shape[1],)):
        raise ValueError(f"{op}: expected weight of shape (1,) or ({x.shape[1]},), one slope for each channel of x, "
                         f"got {weight.shape}. Change num_parameters of the layer or the input.")
    y = array_module(x).where(x <= 0, _beside(x, weight) * x, x)
    return y, (x, weight)


def prelu_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple[Array | None, ...]:
    """Gradients of `prelu`: (gx, gweight).

    A slope is used by every negative number of its channel, so its gradient is the sum of gy*x over those.
    """
    op = "prelu_backward"
    x, weight = cache
    check_gradient(op, gy, x.shape, x.dtype)
    need_x, need_weight = wanted(op, needs, 2)
    xp = array_module(gy)
    gx = xp.where(x <= 0, _beside(x, weight) * gy, gy) if need_x else None
    gweight = None
    if need_weight:
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        gweight = (gy * xp.minimum(x, 0)).sum(axis=axes)  # (C,)
        if weight.shape != gweight.shape:  # one slope for all channels
            gweight = gweight.sum(keepdims=True)  # (1,)
    return gx, gweight


def _beside(x: Array, weight: Array) -> Array:
    """The slopes as (C, 1, ...), so that they line up with the channels of x."""
    return weight.reshape(-1, *(1,) * (x.ndim - 2))
