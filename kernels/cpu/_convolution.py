"""Convolution with or without a ReLU behind it: by Winograd's method or directly, as `_choice` says."""

from .. import _trace
from ._choice import algorithm
from ._direct_forward import forward as direct
from ._layout import contiguous
from ._transposed_diagonal import downsample_diagonal, find_diagonal
from ._transposed_gradients import convolve as convolve_windows
from ._transposed_gradients import suits
from ._winograd_forward import convolve as winograd
from ._winograd_once import convolve_once


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    x, weight, bias = contiguous(x), contiguous(weight), None if bias is None else contiguous(bias)
    o, c, kh, kw = weight.shape
    if algorithm(*x.shape[:2], o, oh, ow, kh, kw, sh, sw, dh, dw, groups, x.dtype) == "winograd":
        _trace.chose("winograd")
        return convolve_once(x, weight, False, bias, oh, ow, ph, pw, dh, dw, relu)
    if (sh, sw) != (1, 1) and (dh, dw, groups) == (1, 1, 1) and c == o > 1 and bias is None and not relu:
        taps = find_diagonal(weight, groups)  # the gradient of a frozen upsampling
        if taps is not None:
            _trace.chose("diagonal")
            return downsample_diagonal(x, *taps, oh, ow, sh, sw, ph, pw)
    if bias is None and not relu and suits(o // groups, kw, dw, x.dtype):
        _trace.chose("windows")
        return convolve_windows(x, weight, oh, ow, sh, sw, ph, pw, dh, groups)
    _trace.chose("direct")
    return direct(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)


def forward_prepared(x, data, kind, bias, o, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """The same with what `prepare_conv2d` made of the weight."""
    if kind == "winograd":
        _trace.chose("winograd")
        bias = None if bias is None else contiguous(bias)
        return winograd(contiguous(x), data, bias, o, oh, ow, ph, pw, dh, dw, relu)
    return forward(x, data, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)
