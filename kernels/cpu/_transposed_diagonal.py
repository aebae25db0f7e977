"""Transposed convolution by one and the same separable filter in each channel: bilinear upsampling, as FCN freezes it.

Its weight (C, C, KH, KW) is zero but for the filters at [c, c]: of C*C*KH*KW multiplications for every input pixel all
but C*KH*KW are by zero, and as the filter is the product of a column and a row, even these are done in two short sums
(`_bilinear`). With 21 classes and stride 8, that are some 4 multiply-adds an output pixel instead of 84*21, and what is
left is the time that it takes to write the output.

A NaN or infinity stays in its own channel here, while the sums of all channels would have spread it: NaN * 0 is NaN.
"""

import numpy as np

from ._bilinear import expand, reduce
from ._bilinear_tables import windows, windows_adjoint
from ._compile import compiled
from ._layout import contiguous
from ._threads import run

GRAIN = 1 << 16  # numbers of a weight that are worth another thread to look at


def find_diagonal(weight, groups):
    """The (column, row) whose product is the filter of every channel, or None if the weight is not of that kind.

    weight (C, O/groups, KH, KW) is, if C == O, all channels have the same filter, to the last bit, and all else is
    zero; the product may differ from the filter by rounding. With a group for each channel nothing else is there.
    Costs one reading of the weight, but stops at the first number that does not fit: nearly always the first.
    """
    channels, outputs, kh, kw = weight.shape
    if outputs * groups != channels or groups not in (1, channels) or weight.size == 0:
        return None
    kernel = weight[0, 0]
    taps = _factors(kernel) if channels == 1 or groups > 1 or weight[0, 1, 0, 0] == 0 else None
    if taps is None:
        return None
    differs = np.zeros(1, np.bool_)
    run(_compare, channels, contiguous(weight), groups, differs, grain=-(-GRAIN * channels // weight.size))
    return None if differs[0] else taps


def upsample_diagonal(x, column, row, oh, ow, sh, sw, ph, pw):
    """x (N, C, H, W), filter column (KH,) and row (KW,) -> y (N, C, oh, ow): the transposed convolution."""
    h, w = x.shape[2:]
    return expand(x, windows_adjoint(column, h, oh, sh, ph), windows_adjoint(row, w, ow, sw, pw))


def downsample_diagonal(gy, column, row, h, w, sh, sw, ph, pw):
    """gy (N, C, OH, OW), filter column (KH,) and row (KW,) -> gx (N, C, h, w): its gradient, a strided convolution."""
    oh, ow = gy.shape[2:]
    return reduce(gy, windows(column, oh, h, sh, ph), windows(row, ow, w, sw, pw))


def _factors(kernel):
    """(column, row) with column[i] * row[j] == kernel[i, j] to rounding, or None. kernel (KH, KW)."""
    i, j = np.unravel_index(np.argmax(np.abs(kernel)), kernel.shape)
    if not np.isfinite(kernel).all() or kernel[i, j] == 0:
        return None
    column, row = kernel[:, j], kernel[i] / kernel[i, j]
    error = np.abs(column[:, None] * row - kernel)
    return (column.copy(), row) if (error <= 4 * np.finfo(kernel.dtype).eps * np.abs(kernel)).all() else None


@compiled
def _compare(part, start, stop, weight, groups, differs):
    """Set `differs` if filters start:stop are not the first one on the diagonal, or not zero off it."""
    _, outputs, kh, kw = weight.shape
    for c in range(start, stop):
        for o in range(outputs):
            for i in range(kh):
                unequal = 0  # counted, as a loop without a way out compares many at once
                if o == c or groups > 1:
                    for j in range(kw):
                        unequal += weight[c, o, i, j] != weight[0, 0, i, j]
                else:
                    for j in range(kw):
                        unequal += weight[c, o, i, j] != 0
                if unequal:
                    differs[0] = True
                    return
