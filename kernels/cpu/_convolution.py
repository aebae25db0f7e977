"""Convolution with or without a ReLU behind it: by Winograd's method or directly, as `_choice` says."""

from ._choice import algorithm
from ._direct_forward import forward as direct
from ._layout import contiguous
from ._winograd_forward import convolve as winograd
from ._winograd_once import convolve_once


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    x, weight, bias = contiguous(x), contiguous(weight), None if bias is None else contiguous(bias)
    o, _, kh, kw = weight.shape
    if algorithm(*x.shape[:2], o, oh, ow, kh, kw, sh, sw, dh, dw, groups, x.dtype) == "winograd":
        return convolve_once(x, weight, False, bias, oh, ow, ph, pw, dh, dw, relu)
    return direct(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)


def forward_prepared(x, data, kind, bias, o, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """The same with what `prepare_conv2d` made of the weight."""
    if kind == "winograd":
        bias = None if bias is None else contiguous(bias)
        return winograd(contiguous(x), data, bias, o, oh, ow, ph, pw, dh, dw, relu)
    return forward(x, data, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)
