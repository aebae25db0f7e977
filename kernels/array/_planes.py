"""Planes: the N*C images of one channel that pooling treats one like the other."""

from collections.abc import Iterator

BLOCK = 1 << 18  # pixels that are worked on at a time, so that all taps find them in the processor's cache


def blocks(planes, plane_size) -> Iterator[slice]:
    """Slices that go through the planes a few at a time, about BLOCK pixels each."""
    step = max(1, BLOCK // max(1, plane_size))
    for start in range(0, planes, step):
        yield slice(start, min(start + step, planes))


def end_to_end(xp, indices, plane_size):
    """Indices into single planes, (planes, OH, OW), as indices into all planes laid end to end: (planes*OH*OW,)."""
    planes, oh, ow = indices.shape
    first = xp.arange(planes, dtype=xp.int64) * plane_size  # where each plane begins
    return (indices.reshape(planes, oh * ow) + first[:, None]).reshape(-1)
