"""Direct convolution of any geometry: with 32 filters in vectors, or, where they would stay empty, with 32 pixels."""

from . import _direct_filters, _direct_pixels
from ._choice import vectors_along
from ._direct_source import source_of
from ._direct_taps import missed, taps_of
from .memory import empty


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    n = x.shape[0]
    o, channels, kh, kw = weight.shape
    y = empty((n, o, oh, ow), x.dtype)
    if y.size:
        window = kh, kw, *x.shape[2:], oh, ow, sh, sw, ph, pw, dh, dw
        by_pixels = vectors_along(o // groups, x.dtype, oh * ow, missed(*window)) == "pixels"
        source, form = source_of(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
        taps = taps_of(form, not by_pixels, channels, *window)
        size = channels * kh * kw
        correlate = _direct_pixels.correlate if by_pixels else _direct_filters.correlate
        correlate(source.reshape(n, -1), form.channel * channels, form.pitch, taps, weight.ravel(), size,
                  o // groups * size, bias, y, groups, relu)
    return y
