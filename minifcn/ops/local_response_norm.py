"""Local response normalisation: a number among strong neighbours in other channels is turned down.

AlexNet and GoogLeNet have it (Krizhevsky, Sutskever, Hinton 2012, section 3.3), and so the FCNs made from them.
"""

import numbers
from typing import Any

from ..kernels import kernels_for
from .check import Array, check_array, check_gradient, wanted


def local_response_norm(
    x: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, tuple]:
    """y[c] = x[c] / (k + alpha/size * sum of squares over the window of channels around c)^beta.

    Args:
        x: (N, C, H, W), float32 or float64.
        size: channels in the window, c - size//2 ... c + (size-1)//2; it is cut off at the first and last channel.
        alpha: weight of the window's energy, 0 or more. It is divided by size, as in Caffe and PyTorch; the paper's
            own alpha is not, and so is `size` times smaller.
        beta: the power.
        k: added to the energy, more than 0.

    Returns:
        y (N, C, H, W), and the cache for `local_response_norm_backward`.

    Raises ValueError for settings out of range, TypeError for another dtype.
    """
    op = "local_response_norm"
    check_array(op, "x", x, "N C H W")
    check_settings(op, size, alpha, k)
    alpha, beta = float(alpha), float(beta)  # a NumPy scalar would turn float32 into float64
    y, scale = kernels_for(x).local_response_norm(x, size, alpha, beta, float(k))  # both (N, C, H, W)
    return y, (x, scale, size, alpha, beta)


def local_response_norm_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """Gradient of `local_response_norm`: gx, None if not needed."""
    op = "local_response_norm_backward"
    x, scale, size, alpha, beta = cache
    check_gradient(op, gy, x.shape, x.dtype)
    (need_x,) = wanted(op, needs, 1)
    return kernels_for(gy).local_response_norm_grad(gy, x, scale, size, alpha, beta) if need_x else None


def check_settings(who: str, size: Any, alpha: float, k: float) -> None:
    """The layer asks for this when it is made, so that a slip shows at once. Raises ValueError."""
    if not isinstance(size, numbers.Integral) or size < 1:
        raise ValueError(f"{who}: expected size as a whole number of channels from 1, got {size!r}. AlexNet has 5.")
    if not alpha >= 0 or not k > 0:
        raise ValueError(f"{who}: expected alpha of at least 0 and k above 0 (a power of their sum is divided by), "
                         f"got alpha {alpha} and k {k}. AlexNet in Caffe has alpha=1e-4, k=1.")
