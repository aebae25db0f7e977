"""Tables of a resampling along one axis: which inputs an output is the weighted sum of.

    output[q] = sum over m of  weights[m, q] * input[indices[m, q]]

Bilinear resizing, upsampling by a filter, and the gradients of both differ in nothing but these numbers. Where an
output has fewer inputs than others, the rest of its column points behind the last input, where the loops keep a zero:
so a NaN reaches those outputs only that really read it. Making a table takes a tenth of a millisecond, as long as a
small picture, so the last ones are kept.
"""

import functools

import numpy as np


@functools.lru_cache(maxsize=64)
def between(size, count, align_corners, dtype):
    """Bilinear resizing from `size` to `count` pixels -> indices, weights (2, count)."""
    if align_corners:
        source = np.arange(count) * (size - 1) / max(count - 1, 1)
    else:
        source = np.maximum((np.arange(count) + 0.5) * size / count - 0.5, 0)
    first = source.astype(np.int64)
    fraction = source - first
    indices = np.stack([first, np.minimum(first + 1, size - 1)])  # (2, count)
    return _table(indices, np.stack([1 - fraction, fraction]), size, dtype)


@functools.lru_cache(maxsize=64)
def between_adjoint(size, count, align_corners, dtype):
    """The gradient of that: from `count` pixels back to `size`."""
    return _adjoint(*between(size, count, align_corners, dtype), count, size)


def windows(taps, size, count, stride, pad):
    """A filter at every `stride`-th of `size` pixels -> indices, weights (taps, count): a convolution along one axis.

    Output q reads input q*stride + j - pad through tap j.
    """
    return _windows(taps.tobytes(), taps.dtype, size, count, stride, pad)


def windows_adjoint(taps, size, count, stride, pad):
    """The same filter backwards, from `size` pixels to `count`: a transposed convolution along one axis."""
    return _windows_adjoint(taps.tobytes(), taps.dtype, size, count, stride, pad)


@functools.lru_cache(maxsize=64)
def _windows(taps, dtype, size, count, stride, pad):
    taps = np.frombuffer(taps, dtype)[:, None]  # as bytes, because an array is no key
    indices = np.arange(count) * stride + np.arange(taps.size)[:, None] - pad  # (taps, count)
    inside = (indices >= 0) & (indices < size)
    return _table(np.where(inside, indices, size), np.where(inside, taps, 0), size, dtype)


@functools.lru_cache(maxsize=64)
def _windows_adjoint(taps, dtype, size, count, stride, pad):
    return _adjoint(*_windows(taps, dtype, count, size, stride, pad), size, count)


def _adjoint(indices, weights, sources, targets):
    """The transposed table: what output q read from input i, it now gives back to i.

    indices, weights (taps, sources), with indices up to `targets`, the place of the zero -> (others, targets).
    """
    place, giver = indices.ravel(), np.tile(np.arange(sources), len(indices))
    order = np.lexsort((giver, place))  # by the place given to, then by who gives: a fixed order of summation
    order = order[: np.searchsorted(place[order], targets)]  # nothing is given to the zero
    place, giver, given = place[order], giver[order], weights.ravel()[order]
    counts = np.bincount(place, minlength=targets)
    m = np.arange(place.size) - (np.cumsum(counts) - counts)[place]  # which of the gifts to its place this is
    back = np.full((counts.max(initial=0), targets), sources)
    share = np.zeros(back.shape, weights.dtype)
    back[m, place], share[m, place] = giver, given
    return _table(back, share, sources, weights.dtype)


def _table(indices, weights, zero, dtype):
    """As arrays for the loops, with the two rows that these expect at least.

    Unsigned, because numba lets a negative index count from the end and would ask at each access.
    """
    missing = ((0, max(0, 2 - len(indices))), (0, 0))
    indices, weights = np.pad(indices, missing, constant_values=zero), np.pad(weights, missing)
    return np.ascontiguousarray(indices, np.uint32), np.ascontiguousarray(weights, dtype)
