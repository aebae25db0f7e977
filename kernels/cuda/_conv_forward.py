"""Convolution with or without a ReLU behind it, by the algorithm that `_conv_choice` names."""

from .. import _trace
from . import _conv_columns, _conv_direct, _conv_pointwise, _conv_winograd
from ._conv_choice import forward_way
from ._program import contiguous


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    x, weight, bias = contiguous(x), contiguous(weight), None if bias is None else contiguous(bias)
    way = forward_way(x.shape, weight.shape, oh, ow, sh, sw, ph, pw, dh, dw, groups, x.dtype)
    _trace.chose(way)
    if way == "pointwise":
        return _conv_pointwise.forward(x, weight, bias, groups, relu)
    if way == "winograd":
        u = _conv_winograd.transform_weight(weight)
        return _conv_winograd.convolve(x, u, bias, oh, ow, ph, pw, dh, dw, relu)
    module = _conv_direct if way == "direct" else _conv_columns
    return module.forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)


def forward_prepared(x, data, kind, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """The same with what `prepare_conv2d` made of the weight."""
    if kind == "winograd":
        _trace.chose("winograd")
        bias = None if bias is None else contiguous(bias)
        return _conv_winograd.convolve(contiguous(x), data, bias, oh, ow, ph, pw, dh, dw, relu)
    return forward(x, data, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)
