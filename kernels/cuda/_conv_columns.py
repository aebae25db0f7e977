"""Convolution and its gradients as matrix products, one tile of outputs at a time: the kernels around the products.

With the taps copied into columns X (C*KH*KW, positions) and the filters as a matrix W (O, C*KH*KW):

    Y = W X            gX = W^T gY            gW = gY X^T

each of them once for every group. The products are the library's: cuBLAS on a card, NumPy's on the emulator. What a
tile needs is made in a function of its own, so that it is gone before the next tile's is made.
"""

import math

from .. import array_module
from ..array._columns import tiles
from ._program import Program, empty

_CU = Program("conv_columns")
# Bytes of a tile's columns. A product has a block of threads for some 128 x 128 of its numbers, so with 64 filters of
# 3x3 on 64 channels these are 900 blocks, seven for each multiprocessor of a large card; with 512 on 512, three. Were
# they to fit its second-level cache, they would be a fifth, and much of the card idle at the end of each tile. Beside
# what a network keeps of maps that large it is little.
WORKSPACE = 256 << 20
FEW_GROUPS = 8  # whose products are launched one by one if need be


def forward(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    filters, channels, kh, kw = weight.shape
    matrix, windows = _matrix(weight, groups), (kh, kw, sh, sw, ph, pw, dh, dw)
    y = empty(x, (len(x), filters, oh, ow))
    for images, rows in _tiles(y, channels * groups * kh * kw):
        _forward(x[images], matrix, bias, y[images], rows, windows, relu)
    return y


def _forward(x, matrix, bias, y, rows, windows, relu):
    """One tile: some rows of y (N, O, OH, OW), for a matrix (groups, O/groups, C/groups*KH*KW)."""
    columns = _im2col(x, rows, y.shape[3], windows, len(matrix))
    if len(y) == 1 and rows.stop - rows.start == y.shape[2]:  # the product has the order of y itself
        multiply(matrix, columns, y.reshape(*matrix.shape[:2], columns.shape[2]))
        finish(y, bias, relu)
    else:
        _place(multiply(matrix, columns), bias, y, rows, relu)


def grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w)."""
    oh = gy.shape[2]
    _, channels, kh, kw = weight.shape
    matrix, windows = _matrix(weight, groups).swapaxes(1, 2), (kh, kw, sh, sw, ph, pw, dh, dw)
    gx = empty(gy, (len(gy), channels * groups, h, w))
    parts = list(_tiles(gy, channels * groups * kh * kw))
    in_parts = any(rows.stop - rows.start < oh for _, rows in parts)
    if in_parts or not parts:
        gx.fill(0)  # tiles of some rows add to it
    for images, rows in parts:
        columns = multiply(matrix, _positions(gy[images], rows, groups))
        _col2im(columns, gx[images], rows, gy.shape[3], windows, in_parts)
        del columns
    return gx


def grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C/groups, kh, kw). Tile after tile: a fixed order."""
    filters, channels, windows = gy.shape[1], x.shape[1] // groups, (kh, kw, sh, sw, ph, pw, dh, dw)
    total = None
    for images, rows in _tiles(gy, channels * groups * kh * kw):
        product = _grad_weight(gy[images], x[images], rows, windows, groups)
        if total is None:
            total = product
        else:
            total += product
    if total is None:
        return array_module(gy).zeros((filters, channels, kh, kw), gy.dtype)
    return total.reshape(filters, channels, kh, kw)


def _grad_weight(gy, x, rows, windows, groups):
    """What one tile adds: (groups, O/groups, C/groups*KH*KW)."""
    columns = _im2col(x, rows, gy.shape[3], windows, groups)
    return multiply(_positions(gy, rows, groups), columns.swapaxes(1, 2))


def multiply(a, b, out=None):
    """a (G, m, k) @ b (G, k, n) -> (G, m, n).

    CuPy hands a transposed matrix to the library as it lies, but of a batch it makes copies first, which costs more
    than a few launches. So these go one by one, as does a single one.
    """
    xp = array_module(a)
    if len(a) > FEW_GROUPS or (len(a) > 1 and a.flags.c_contiguous and b.flags.c_contiguous):
        return xp.matmul(a, b, out=out)
    product = empty(a, (len(a), a.shape[1], b.shape[2])) if out is None else out
    for one, other, result in zip(a, b, product, strict=True):
        xp.matmul(one, other, out=result)
    return product


def finish(y, bias, relu):
    """y (N, O, OH, OW) + bias (O,), and then ReLU, in place; either may be missing."""
    if bias is not None or relu:
        images, filters, oh, ow = y.shape
        _CU.run("finish", (oh * ow, images * filters), y, bias, images, filters, oh * ow, relu)


def _matrix(weight, groups):
    """weight (O, C/groups, KH, KW) -> (groups, O/groups, C/groups*KH*KW)."""
    filters, channels, kh, kw = weight.shape
    return weight.reshape(groups, filters // groups, channels * kh * kw)


def _tiles(y, depth):
    """Slices (images, output rows) that cover y, with columns of `depth` numbers a position in WORKSPACE bytes."""
    images, filters, oh, ow = y.shape
    return tiles(images if filters else 0, oh, ow, depth, WORKSPACE // y.itemsize)


def _im2col(x, rows, ow, windows, groups):
    """The columns of a tile, of all images in x: (groups, C/groups*KH*KW, positions)."""
    images, channels, h, w = x.shape
    kh, kw, *steps = windows
    height = rows.stop - rows.start
    if images == 1 and windows[:6] == (1, 1, 1, 1, 0, 0) and (height, ow) == (h, w):  # they are x itself
        return x.reshape(groups, channels // groups, h * w)
    columns = empty(x, (groups, channels // groups * kh * kw, images * height * ow))
    _CU.run("im2col", (columns.shape[2], channels), x, columns, images, channels, h, w, rows.start, height, ow, kh, kw,
            *steps)
    return columns


def _col2im(columns, gx, rows, ow, windows, adding):
    """Columns of a tile back to gx (N, C, h, w): to all its pixels, or, adding, to those that the windows reach."""
    images, channels, h, w = gx.shape
    kh, _, sh, sw, ph, _, dh, dw = windows
    first = max(0, rows.start * sh - ph) if adding else 0
    stop = min(h, (rows.stop - 1) * sh - ph + (kh - 1) * dh + 1) if adding else h
    if first < stop:
        _CU.run("col2im", (images * (stop - first) * w, channels), columns, gx, images, channels, h, w, first,
                stop - first, rows.start, rows.stop - rows.start, ow, *windows, *tap_steps(sh, sw, dh, dw), adding)


def tap_steps(sh, sw, dh, dw):
    """From one tap that reaches a pixel to the next one that does, see conv_taps.h."""
    return sh // math.gcd(sh, dh), sw // math.gcd(sw, dw)


def _place(product, bias, y, rows, relu):
    """product (groups, O/groups, positions) -> its rows of y (N, O, OH, OW), with bias and ReLU."""
    images, filters, oh, ow = y.shape
    area = (rows.stop - rows.start) * ow
    _CU.run("place", (images * area, filters), product, bias, y, images, filters, oh * ow, rows.start * ow, area, relu)


def _positions(gy, rows, groups):
    """A tile's rows of gy (N, O, OH, OW) as a matrix for each group: (groups, O/groups, positions)."""
    images, filters, oh, ow = gy.shape
    area = (rows.stop - rows.start) * ow
    if images == 1 and area == oh * ow:
        return gy.reshape(groups, filters // groups, area)
    part = empty(gy, (groups, filters // groups, images * area))
    _CU.run("gather", (images * area, filters), gy, part, images, filters, oh * ow, rows.start * ow, area)
    return part
