"""The rectified linear unit y = max(x, 0) (Nair, Hinton 2010): what is positive passes, the rest becomes zero.

Its derivative is 1 where x > 0 and 0 where x < 0. At exactly 0 it has none, and we take 0. Since y > 0 exactly where
x > 0, the output alone says which gradients pass: x need not be kept, which saves a network one copy of every map.
"""

from ..kernels import kernels_for
from .check import Array, check_array, check_gradient, wanted


def relu(x: Array) -> tuple[Array, tuple]:
    """max(x, 0) of every number; NaN stays NaN.

    Args:
        x: any shape, float32 or float64.

    Returns:
        y of the same shape, and the cache. Raises TypeError for another type or dtype.
    """
    check_array("relu", "x", x)
    y = kernels_for(x).relu(x)
    return y, (y,)


def relu_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx: gy where the output was positive, 0 elsewhere."""
    op = "relu_backward"
    (y,) = cache
    check_gradient(op, gy, y.shape, y.dtype)
    (need_x,) = wanted(op, needs, 1)
    return kernels_for(gy).relu_grad(gy, y) if need_x else None
