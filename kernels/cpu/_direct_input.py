"""Input gradient of a direct convolution, as convolutions of gy with stride 1: one for each remainder.

Input row iy meets output row p through tap i where iy = p*sh + i*dh - ph. With iy = u*sh + a this is

    p = u + t(i),   t(i) = (a + ph - i*dh) / sh        for the taps i that make t(i) a whole number, no others

so the input rows of one remainder a are a convolution of gy with stride 1 over those taps, and the same for columns.
No multiplication is made with a zero between pixels. With stride 1 there is one remainder, and all taps belong to it.
"""

import functools

import numpy as np

from . import _direct_filters, _direct_pixels
from ._choice import vectors_along
from ._compile import compiled
from ._direct_scatter import scatter
from ._direct_source import padded
from ._direct_taps import missed, sum_by_tap
from ._threads import run
from .memory import empty


def grad_input(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups):
    """gy (N, O, OH, OW), weight (O, C/groups, KH, KW) -> gx (N, C, h, w)."""
    n, o = gy.shape[:2]
    channels, kh, kw = weight.shape[1:]
    if vectors_along(channels, gy.dtype) == "pixels" or not gy.size or _wasteful(*gy.shape[2:], h, w, sh, sw):
        return scatter(gy, weight, h, w, sh, sw, ph, pw, dh, dw, groups)
    rows, columns = -(-h // sh), -(-w // sw)  # of one remainder
    taps_h, taps_w = _taps(kh, sh, ph, dh), _taps(kw, sw, pw, dw)
    first_h, last_h = _reach(taps_h)
    first_w, last_w = _reach(taps_w)
    source, form = padded(gy, rows + last_h - first_h, columns + last_w - first_w, -first_h, -first_w)
    parts = empty((sh * sw, n, channels * groups, rows, columns), gy.dtype)
    share = missed(kh, kw, h, w, *gy.shape[2:], sh, sw, ph, pw, dh, dw)
    by_pixels = vectors_along(channels, gy.dtype, rows * columns, share) == "pixels"
    correlate = _direct_pixels.correlate if by_pixels else _direct_filters.correlate
    tables = _tables(form, not by_pixels, o // groups, channels, *gy.shape[2:], kh, kw, rows, columns, sh, sw, ph, pw,
                     dh, dw)
    for part, taps in zip(parts, tables, strict=True):
        correlate(source.reshape(n, -1), form.channel * (o // groups), form.pitch, taps, weight.ravel(), kh * kw,
                  o // groups * channels * kh * kw, None, part, groups, relu=False)
    return _interleave(parts, h, w, sh, sw)


@functools.lru_cache(maxsize=64)  # as in `_direct_taps`
def _tables(form, skipping, o, channels, oh, ow, kh, kw, rows, columns, sh, sw, ph, pw, dh, dw):
    """The taps of each remainder, for o filters a group."""
    taps_h, taps_w = _taps(kh, sh, ph, dh), _taps(kw, sw, pw, dw)
    first_h, first_w = _reach(taps_h)[0], _reach(taps_w)[0]
    filters = np.arange(o)
    found = []
    for t_h, i in taps_h:
        for t_w, j in taps_w:
            pixels = (t_h - first_h)[:, None, None] * form.pitch + (t_w - first_w)[:, None] + filters * form.channel
            weights = i[:, None, None] * kw + j[:, None] + filters * channels * kh * kw  # (rows, columns, O)
            inside = _inside(t_h, oh, rows), _inside(t_w, ow, columns)
            found.append(sum_by_tap(pixels, weights, skipping, *inside, rows, columns))
    return found


def _wasteful(oh, ow, h, w, sh, sw):
    """Whether gx has so many more pixels than gy that most products would be with the zeros around gy."""
    return -(-h // sh) * -(-w // sw) > 1.4 * oh * ow


def _inside(t, size, count):
    """For each t the u in [first, behind the last], within 0 <= u < count, for which 0 <= u + t < size."""
    first = np.clip(-t, 0, count)
    return list(zip(first.tolist(), np.maximum(first, np.clip(size - t, 0, count)).tolist(), strict=True))


def _taps(size, step, pad, dilation):
    """For each remainder a: the whole numbers t(i), and their taps i."""
    i = np.arange(size)
    found = []
    for a in range(step):
        shift = a + pad - i * dilation
        found.append((shift[shift % step == 0] // step, i[shift % step == 0]))
    return found


def _reach(taps):
    """The smallest and the largest t(i)."""
    every = np.concatenate([t for t, _ in taps])
    return int(every.min()), int(every.max())


def _interleave(parts, h, w, sh, sw):
    """Remainders (sh * sw, N, C, rows, columns) -> (N, C, h, w)."""
    _, n, c, rows, columns = parts.shape
    if (sh, sw) == (1, 1):
        return parts.reshape(n, c, h, w)
    gx = empty((n, c, h, w), parts.dtype)
    run(_put_rows, n * c, parts.reshape(sh * sw, n * c, rows, columns), gx.reshape(n * c, h, w), sh, sw)
    return gx


@compiled
def _put_rows(part, start, stop, parts, gx, sh, sw):
    h, w = gx.shape[1], gx.shape[2]
    for plane in range(start, stop):
        for iy in range(h):
            if sw == 2:  # as a constant, it becomes vector instructions
                even, odd = parts[iy % sh * 2, plane, iy // sh], parts[iy % sh * 2 + 1, plane, iy // sh]
                line = gx[plane, iy]
                for u in range(w // 2):
                    line[2 * u] = even[u]
                    line[2 * u + 1] = odd[u]
                if w % 2:
                    line[w - 1] = even[w // 2]
                continue
            for b in range(sw):
                for u in range((w - b + sw - 1) // sw):
                    gx[plane, iy, u * sw + b] = parts[iy % sh * sw + b, plane, iy // sh, u]
