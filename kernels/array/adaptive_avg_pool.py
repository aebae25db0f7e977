"""Adaptive average pooling as two sums, down the columns and then along the rows, one strip of windows at a time."""

from .. import array_module


def adaptive_avg_pool2d(x, oh, ow):
    """x (N, C, H, W) -> y (N, C, oh, ow)."""
    xp = array_module(x)
    images, channels, h, w = x.shape
    columns = xp.empty((images, channels, oh, w), x.dtype)
    for p, rows in enumerate(_windows(h, oh)):
        columns[:, :, p] = x[:, :, rows].sum(axis=2)
    y = xp.empty((images, channels, oh, ow), x.dtype)
    for q, cols in enumerate(_windows(w, ow)):
        y[..., q] = columns[..., cols].sum(axis=3)
    y /= _sizes(xp, h, w, oh, ow, x.dtype)
    return y


def adaptive_avg_pool2d_grad(gy, h, w):
    """gy (N, C, OH, OW) -> gx (N, C, h, w): every pixel gets its share of the windows that it was averaged into."""
    xp = array_module(gy)
    images, channels, oh, ow = gy.shape
    share = gy / _sizes(xp, h, w, oh, ow, gy.dtype)
    columns = xp.zeros((images, channels, oh, w), gy.dtype)
    for q, cols in enumerate(_windows(w, ow)):
        columns[..., cols] += share[..., q : q + 1]
    gx = xp.zeros((images, channels, h, w), gy.dtype)
    for p, rows in enumerate(_windows(h, oh)):
        gx[:, :, rows] += columns[:, :, p : p + 1]
    return gx


def _windows(size, count):
    """The pixels of each window along one axis: floor(p*size/count) to ceil((p+1)*size/count)."""
    return [slice(p * size // count, -(-(p + 1) * size // count)) for p in range(count)]


def _sizes(xp, h, w, oh, ow, dtype):
    """How many pixels each window has: (oh, ow)."""
    rows, cols = xp.arange(oh), xp.arange(ow)
    heights, widths = -(-(rows + 1) * h // oh) - rows * h // oh, -(-(cols + 1) * w // ow) - cols * w // ow
    return (heights[:, None] * widths).astype(dtype)
