"""Channels of zeros appended behind those that a map has, so that it can be added to one that has more.

ENet's skips do this where a bottleneck widens (Paszke et al. 2016, section 3): it costs no weights. The gradient of
the channels that were there comes back as it is; the zeros, which nothing made, have none.
"""

import numbers
from typing import Any

from ..kernels import array_module
from .check import Array, check_array, check_gradient, wanted


def pad_channels(x: Array, *, out_channels: int) -> tuple[Array, tuple]:
    """Append channels of zeros.

    Args:
        x: (N, C, H, W), float32 or float64.
        out_channels: how many channels there are afterwards, at least C.

    Returns:
        y (N, out_channels, H, W) and the cache.

    Raises ValueError for fewer channels than x has, TypeError for dtypes.
    """
    op = "pad_channels"
    check_array(op, "x", x, "N C H W")
    n, c, h, w = x.shape
    y = array_module(x).zeros((n, widened(op, c, out_channels), h, w), x.dtype)
    y[:, :c] = x
    return y, (x.shape, x.dtype, int(out_channels))


def widened(op: str, channels: int, out_channels: Any) -> int:
    """`out_channels` as an int. Raises ValueError unless it is one of at least `channels`."""
    if not isinstance(out_channels, numbers.Integral) or out_channels < channels:
        raise ValueError(f"{op}: expected out_channels of at least {channels}, which the input has, got "
                         f"{out_channels!r}. A convolution of 1x1 makes fewer.")
    return int(out_channels)


def pad_channels_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx (N, C, H, W): the first C channels of gy, as a view."""
    op = "pad_channels_backward"
    shape, dtype, out_channels = cache
    check_gradient(op, gy, (shape[0], out_channels, *shape[2:]), dtype)
    (need_x,) = wanted(op, needs, 1)
    return gy[:, : shape[1]] if need_x else None
