"""Convolution and its two gradients. Which algorithm runs is said, with its reasons, in `_conv_choice`."""

from .. import _trace
from . import _conv_columns, _conv_direct, _conv_pointwise, _conv_winograd
from ._conv_choice import input_gradient_way, weight_gradient_way
from ._conv_forward import forward
from ._program import contiguous


def conv2d(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    return forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu=False)


def conv2d_grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w). Also a transposed convolution's forward."""
    gy, weight = contiguous(gy), contiguous(weight)
    way = input_gradient_way(gy.shape, weight.shape, h, w, sh, sw, ph, pw, dh, dw, groups, gy.dtype)
    _trace.chose(way)
    if way == "pointwise":
        return _conv_pointwise.grad_input(gy, weight, groups)
    if way == "winograd":
        u = _conv_winograd.transform_weight_turned(weight)
        return _conv_winograd.convolve(gy, u, None, h, w, 2 * dh - ph, 2 * dw - pw, dh, dw, False)
    module = _conv_direct if way == "direct" else _conv_columns
    return module.grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups)


def conv2d_grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C/groups, kh, kw)."""
    gy, x = contiguous(gy), contiguous(x)
    way = weight_gradient_way(gy.shape, x.shape, kh, kw, sh, sw, dh, dw, groups, gy.dtype)
    _trace.chose(way)
    if way == "winograd":
        return _conv_winograd.grad_weight(gy, x, ph, pw, dh, dw)
    return _conv_columns.grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups)
