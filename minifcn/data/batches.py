"""From samples to the arrays that a network takes, and which samples form which batch.

There is no state here. The batch of iteration `step` is a pure function of (seed, step): which samples, in which
order, flipped and cropped how. So a run that is resumed at step 1000 sees, bit for bit, what it would have seen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .dataset import VOID, Array, Dataset, Sample
from .transforms import Augmentation, resize


def batch_indices(n: int, batch_size: int, seed: int, step: int) -> Array:
    """(batch_size,) int64: the samples, out of `n`, that form the batch of iteration `step`.

    Each epoch is a permutation of its own, and the epochs follow each other without a break: a batch may hold the
    last samples of one and the first of the next, so no sample is ever left out and no batch is ever short.
    """
    for name, value, least in (("n", n, 1), ("batch_size", batch_size, 1), ("seed", seed, 0), ("step", step, 0)):
        if value < least:
            raise ValueError(f"batch_indices: expected {name} >= {least}, got {value}. Check the call.")
    first, last = step * batch_size, (step + 1) * batch_size  # places in the endless row of epochs
    epochs = range(first // n, (last - 1) // n + 1)
    row = np.concatenate([np.random.default_rng([seed, epoch]).permutation(n) for epoch in epochs])
    start = first - epochs[0] * n
    return row[start : start + batch_size]


def to_batch(
    samples: Sequence[Sample], mean: ArrayLike = 0.0, scale: ArrayLike = 1.0, dtype: DTypeLike = np.float32,
    channel_order: str = "RGB",
) -> tuple[Array, Array]:
    """Samples of one size -> x (N, 3, H, W) in `dtype`, (image - mean) * scale, and target (N, H, W) int64.

    Images of more channels come as x (N, channels, H, W). `mean` and `scale` are numbers or one number a channel, in
    the image's own order and units: red first, 0..255. With `channel_order` "BGR", x has blue first.
    Raises ValueError for no samples, samples of several sizes, and pixels that are NaN or infinite.
    """
    if not samples:
        raise ValueError("to_batch: expected at least one sample, got none. Check the list of indices.")
    h, w = samples[0].label.shape
    for sample in samples:
        if sample.label.shape != (h, w) or sample.image.shape[:2] != (h, w):
            raise ValueError(
                f"to_batch: expected samples of one size, {h}x{w} ({samples[0].name}), "
                f"got {sample.image.shape[0]}x{sample.image.shape[1]} ({sample.name}). "
                f"Set one size (--size HxW) or crop (--crop HxW), or a batch of one."
            )
    images = np.stack([sample.image for sample in samples])  # (N, H, W, 3)
    # Subtract and multiply in float64, round once: then float32 and float64 batches differ by that rounding alone.
    normalised = (images - np.asarray(mean, dtype=np.float64)) * np.asarray(scale, dtype=np.float64)
    channels = list(reordered(range(images.shape[3]), channel_order))
    x = np.ascontiguousarray(normalised[..., channels].transpose(0, 3, 1, 2), dtype=dtype)  # (N, 3, H, W)
    _refuse_nan(x, samples)
    target = np.stack([sample.label for sample in samples]).astype(np.int64)  # (N, H, W)
    return x, target


def reordered(numbers: Sequence[Any], channel_order: str) -> tuple[Any, ...]:
    """What belongs to each channel, red first, in another order, and back: for BGR the first three turned round.

    Raises ValueError for another order than "RGB" and "BGR".
    """
    if channel_order not in ("RGB", "BGR"):
        raise ValueError(f"to_batch: expected channel_order 'RGB' or 'BGR', got {channel_order!r}. Caffe's is BGR.")
    return tuple(numbers) if channel_order == "RGB" else (*numbers[2::-1], *numbers[3:])


def _refuse_nan(x: Array, samples: Sequence[Sample]) -> None:
    if np.isfinite(x).all():
        return
    n, c, row, column = np.argwhere(~np.isfinite(x))[0]
    raise ValueError(
        f"to_batch: expected finite pixels, got {x[n, c, row, column]} in channel {c}, row {row}, column {column} "
        f"of {samples[n].name}. Check the image, and that mean and scale are finite numbers."
    )


def load_batch(
    dataset: Dataset,
    indices: ArrayLike,
    *,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    step: int = 0,
    size: tuple[int, int] | None = None,
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    dtype: DTypeLike = np.float32,
    channel_order: str = "RGB",
) -> tuple[Array, Array]:
    """Reads samples `indices`, resizes them to `size`, augments them, and returns x and target as `to_batch` does.

    The k-th sample of iteration `step` has random numbers of its own, made from (seed, step, k).
    """
    samples = []
    for k, index in enumerate(np.atleast_1d(np.asarray(indices)).tolist()):
        image, label, name = dataset[index]
        if size is not None:
            image, label = resize(image, label, size)
        if augmentation is not None:
            # NumPy pads seeds with zeros: without the 1, k = 0 would have the stream that shuffles epoch `step`.
            rng = np.random.default_rng([seed, step, k, 1])
            image, label = augmentation(image, label, rng, fill=np.broadcast_to(mean, image.shape[2:]))
        samples.append(Sample(image, label, name))
    return to_batch(samples, mean, scale, dtype, channel_order)


def valid_pixels(target: Array) -> int:
    """How many pixels of the target are not void: a batch with none has no loss and no gradient."""
    return int(np.count_nonzero(target != VOID))
