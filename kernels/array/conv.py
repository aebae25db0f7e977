"""Convolution and its two gradients as matrix products, one tile of the output at a time.

With the taps copied into columns X (C*KH*KW, positions) and the filters as a matrix W (O, C*KH*KW):

    Y = W X            gX = W^T gY            gW = gY X^T

so all the arithmetic is done by the matrix product of BLAS (or cuBLAS), and what is left to write is the copying.
"""

import math

from .. import array_module
from ._columns import col2im_add, im2col, pad_input, tiles


def conv2d(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, oh, ow)."""
    xp = array_module(x)
    filters, channels, kh, kw = weight.shape
    matrix = weight.reshape(groups, filters // groups, channels * kh * kw)
    padded = pad_input(xp, x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
    y = xp.empty((x.shape[0], filters, oh, ow), x.dtype)
    for images, rows in tiles(x.shape[0], oh, ow, x.shape[1] * kh * kw):
        columns = im2col(xp, padded, images, rows, ow, kh, kw, sh, sw, dh, dw, groups)
        product = xp.matmul(matrix, columns)  # (groups, O/groups, m*rows*ow)
        height, together = rows.stop - rows.start, images.stop - images.start
        y[images, :, rows] = product.reshape(filters, together, height, ow).swapaxes(0, 1)
    if bias is not None:
        y += bias[:, None, None]
    return y


def conv2d_grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w). Also a transposed convolution's forward."""
    xp = array_module(gy)
    count, filters, oh, ow = gy.shape
    _, channels, kh, kw = weight.shape
    transposed = weight.reshape(groups, filters // groups, channels * kh * kw).swapaxes(1, 2)
    reach_h, reach_w = (oh - 1) * sh + dh * (kh - 1) + 1, (ow - 1) * sw + dw * (kw - 1) + 1
    # Wide enough for every window and for the whole image, so that both can be cut out of it.
    padded = xp.zeros((count, channels * groups, max(reach_h, ph + h), max(reach_w, pw + w)), gy.dtype)
    for images, rows in tiles(count, oh, ow, channels * groups * kh * kw):
        part = _positions(xp, gy, images, rows, groups)
        col2im_add(xp.matmul(transposed, part), padded, images, rows, ow, kh, kw, sh, sw, dh, dw)
    return xp.ascontiguousarray(padded[:, :, ph : ph + h, pw : pw + w])


def conv2d_grad_weight(gy, x, kh, kw, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C/groups, kh, kw)."""
    xp = array_module(gy)
    count, filters, oh, ow = gy.shape
    channels = x.shape[1] // groups
    padded = pad_input(xp, x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw)
    gweight = xp.zeros((groups, filters // groups, channels * kh * kw), gy.dtype)
    for images, rows in tiles(count, oh, ow, x.shape[1] * kh * kw):
        columns = im2col(xp, padded, images, rows, ow, kh, kw, sh, sw, dh, dw, groups)
        gweight += xp.matmul(_positions(xp, gy, images, rows, groups), columns.swapaxes(1, 2))
    return gweight.reshape(filters, channels, kh, kw)


def _positions(xp, gy, images, rows, groups):
    """One tile of gy as a matrix for each group: (groups, O/groups, m*rows*ow)."""
    part = gy[images, :, rows].swapaxes(0, 1)  # (O, m, rows, ow)
    filters, *positions = part.shape
    return part.reshape(groups, filters // groups, math.prod(positions))
