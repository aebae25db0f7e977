"""Which outputs see the input through a given tap, and which pixels they see: two slices instead of a loop.

Output p reads pixel p*stride + offset - before. For one tap this is an arithmetic progression, so all outputs whose
tap falls inside the input are one slice, and the pixels that they read are another, with the stride as its step.
Padding is then never materialised: an output whose tap falls outside is simply left out.
"""


def reach(size, count, stride, before, offset) -> tuple[slice, slice]:
    """Along one axis: (outputs whose tap at `offset` falls inside `size` pixels, the pixels that they read)."""
    first = max(0, -(-(before - offset) // stride))
    last = min(count - 1, (size - 1 + before - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset - before
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)


def reaches(h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw) -> list[tuple[tuple, tuple]]:
    """`reach` on both axes, for all taps in row-major order: indices into (planes, oh, ow) and (planes, h, w)."""
    everything = slice(None)  # all planes
    pairs = []
    for i in range(kh):
        rows, iy = reach(h, oh, sh, ph, i * dh)
        for j in range(kw):
            cols, ix = reach(w, ow, sw, pw, j * dw)
            pairs.append(((everything, rows, cols), (everything, iy, ix)))
    return pairs
