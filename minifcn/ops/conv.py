"""Convolution and its two gradients.

Forward, for output pixel (p, q) of channel o:

    y[n, o, p, q] = bias[o] + sum over c, i, j of  x[n, c, p*sh + i*dh - ph, q*sw + j*dw - pw] * weight[o, c, i, j]

(deep learning calls this a convolution; it does not flip the kernel, so mathematicians call it a correlation).
The map is linear in x and linear in weight, so each gradient is an adjoint: the gradient with respect to x sends every
gy back along the same taps that fetched it; the one with respect to weight correlates the input with gy.
"""

from typing import Any

from ..kernels import kernels_for
from .check import Array, check_alike, check_array, check_gradient, wanted
from .geometry import Windows, windows


def conv2d(
    x: Array, weight: Array, bias: Array | None = None, *,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, prepared: Any = None,
) -> tuple[Array, tuple]:
    """Convolve images with filters.

    Args:
        x: (N, C, H, W), float32 or float64.
        weight: (O, C/groups, KH, KW), dtype of x.
        bias: (O,) or None.
        stride, padding, dilation: pixels, an int or (vertical, horizontal).
            Padding is also ((top, bottom), (left, right)).
        groups: channels are split into this many blocks, each convolved with its own filters.
        prepared: from `prepare_conv2d` for this weight and input size, or None; one made for others is ignored.

    Returns:
        y (N, O, OH, OW) with OH = floor((H + top + bottom - dilation*(KH-1) - 1) / stride) + 1, and the cache for
        `conv2d_backward`.

    Raises ValueError for shapes that do not fit, TypeError for dtypes or devices that differ.
    """
    view = checked_windows("conv2d", x, weight, bias, stride, padding, dilation, groups)
    kernels = kernels_for(x)
    if prepared is not None and prepared.made_for(weight, *x.shape[2:], *view, groups):
        o, _, kh, kw = weight.shape
        y = kernels.conv2d_prepared(x, prepared.data, prepared.kind, bias, o, kh, kw, *view, groups)
    else:
        y = kernels.conv2d(x, weight, bias, *view, groups)  # (N, O, OH, OW)
    return y, conv2d_cache(x, weight, bias, view, groups, prepared)


def conv2d_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple:
    """Gradients of `conv2d`: (gx, gweight, gbias), None where not needed or where the bias was None."""
    op = "conv2d_backward"
    x, weight, has_bias, (oh, ow, *steps), groups, _ = cache
    check_gradient(op, gy, (x.shape[0], weight.shape[0], oh, ow), x.dtype)
    need_x, need_weight, need_bias = wanted(op, needs, 3)
    kernels = kernels_for(gy)
    gx = kernels.conv2d_grad_input(gy, weight, *x.shape[2:], *steps, groups) if need_x else None
    gweight = kernels.conv2d_grad_weight(gy, x, *weight.shape[2:], *steps, groups) if need_weight else None
    gbias = kernels.channel_sums(gy) if need_bias and has_bias else None  # every output pixel saw the bias once
    return gx, gweight, gbias


def conv2d_cache(
    x: Array, weight: Array, bias: Array | None, view: Windows, groups: int, prepared: Any
) -> tuple:
    """What `conv2d_backward` wants. What was prepared of the weight travels along, for gradient passes to use."""
    return x, weight, bias is not None, view, groups, prepared


def checked_windows(
    op: str, x: Array, weight: Array, bias: Array | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Windows:
    """The windows of a convolution whose arguments fit together. Raises ValueError or TypeError as `conv2d` says."""
    check_array(op, "x", x, "N C H W")
    check_array(op, "weight", weight, "O C/groups KH KW")
    check_alike(op, x, weight=weight, bias=bias)
    check_groups(op, x.shape[1], weight, groups)
    check_bias(op, bias, weight.shape[0])
    return windows(op, x.shape[2:], weight.shape[2:], stride, padding, dilation)


def check_groups(op: str, channels: int, weight: Array, groups: int) -> None:
    """`groups` divides both channel counts, and the weight has channels/groups inputs."""
    if not isinstance(groups, int) or groups < 1 or channels % groups or weight.shape[0] % groups:
        raise ValueError(f"{op}: expected groups that divide the {channels} channels of x and the {weight.shape[0]} "
                         f"filters of weight, got {groups!r}. Choose a common divisor.")
    if weight.shape[1] * groups != channels:
        raise ValueError(f"{op}: expected x with {weight.shape[1] * groups} channels (weight {weight.shape} has "
                         f"{weight.shape[1]} for each of {groups} groups), got {channels}. "
                         f"Change in_channels of the layer or the input.")


def check_bias(op: str, bias: Array | None, channels: int) -> None:
    """`bias` is None or has one number for each output channel."""
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"{op}: expected bias of shape ({channels},), one number for each output channel, "
                         f"got {bias.shape}. Reshape it, or pass bias=None.")
