"""Convolution and its two gradients, compiled. Which algorithm runs is said, with its reasons, in `_choice`."""

from .. import _trace
from ._choice import algorithm, vectors_along, weight_gradient_algorithm
from ._convolution import forward
from ._direct_input import grad_input
from ._direct_weight import grad_weight
from ._layout import contiguous
from ._transposed import grad_input_strided
from ._transposed_diagonal import find_diagonal, upsample_diagonal
from ._winograd_once import convolve_once
from ._winograd_weight import grad_weight as winograd_grad_weight


def conv2d(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    return forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu=False)


def conv2d_grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w). Also a transposed convolution's forward."""
    gy, weight = contiguous(gy), contiguous(weight)
    n, o = gy.shape[:2]
    _, c, kh, kw = weight.shape
    if algorithm(n, o, c, h, w, kh, kw, sh, sw, dh, dw, groups, gy.dtype) == "winograd":
        _trace.chose("winograd")
        return convolve_once(gy, weight, True, None, h, w, 2 * dh - ph, 2 * dw - pw, dh, dw, False)
    if (sh, sw) != (1, 1) and (dh, dw) == (1, 1):
        taps = find_diagonal(weight, groups)
        if taps is not None:
            _trace.chose("diagonal")
            return upsample_diagonal(gy, *taps, h, w, sh, sw, ph, pw)
        if vectors_along(c, gy.dtype) == "pixels":
            _trace.chose("phases")
            return grad_input_strided(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups)
    _trace.chose("direct")
    return grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups)


def conv2d_grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C/groups, kh, kw)."""
    gy, x = contiguous(gy), contiguous(x)
    n, o, oh, ow = gy.shape
    way = weight_gradient_algorithm(n, x.shape[1], o, oh, ow, kh, kw, sh, sw, dh, dw, groups, gy.dtype)
    _trace.chose(way)
    if way == "winograd":
        return winograd_grad_weight(gy, x, ph, pw, dh, dw)
    return grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups)
