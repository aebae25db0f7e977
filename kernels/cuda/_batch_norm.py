"""Launches of the kernels in batch_norm.h, with or without the ReLU: that is what the program was compiled for."""

from ._channels import every_channel, every_number, partials
from ._program import contiguous, empty


def normalize(program, x, mean, inv_std, weight, bias):
    """x (N, C, H, W), the others (C,) -> y (N, C, H, W)."""
    y = empty(x, x.shape)
    work, sizes = every_number(x)
    program.run("normalize", work, *_rows(x, mean, inv_std, weight, bias), y, *sizes)
    return y


def gradient(program, gy, y, x, mean, inv_std, weight):
    """gy, y, x (N, C, H, W), the others (C,) -> gx, gweight (C,), gbias (C,); y is None without ReLU."""
    gx = empty(x, x.shape)
    gy, y, x, mean, inv_std, weight = _rows(gy, y, x, mean, inv_std, weight)
    work, sizes = every_number(x)
    of_chunks, chunks = partials(x, 2)
    program.run("gradient_sums", work, gy, y, x, mean, inv_std, of_chunks, *sizes)
    gweight, gbias = _add(program, x, of_chunks, chunks)
    program.run("gradient", work, gy, y, x, mean, inv_std, weight, gweight, gbias, gx, *sizes)
    return gx, gweight, gbias


def frozen_gradient(program, gy, y, x, mean, inv_std, weight):
    """The same with mean and inv_std as constants."""
    gx = empty(x, x.shape)
    work, sizes = every_number(x)
    of_chunks, chunks = partials(x, 2)
    program.run("frozen_gradient", work, *_rows(gy, y, x, mean, inv_std, weight), gx, of_chunks, *sizes)
    return gx, *_add(program, x, of_chunks, chunks)


def _add(program, x, of_chunks, chunks):
    """gweight and gbias (C,), from the sums of every chunk."""
    channels = x.shape[1]
    gweight, gbias = empty(x, (channels,)), empty(x, (channels,))
    program.run("add_gradient_sums", every_channel(x), gweight, gbias, of_chunks, chunks, channels)
    return gweight, gbias


def _rows(*arrays):
    return [None if array is None else contiguous(array) for array in arrays]
