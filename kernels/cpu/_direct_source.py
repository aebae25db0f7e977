"""The input of a direct convolution as its loops want it: padded, sorted by remainders, and its taps in a table.

With stride 2, even columns meet some taps and odd columns the others. So the padded image is taken apart into sh * sw
*planes*, one for each pair of remainders of row and column: in each plane, neighbouring output pixels read neighbours,
as if the stride were 1. Output pixel (p, q) meets tap k = (c, i, j) at

    offsets[k] + p * pitch + q

in numbers from the beginning of the image; that is all that the loops know of stride, padding and dilation.
Costs one copy of the input, but nothing where there is neither padding nor stride.
"""

from typing import NamedTuple

import numpy as np

from ._compile import compiled
from ._direct_columns import LINES
from ._micro_kernel import at
from ._threads import run
from ._vectors import copy_run, pick_run
from .memory import empty

SLACK = 16  # numbers behind the end of a plane: consecutive planes then do not meet in the same lines of the cache


class Layout(NamedTuple):
    """Where a plane of remainders lies; sizes in numbers."""

    phases_h: int
    phases_w: int
    rows: int  # of one plane
    pitch: int  # from row to row
    channel: int  # from channel to channel

    @property
    def plane(self) -> int:
        return self.rows * self.pitch


def layout(oh, ow, kh, kw, sh, sw, dh, dw) -> Layout:
    """The planes that windows of this geometry read."""
    phases_h, phases_w = min(sh, (kh - 1) * dh + 1), min(sw, (kw - 1) * dw + 1)  # remainders that a tap falls on
    rows, pitch = oh + (kh - 1) * dh // sh, ow + (kw - 1) * dw // sw
    return Layout(phases_h, phases_w, rows, pitch, phases_h * phases_w * rows * pitch + SLACK)


def tap_offsets(form: Layout, channels, kh, kw, sh, sw, dh, dw) -> np.ndarray:
    """(channels * kh * kw,): where output pixel (0, 0) meets each tap."""
    i, j = np.arange(kh) * dh, np.arange(kw) * dw
    row = i % sh * form.phases_w * form.plane + i // sh * form.pitch  # (kh,)
    column = j % sw * form.plane + j // sw  # (kw,)
    channel = np.arange(channels) * form.channel  # (channels,)
    return (channel[:, None, None] + row[:, None] + column).ravel()


def source_of(x, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw):
    """x (N, C, H, W), contiguous -> an array of its planes (N, C, channel) and their Layout."""
    n, c, h, w = x.shape
    form = layout(oh, ow, kh, kw, sh, sw, dh, dw)
    if (sh, sw, ph, pw) == (1, 1, 0, 0) and form.rows <= h and form.pitch <= w:
        return x, Layout(1, 1, h, w, h * w)  # as it is
    planes = empty((n, c, form.channel), x.dtype)
    run(_take_apart, n * c * form.phases_h * form.rows, x.reshape(-1), h, w, planes.reshape(-1), form.channel,
        form.phases_h, form.phases_w, form.rows, form.pitch, sh, sw, ph, pw)
    return planes, form


def padded(x, rows, columns, ph, pw):
    """The same in one plane, as stride 1 wants it: at least rows x columns, input pixel (0, 0) at (ph, pw)."""
    return source_of(x, rows, columns, 1, 1, 1, 1, ph, pw, 1, 1)


def put_together(planes, form, h, w, sh, sw, ph, pw):
    """The way back, for gradients: planes (N, C, channel) -> (N, C, h, w); zero where no window reached."""
    n, c, _ = planes.shape
    gx = empty((n, c, h, w), planes.dtype)
    run(_put_together, n * c, planes.reshape(n * c, form.channel), gx.reshape(n * c, h, w),
        form.phases_h, form.phases_w, form.rows, form.pitch, sh, sw, ph, pw)
    return gx


@compiled
def _take_apart(part, start, stop, x, h, w, planes, size, phases_h, phases_w, rows, pitch, sh, sw, ph, pw):
    """x (images, h, w) and planes (images, size), both flat."""
    lines = phases_h * rows  # of one image, each of phases_w pieces
    for fj in range(phases_w):
        first, last = _inside(w, pitch, sw, fj - pw)
        for line in range(start, stop):
            image, r = line // lines, line % lines
            iy = r % rows * sh + r // rows - ph
            begin = image * size + (r // rows * phases_w * rows + fj * rows + r % rows) * pitch
            if 0 <= iy < h and first < last:
                _clear(planes, begin, begin + first)
                _copy(planes, begin + first, x, (image * h + iy) * w + first * sw + fj - pw, sw, last - first)
                _clear(planes, begin + last, begin + pitch)
            else:
                _clear(planes, begin, begin + pitch)


@compiled
def _clear(planes, first, last):
    for u in range(first, last):
        planes[u] = planes.dtype.type(0)


@compiled
def _copy(planes, target, x, source, step, count):
    """From number `source` of x, every step-th, to number `target` of the planes."""
    lanes = LINES // x.itemsize
    for u in range(0, count, lanes):
        here, to, of = min(lanes, count - u), at(planes, target + u), at(x, source + u * step)
        if step == 1:
            copy_run(to, of, here)
        elif step == 2:
            pick_run(2, to, here, of, 0, 2 * here - 1)
        elif step == 4:
            pick_run(4, to, here, of, 0, 4 * here - 3)
        else:
            for s in range(u, u + here):
                planes[target + s] = x[source + s * step]


@compiled
def _put_together(part, start, stop, planes, gx, phases_h, phases_w, rows, pitch, sh, sw, ph, pw):
    h, w = gx.shape[1], gx.shape[2]
    for image in range(start, stop):
        gx[image] = gx.dtype.type(0)
        for fi in range(phases_h):
            for fj in range(phases_w):
                begin = (fi * phases_w + fj) * rows * pitch
                first, last = _inside(w, pitch, sw, fj - pw)
                for r in range(rows):
                    iy = r * sh + fi - ph
                    if 0 <= iy < h:
                        for u in range(first, last):
                            gx[image, iy, u * sw + fj - pw] = planes[image, begin + r * pitch + u]


@compiled
def _inside(size, count, step, shift):
    """The u in range(first, last), within 0 <= u < count, for which 0 <= u*step + shift < size."""
    first = min(count, max(0, -(shift // step)))  # -(a // b) is the ceiling of -a / b
    return first, max(first, min(count, (size - 1 - shift) // step + 1))
