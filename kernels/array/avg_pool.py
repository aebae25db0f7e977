"""Average pooling as two sums, down the columns and then along the rows.

A window's sum is the sum of its row sums, so kh + kw additions do the work of kh*kw: 120 instead of 3600 for a window
of 60x60. The backward pass is the same in reverse: spread along the rows, then down the columns.
"""

from .. import array_module
from ._reach import reach


def avg_pool2d(x, divisor, oh, ow, kh, kw, sh, sw, ph, pw):
    """x (N, C, H, W), divisor (oh, ow) -> y (N, C, oh, ow)."""
    xp = array_module(x)
    images, channels, h, w = x.shape
    columns = xp.zeros((images, channels, oh, w), x.dtype)  # summed over the kh rows of each window
    for i in range(kh):
        rows, iy = reach(h, oh, sh, ph, i)
        columns[:, :, rows] += x[:, :, iy]
    y = xp.zeros((images, channels, oh, ow), x.dtype)
    for j in range(kw):
        cols, ix = reach(w, ow, sw, pw, j)
        y[..., cols] += columns[..., ix]
    y /= divisor
    return y


def avg_pool2d_grad(gy, divisor, h, w, kh, kw, sh, sw, ph, pw):
    """gy (N, C, OH, OW), divisor (OH, OW) -> gx (N, C, h, w)."""
    xp = array_module(gy)
    images, channels, oh, ow = gy.shape
    share = gy / divisor
    columns = xp.zeros((images, channels, oh, w), gy.dtype)
    for j in range(kw):
        cols, ix = reach(w, ow, sw, pw, j)
        columns[..., ix] += share[..., cols]
    gx = xp.zeros((images, channels, h, w), gy.dtype)
    for i in range(kh):
        rows, iy = reach(h, oh, sh, ph, i)
        gx[:, :, iy] += columns[:, :, rows]
    return gx
