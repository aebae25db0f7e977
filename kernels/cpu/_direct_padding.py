"""The input of a convolution with zeros around it, in one piece. Costs one copy, or nothing without padding."""

from ._compile import compiled
from ._direct_source import SLACK, Layout
from ._micro_kernel import at
from ._processor import LANES
from ._threads import run
from ._vectors import copy_run
from .memory import empty


def padded(x, rows, columns, ph, pw):
    """x (N, C, H, W), contiguous -> an array (N, C, numbers) of images of at least rows x columns, and their Layout.

    Input pixel (0, 0) comes to lie at (ph, pw); what is behind row `rows` or column `columns` may be missing.
    """
    n, c, h, w = x.shape
    if (ph, pw) == (0, 0) and rows <= h and columns <= w:
        return x, Layout(1, 1, h, w, h * w)  # as it is
    form = Layout(1, 1, rows, columns, rows * columns + SLACK)
    planes = empty((n, c, form.channel), x.dtype)
    run(_pad, n * c, x.reshape(n * c, h, w), planes.reshape(n * c, form.channel), rows, columns, ph, pw)
    return planes, form


@compiled
def _pad(part, start, stop, x, planes, rows, columns, ph, pw):
    zero = x.dtype.type(0)
    h, w = x.shape[1], x.shape[2]
    lanes = LANES * 4 // x.itemsize
    left, right = min(pw, columns), max(min(pw, columns), min(pw + w, columns))
    for plane in range(start, stop):
        for r in range(rows):
            place, inside = r * columns, ph <= r < ph + h
            begin, end = (left, right) if inside else (columns, columns)
            for u in range(begin):
                planes[plane, place + u] = zero
            for u in range(begin, end, lanes):
                copy_run(at(planes, plane * planes.shape[1] + place + u),
                         at(x, (plane * h + r - ph) * w + u - pw), min(lanes, end - u))
            for u in range(end, columns):
                planes[plane, place + u] = zero
