"""Which algorithm a convolution runs by: functions of shapes and dtype, to be asked without running anything.

Costs are counted in multiply-adds, a number to or from memory as NUMBER of them: that many a card of 2024 could do in
the same time (67 TFLOP/s in float32, 4.8 TB/s). They are reasoned, not measured, and only their order counts.

    pointwise   the product alone: nothing to choose where the filter has one tap
    direct      twice the multiply-adds, with the empty places of its last filters; moves x and y alone
    columns     each number of the columns is written and read, and so are the product and y
"""

from ._conv_direct import MOST_TAPS, lanes

NUMBER = 4 * 7  # 7 multiply-adds a byte; float64 has half of both
PIXELS = 1 << 12  # from which a product for each image fills a card by itself
FEW_FILTERS = 8  # in a group, up to which an input gradient is gathered directly


def forward_way(x_shape, weight_shape, oh, ow, sh, sw, ph, pw, dh, dw, groups, dtype) -> str:
    """How to convolve x (N, C, H, W) by weight (O, C/groups, KH, KW)."""
    (n, _, h, w), (o, c, kh, kw) = x_shape, weight_shape
    if _is_pointwise(n, (h, w), (oh, ow), (kh, kw, sh, sw, ph, pw)):
        return "pointwise"
    costs = {"direct": _direct_cost(n, c, o, oh, ow, kh, kw, sh, sw, groups),
             "columns": _columns_cost(n, c, o, oh, ow, kh, kw, groups)}
    return min(costs, key=lambda way: costs[way])


def input_gradient_way(gy_shape, weight_shape, h, w, sh, sw, ph, pw, dh, dw, groups, dtype) -> str:
    """How to find the gradient of an input of h x w from gy (N, O, OH, OW).

    Directly each term of a sum takes two cached reads, some 6 multiply-adds. The product has to write and read a number
    of the columns for every O/groups terms, for 56 multiply-adds. So up to FEW_FILTERS it is direct.
    """
    (n, _, oh, ow), (o, _, kh, kw) = gy_shape, weight_shape
    if _is_pointwise(n, (h, w), (oh, ow), (kh, kw, sh, sw, ph, pw)):
        return "pointwise"
    return "direct" if o // groups <= FEW_FILTERS else "columns"


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
