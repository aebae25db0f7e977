"""Convolution by its definition, one thread an output pixel, and its input gradient, one thread an input pixel."""

from ._conv_columns import tap_steps
from ._program import Program, empty

MOST_TAPS = 256  # of a filter, as in conv_direct.cu
FILTERS = 16  # that a thread sums at a time
_CU = Program("conv_direct", {"FILTERS": 1}, {"FILTERS": FILTERS})


def lanes(filters):
    """How many filters a thread sums, of `filters` in a group: one alone leaves no place empty."""
    return 1 if filters == 1 else FILTERS


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    (images, _, h, w), (filters, channels, kh, kw) = x.shape, weight.shape
    y, together = empty(x, (images, filters, oh, ow)), lanes(filters // groups)
    blocks = groups * -(-(filters // groups) // together)
    _CU.run("direct", (oh * ow, blocks, images), x, weight, bias, y, images, groups, channels, filters // groups, h, w,
            oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, relu, FILTERS=together)
    return y


def grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w)."""
    images, filters, oh, ow = gy.shape
    _, channels, kh, kw = weight.shape
    gx = empty(gy, (images, channels * groups, h, w))
    _CU.run("direct_input", (h * w, groups * channels, images), gy, weight, gx, images, groups, channels,
            filters // groups, h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, *tap_steps(sh, sw, dh, dw),
            FILTERS=1)
    return gx
