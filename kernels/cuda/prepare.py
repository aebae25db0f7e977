"""Work on a weight that is done once and used many times.

`kind` says what `data` is, and nobody but this folder looks into it:

    "winograd"    the weight of a 3x3 convolution, transformed
    "diagonal"    the filters (C, 1, KH, KW) of a transposed convolution from each channel to itself
    "plain"       the weight itself
"""

from .. import _trace, array_module
from . import _conv_direct, _conv_winograd
from ._conv_choice import keeps_winograd
from ._conv_forward import forward_prepared
from ._program import contiguous
from .conv import conv2d_grad_input


def prepare_conv2d(weight, h, w, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """weight (O, C/groups, KH, KW), for inputs of h x w -> kind, data."""
    if keeps_winograd(weight.shape, oh, ow, sh, sw, dh, dw, groups, weight.dtype):
        return "winograd", _conv_winograd.transform_weight(contiguous(weight))
    return "plain", weight


def prepare_conv_transpose2d(weight, h, w, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """weight (C, O/groups, KH, KW), for inputs of h x w that become oh x ow -> kind, data."""
    filters = _diagonal(weight) if groups == 1 and weight.shape[0] == weight.shape[1] > 1 else None
    return ("plain", weight) if filters is None else ("diagonal", filters)


def _diagonal(weight):
    """The filters from each channel to itself, (C, 1, KH, KW), if those from channel to channel are zero, else None.

    Bilinear upsampling is of this kind, as FCN freezes it. Of C*C*KH*KW multiplications for an input pixel it needs
    C*KH*KW, and no columns. The program has to wait for the card to know, so this is found out for weights that are
    prepared, once, and not at every pass. A NaN then stays in its own channel, which others would have got as NaN * 0.
    """
    xp = array_module(weight)
    channels = xp.arange(len(weight))
    filters = weight[channels, channels][:, None]  # (C, 1, KH, KW)
    return filters if int(xp.count_nonzero(weight) - xp.count_nonzero(filters)) == 0 else None


def conv2d_prepared(x, data, kind, bias, o, kh, kw, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d` with what `prepare_conv2d` made of its weight (o, C/groups, kh, kw)."""
    return forward_prepared(x, data, kind, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu=False)


def conv2d_relu_prepared(x, data, kind, bias, o, kh, kw, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d_relu` with what `prepare_conv2d` made of its weight (o, C/groups, kh, kw)."""
    return forward_prepared(x, data, kind, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu=True)


def conv_transpose2d_prepared(x, data, kind, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d_grad_input` with what `prepare_conv_transpose2d` made of its weight (C, O/groups, kh, kw)."""
    if kind == "diagonal":
        _trace.chose("diagonal")
        return _conv_direct.grad_input(contiguous(x), data, oh, ow, sh, sw, ph, pw, dh, dw, len(data))
    return conv2d_grad_input(x, data, oh, ow, sh, sw, ph, pw, dh, dw, groups)
