"""Work on a weight that is done once and used many times.

`kind` says what `data` is, and nobody but this folder looks into it:

    "winograd"    the weight of a 3x3 convolution, transformed
    "diagonal"    the column and the row of taps that make up a transposed convolution from each channel to itself
    "plain"       the weight itself, which a direct convolution reads as it is
"""

from . import _transposed
from ._choice import algorithm
from ._convolution import forward_prepared
from ._layout import contiguous
from ._winograd_filters import transform_weight
from .conv import conv2d_grad_input


def prepare_conv2d(weight, h, w, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """weight (O, C/groups, KH, KW), for inputs of h x w -> kind, data."""
    o, c, kh, kw = weight.shape
    if algorithm(1, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, weight.dtype) == "winograd":
        return "winograd", transform_weight(contiguous(weight))
    return "plain", weight


def prepare_conv_transpose2d(weight, h, w, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """weight (C, O/groups, KH, KW), for inputs of h x w that become oh x ow -> kind, data."""
    return _transposed.prepare(weight, dh, dw, groups)


def conv2d_prepared(x, data, kind, bias, o, kh, kw, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d` with what `prepare_conv2d` made of its weight (o, C/groups, kh, kw)."""
    return forward_prepared(x, data, kind, bias, o, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu=False)


def conv2d_relu_prepared(x, data, kind, bias, o, kh, kw, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d_relu` with what `prepare_conv2d` made of its weight (o, C/groups, kh, kw)."""
    return forward_prepared(x, data, kind, bias, o, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu=True)


def conv_transpose2d_prepared(x, data, kind, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d_grad_input` with what `prepare_conv_transpose2d` made of its weight (C, O/groups, kh, kw)."""
    if kind == "diagonal":
        return _transposed.prepared(x, data, oh, ow, sh, sw, ph, pw)
    return conv2d_grad_input(x, data, oh, ow, sh, sw, ph, pw, dh, dw, groups)
