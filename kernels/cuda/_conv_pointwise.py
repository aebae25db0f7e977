"""A filter of one tap with stride 1 is a matrix product for each image, and nothing has to be copied for it."""

from ._conv_columns import finish, multiply
from ._program import empty


def forward(x, weight, bias, groups, relu):
    """x (N, C, H, W), weight (O, C/groups, 1, 1), bias (O,) or None -> y (N, O, H, W)."""
    filters, channels = weight.shape[:2]
    y = empty(x, (len(x), filters, *x.shape[2:]))
    _multiply_each(weight.reshape(groups, filters // groups, channels), x, y)
    finish(y, bias, relu)
    return y


def grad_input(gy, weight, groups):
    """gy (N, O, H, W), weight (O, C/groups, 1, 1) -> gx (N, C, H, W)."""
    filters, channels = weight.shape[:2]
    gx = empty(gy, (len(gy), channels * groups, *gy.shape[2:]))
    _multiply_each(weight.reshape(groups, filters // groups, channels).swapaxes(1, 2), gy, gx)
    return gx


def _multiply_each(matrix, x, y):
    """matrix (groups, m, k), x (N, groups*k, H, W) -> y (N, groups*m, H, W)."""
    groups, m, k = matrix.shape
    pixels = x.shape[2] * x.shape[3]
    for one, other in zip(x, y, strict=True):
        multiply(matrix, one.reshape(groups, k, pixels), other.reshape(groups, m, pixels))
