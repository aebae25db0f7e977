"""Work on a weight that is done once and used many times. Here there is none: what is kept is the weight itself.

`kind` says what `data` is, and nobody but this folder looks into it.
"""

from .conv import conv2d, conv2d_grad_input
from .conv_relu import conv2d_relu


def prepare_conv2d(weight, h, w, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """weight (O, C/groups, KH, KW), for inputs of h x w -> kind, data."""
    return "plain", weight


def prepare_conv_transpose2d(weight, h, w, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """weight (C, O/groups, KH, KW), for inputs of h x w that become oh x ow -> kind, data."""
    return "plain", weight


def conv2d_prepared(x, data, kind, bias, o, kh, kw, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d` with what `prepare_conv2d` made of its weight (o, C/groups, kh, kw)."""
    return conv2d(x, data, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups)


def conv2d_relu_prepared(x, data, kind, bias, o, kh, kw, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d_relu` with what `prepare_conv2d` made of its weight (o, C/groups, kh, kw)."""
    return conv2d_relu(x, data, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups)


def conv_transpose2d_prepared(x, data, kind, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """The pass `conv2d_grad_input` with what `prepare_conv_transpose2d` made of its weight (C, O/groups, kh, kw)."""
    return conv2d_grad_input(x, data, oh, ow, sh, sw, ph, pw, dh, dw, groups)
