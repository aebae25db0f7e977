"""Direct convolution of any geometry: with 32 filters in vectors, or, where they would stay empty, with 32 pixels."""

from ._choice import vectors_along
from ._direct_filters import correlate
from ._direct_pixels import convolve
from ._direct_source import source_of
from ._direct_taps import taps_of
from .memory import empty


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    n = x.shape[0]
    o, channels, kh, kw = weight.shape
    if vectors_along(o // groups, x.dtype) == "pixels":
        return convolve(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)
    y = empty((n, o, oh, ow), x.dtype)
    if y.size:
        source, form = source_of(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
        taps = taps_of(form, channels, kh, kw, *x.shape[2:], oh, ow, sh, sw, ph, pw, dh, dw)
        size = channels * kh * kw
        correlate(source.reshape(n, -1), form.channel * channels, form.pitch, taps, weight.ravel(), size,
                  o // groups * size, bias, y, groups, relu)
    return y
