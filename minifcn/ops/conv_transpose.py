"""Transposed convolution: a convolution run backwards, so that its *forward* is the convolution's input gradient.

Every input pixel stamps the whole kernel, weighted by its value, onto the output at `stride` times its position; where
stamps overlap they add. With stride f this upsamples f times, and with a bilinear kernel it is bilinear upsampling
(Long, Shelhamer, Darrell 2015, section 3.3). Nothing new has to be written: forward is `conv2d_grad_input`, the
gradient with respect to x is `conv2d`, and the gradient with respect to weight is `conv2d_grad_weight` with the roles
of x and gy exchanged.

Several output sizes convolve back to the same input size when stride > 1, which is why there is a choice at all:
`output_padding` adds rows and columns at the bottom and right, `output_size` names the result.
"""

from typing import Any

from ..kernels import kernels_for
from .check import Array, check_alike, check_array, check_gradient, wanted
from .conv import check_bias
from .geometry import extent, pair, parse_padding


def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None = None, *,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    output_size: tuple[int, int] | None = None, prepared: Any = None,
) -> tuple[Array, tuple]:
    """Upsample by a transposed convolution.

    Args:
        x: (N, C, H, W), float32 or float64.
        weight: (C, O/groups, KH, KW), dtype of x.
        bias: (O,) or None.
        stride, dilation: pixels of the output, an int or (vertical, horizontal).
        padding: rows and columns *removed* from the output's sides (it undoes a convolution's padding).
        output_padding: rows and columns added at the bottom and right, less than stride or dilation.
        output_size: (OH, OW) wanted, instead of output_padding.
        prepared: from `prepare_conv_transpose2d` for this weight and these sizes, or None; others are ignored.

    Returns:
        y (N, O, OH, OW) with OH = stride*(H-1) + dilation*(KH-1) + 1 - top - bottom + output_padding, and the cache.

    Raises ValueError for shapes that do not fit (with the list of legal sizes), TypeError for dtypes or devices.
    """
    op = "conv_transpose2d"
    check_array(op, "x", x, "N C H W")
    check_array(op, "weight", weight, "C O/groups KH KW")
    check_alike(op, x, weight=weight, bias=bias)
    pair(op, "kernel_size", weight.shape[2:], 1)
    _check_channels(op, x.shape[1], weight, groups)
    check_bias(op, bias, weight.shape[1] * groups)
    steps = (*pair(op, "stride", stride, 1), *parse_padding(op, padding)[::2], *pair(op, "dilation", dilation, 1))
    oh, ow = size_of_output(op, x.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding, output_size)
    kernels = kernels_for(x)
    if prepared is not None and prepared.made_for(weight, *x.shape[2:], oh, ow, *steps, groups):
        kh, kw = weight.shape[2:]
        y = kernels.conv_transpose2d_prepared(x, prepared.data, prepared.kind, oh, ow, kh, kw, *steps, groups)
    else:
        y = kernels.conv2d_grad_input(x, weight, oh, ow, *steps, groups)  # (N, O, OH, OW)
    if bias is not None:
        kernels.add_bias(y, bias)
    return y, (x, weight, bias is not None, (oh, ow), steps, groups)


def conv_transpose2d_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple:
    """Gradients of `conv_transpose2d`: (gx, gweight, gbias), None where not needed or where the bias was None."""
    op = "conv_transpose2d_backward"
    x, weight, has_bias, output_size, steps, groups = cache
    check_gradient(op, gy, (x.shape[0], weight.shape[1] * groups, *output_size), x.dtype)
    need_x, need_weight, need_bias = wanted(op, needs, 3)
    kernels = kernels_for(gy)
    gx = kernels.conv2d(gy, weight, None, *x.shape[2:], *steps, groups) if need_x else None
    # x takes the part of a convolution's gy here: it is the small map, and gy the large one that was convolved.
    gweight = kernels.conv2d_grad_weight(x, gy, *weight.shape[2:], *steps, groups) if need_weight else None
    gbias = kernels.channel_sums(gy) if need_bias and has_bias else None
    return gx, gweight, gbias


def output_sizes(size: int, kernel_size: int, stride: int, before: int, after: int, dilation: int) -> range:
    """All legal output sizes along one axis: those that the matching convolution maps back to `size`."""
    least = stride * (size - 1) + extent(kernel_size, dilation) - before - after
    return range(least, least + stride)


def size_of_output(
    op: str, size: tuple[int, int], kernel_size: tuple[int, int], stride: Any, padding: Any, dilation: Any,
    output_padding: Any, output_size: tuple[int, int] | None,
) -> tuple[int, int]:
    strides, dilations = pair(op, "stride", stride, 1), pair(op, "dilation", dilation, 1)
    sides = parse_padding(op, padding)
    before, after = (sides.top, sides.left), (sides.bottom, sides.right)
    legal = [
        output_sizes(size[axis], kernel_size[axis], strides[axis], before[axis], after[axis], dilations[axis])
        for axis in (0, 1)
    ]
    if output_size is not None:
        wanted_size = pair(op, "output_size", output_size, 1)
        if any(wanted_size[axis] not in legal[axis] for axis in (0, 1)):
            heights, widths = (f"{sizes[0]}..{sizes[-1]}" for sizes in legal)
            raise ValueError(f"{op}: expected output_size with a height in {heights} and a width in {widths} (input "
                             f"{size[0]}x{size[1]}, stride {strides}), got {output_size}. Choose one of these.")
        return wanted_size
    extra = pair(op, "output_padding", output_padding, 0)
    if any(extra[axis] >= max(strides[axis], dilations[axis]) for axis in (0, 1)):
        raise ValueError(f"{op}: expected output_padding smaller than stride {strides} or dilation {dilations}, "
                         f"got {output_padding}. A larger one would add rows that no input pixel reaches.")
    oh, ow = legal[0][0] + extra[0], legal[1][0] + extra[1]
    if min(oh, ow) < 1:
        raise ValueError(f"{op}: expected padding that leaves an output, got {oh}x{ow} for padding {tuple(sides)}. "
                         f"Use less padding.")
    return oh, ow


def _check_channels(op: str, channels: int, weight: Array, groups: int) -> None:
    if not isinstance(groups, int) or groups < 1 or channels % groups:
        raise ValueError(f"{op}: expected groups that divide the {channels} channels of x, got {groups!r}. "
                         f"Choose a divisor.")
    if weight.shape[0] != channels:
        raise ValueError(f"{op}: expected x with {weight.shape[0]} channels (weight {weight.shape} is "
                         f"(C, O/groups, KH, KW)), got {channels}. Change in_channels or the input.")
