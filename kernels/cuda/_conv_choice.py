"""Which algorithm a convolution runs by: functions of shapes and dtype, to be asked without running anything.

Costs are counted in multiply-adds, a number to or from memory as NUMBER of them: that many a card of 2024 could do in
the same time (67 TFLOP/s in float32, 4.8 TB/s). They are reasoned, not measured, and only their order counts.

    pointwise   the product alone: nothing to choose where the filter has one tap
    direct      twice the multiply-adds, with the empty places of its last filters; moves x and y alone
    columns     each number of the columns is written and read, and so are the product and y
    winograd    36 multiply-adds for a tile of 16 outputs instead of 144. Of each tile and channel 36 numbers are
                written and read on both sides of the products, beside the 16 of the map. Filters become four times as
                large: on small maps that decides

Winograd's way loses a digit. So it is never taken in float64, nor where the user forbids it.
"""

import numpy as np

from .. import winograd_allowed
from ._conv_direct import MOST_TAPS, lanes
from ._conv_winograd import POSITIONS, TILE, tile_count

NUMBER = 4 * 7  # 7 multiply-adds a byte; float64 has half of both
PIXELS = 1 << 12  # from which a product for each image fills a card by itself
FEW_FILTERS = 8  # in a group, up to which an input gradient is gathered directly
TRANSFORM = (2 * POSITIONS + TILE * TILE) * NUMBER  # of one channel of one tile
FILTER = (9 + 2 * POSITIONS) * NUMBER  # transforming one and reading it
KEPT_FILTER = POSITIONS * NUMBER  # reading it


def forward_way(x_shape, weight_shape, oh, ow, sh, sw, ph, pw, dh, dw, groups, dtype) -> str:
    """How to convolve x (N, C, H, W) by weight (O, C/groups, KH, KW)."""
    (n, _, h, w), (o, c, kh, kw) = x_shape, weight_shape
    if _is_pointwise(n, (h, w), (oh, ow), (kh, kw, sh, sw, ph, pw)):
        return "pointwise"
    costs = {"direct": _direct_cost(n, c, o, oh, ow, kh, kw, sh, sw, groups),
             "columns": _columns_cost(n, c, o, oh, ow, kh, kw, groups),
             "winograd": _winograd_cost(n, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype, FILTER)}
    return min(costs, key=lambda way: costs[way])


def input_gradient_way(gy_shape, weight_shape, h, w, sh, sw, ph, pw, dh, dw, groups, dtype) -> str:
    """How to find the gradient of an input of h x w from gy (N, O, OH, OW).

    Directly each term of a sum takes two cached reads, some 6 multiply-adds. The product has to write and read a number
    of the columns for every O/groups terms, for 56 multiply-adds. So up to FEW_FILTERS it is direct.
    """
    (n, _, oh, ow), (o, c, kh, kw) = gy_shape, weight_shape
    if _is_pointwise(n, (h, w), (oh, ow), (kh, kw, sh, sw, ph, pw)):
        return "pointwise"
    if o // groups <= FEW_FILTERS:
        return "direct"
    winograd = _winograd_cost(n, o, c, h, w, kh, kw, sh, sw, dh, dw, groups, dtype, FILTER)
    return "winograd" if winograd < _columns_cost(n, c, o, oh, ow, kh, kw, groups) else "columns"


def weight_gradient_way(gy_shape, x_shape, kh, kw, sh, sw, dh, dw, groups, dtype) -> str:
    """How to find the gradient of a weight of kh x kw: by sums over all pixels, for which `direct` has no kernel."""
    (n, o, oh, ow), c = gy_shape, x_shape[1] // groups
    winograd = _winograd_cost(n, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype, FILTER)
    return "winograd" if winograd < _columns_cost(n, c, o, oh, ow, kh, kw, groups) else "columns"


def keeps_winograd(weight_shape, oh, ow, sh, sw, dh, dw, groups, dtype) -> bool:
    """Whether a weight that does not change is kept transformed: whether it is worth that for a single image."""
    o, c, kh, kw = weight_shape
    winograd = _winograd_cost(1, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype, KEPT_FILTER)
    return winograd < min(_columns_cost(1, c, o, oh, ow, kh, kw, groups),
                          _direct_cost(1, c, o, oh, ow, kh, kw, sh, sw, groups))


def _is_pointwise(n, size, other_size, windows):
    """Of small maps a product for each image would read the filters many times for few pixels: they go together."""
    return windows == (1, 1, 1, 1, 0, 0) and size == other_size and (n == 1 or size[0] * size[1] >= PIXELS)


def _direct_cost(n, c, o, oh, ow, kh, kw, sh, sw, groups):
    """With c channels in a group."""
    if c * kh * kw > MOST_TAPS:
        return float("inf")
    together = lanes(o // groups)
    places = groups * -(-(o // groups) // together) * together
    return n * oh * ow * (2 * c * kh * kw * places + (c * groups * sh * sw + o) * NUMBER)


def _columns_cost(n, c, o, oh, ow, kh, kw, groups):
    taps = c * kh * kw
    return n * oh * ow * (taps * o + 2 * (taps * groups + o) * NUMBER) + taps * o * NUMBER


def _winograd_cost(n, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype, filter_cost):
    possible = (kh, kw, sh, sw, groups) == (3, 3, 1, 1, 1) and np.dtype(dtype) == np.float32
    if not possible or not n * c * o or not winograd_allowed():
        return float("inf")
    tiles = tile_count(n, oh, ow, dh, dw)
    return tiles * (POSITIONS * c * o + (c + o) * TRANSFORM) + c * o * filter_cost
