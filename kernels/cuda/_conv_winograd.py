"""Winograd's convolution F(4x4, 3x3) for filters of 3x3 at stride 1, in float32: kernels/cpu/_winograd.py tells how.

    M[p] (O, tiles) = U[p] (O, C) @ V[p] (C, tiles)          for each of the 36 points p

The input gradient is a convolution too, of gy by filters turned by 180 degrees whose channels have changed sides. For
the weight gradient gy is transformed as well, and the 36 products sum over the tiles.
"""

from .. import array_module
from ._conv_columns import WORKSPACE
from ._program import Program, empty

_CU = Program("conv_winograd")
TILE, POSITIONS = 4, 36  # outputs of a tile along one axis; points of a tile


def tile_grid(oh, ow, dh, dw):
    """Rows of tiles and tiles in a row, in each of the dh*dw maps that a dilation takes apart."""
    return -(-oh // (TILE * dh)), -(-ow // (TILE * dw))


def tile_count(images, oh, ow, dh, dw):
    tiles_y, tiles_x = tile_grid(oh, ow, dh, dw)
    return images * dh * dw * tiles_y * tiles_x


def transform_weight(weight):
    """weight (O, C, 3, 3) -> u (36, O, C) for `convolve` of x."""
    filters, channels = weight.shape[:2]
    return _transform(weight, filters, channels, turned=False)


def transform_weight_turned(weight):
    """weight (O, C, 3, 3) -> u (36, C, O) for `convolve` of gy, which then is the input gradient."""
    filters, channels = weight.shape[:2]
    return _transform(weight, channels, filters, turned=True)


def _transform(weight, rows, columns, turned):
    u = empty(weight, (POSITIONS, rows, columns))
    _CU.run("filters", (columns, rows), weight, u, *weight.shape[:2], turned)
    return u


def convolve(x, u, bias, oh, ow, ph, pw, dh, dw, relu):
    """x (N, C, H, W), u (36, O, C) from `transform_weight`, bias (O,) or None -> y (N, O, oh, ow)."""
    y = empty(x, (len(x), u.shape[1], oh, ow))
    for first, tiles in _parts(y, sum(u.shape[1:]), dh, dw):
        v = _inputs(x, first, tiles, oh, ow, ph, pw, dh, dw, turned=False)
        _outputs(array_module(x).matmul(u, v), bias, y, first, dh, dw, relu)
        del v  # before the next is made
    return y


def grad_weight(gy, x, ph, pw, dh, dw):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C, 3, 3). Part after part: a fixed order."""
    filters, channels = gy.shape[1], x.shape[1]
    total = None
    for first, tiles in _parts(gy, filters + channels, dh, dw):
        product = _grad_weight(gy, x, first, tiles, ph, pw, dh, dw)
        if total is None:
            total = product
        else:
            total += product
    gweight = empty(gy, (filters, channels, 3, 3))
    _CU.run("filter_gradients", filters * channels, total, gweight, filters * channels)
    return gweight


def _grad_weight(gy, x, first, tiles, ph, pw, dh, dw):
    """What some tiles add to the 36 products (O, C)."""
    _, filters, oh, ow = gy.shape
    z = empty(gy, (POSITIONS, filters, tiles))
    _CU.run("gradients", (tiles, filters), gy, z, first, tiles, filters, oh, ow, *tile_grid(oh, ow, dh, dw), dh, dw)
    # V lies as the product wants it: CuPy would make a copy of many transposed matrices.
    return array_module(gy).matmul(z, _inputs(x, first, tiles, oh, ow, ph, pw, dh, dw, turned=True))


def _parts(y, channels, dh, dw):
    """(first tile, how many) of y (N, O, OH, OW), until all are done: what lies on both sides of the products, all the
    `channels` that go in and out, takes WORKSPACE bytes. See there why so many."""
    images, _, oh, ow = y.shape
    count, most = tile_count(images, oh, ow, dh, dw), max(1, WORKSPACE // (POSITIONS * channels * y.itemsize))
    return [(first, min(most, count - first)) for first in range(0, count, most)]


def _inputs(x, first, tiles, oh, ow, ph, pw, dh, dw, turned):
    """Tiles of x (N, C, H, W) -> v (36, C, tiles), or turned (36, tiles, C)."""
    _, channels, h, w = x.shape
    v = empty(x, (POSITIONS, tiles, channels) if turned else (POSITIONS, channels, tiles))
    kernel, work = "inputs", (tiles, channels)
    if turned:  # warps of channels
        kernel, work = "inputs_turned", (32 * tiles, -(-channels // 32))
    _CU.run(kernel, work, x, v, first, tiles, channels, h, w, *tile_grid(oh, ow, dh, dw), ph, pw, dh, dw)
    return v


def _outputs(m, bias, y, first, dh, dw, relu):
    """m (36, O, tiles) -> these tiles of y (N, O, OH, OW)."""
    _, filters, oh, ow = y.shape
    tiles, rows_of_four = m.shape[2], dw == 1 and ow % TILE == 0 and y.itemsize == 4
    _CU.run("outputs", (tiles, filters), m, bias, y, first, tiles, filters, oh, ow, *tile_grid(oh, ow, dh, dw), dh, dw,
            relu, rows_of_four)
