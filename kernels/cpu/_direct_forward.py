"""Direct convolution of any geometry: with 32 filters in vectors, or, where they would stay empty, with 32 pixels."""

from ._choice import vectors_along
from ._direct_filters import correlate
from ._direct_pixels import convolve
from ._direct_source import padded, source_of
from ._direct_taps import taps_of
from ._micro_kernel import ROW_STEPS
from .memory import empty


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    n = x.shape[0]
    o, channels, kh, kw = weight.shape
    if vectors_along(o // groups, x.dtype) == "pixels":
        return convolve(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu)
    y = empty((n, o, oh, ow), x.dtype)
    if y.size:
        in_place = sw in ROW_STEPS  # read a stride apart: the input stays in one piece, as if the outputs were more
        if in_place:
            tall, wide = (oh - 1) * sh + 1, (ow - 1) * sw + 1
            source, form = padded(x, tall + (kh - 1) * dh, wide + (kw - 1) * dw, ph, pw)
        else:
            source, form = source_of(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
        taps = taps_of(form, in_place, channels, kh, kw, *x.shape[2:], oh, ow, sh, sw, ph, pw, dh, dw)
        steps = (sh * form.pitch, sw) if in_place else (form.pitch, 1)
        size = channels * kh * kw
        correlate(source.reshape(n, -1), form.channel * channels, steps, taps, weight.ravel(), size,
                  o // groups * size, bias, y, groups, relu)
    return y
