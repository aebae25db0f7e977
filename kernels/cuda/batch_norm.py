"""Batch normalisation, channel by channel; a channel is shared by as many blocks as it has chunks of numbers."""

from . import _batch_norm
from ._channels import every_channel, every_number, partials
from ._program import Program, contiguous, empty

_CU = Program("batch_norm")


def batch_norm_statistics(x):
    """x (N, C, H, W) -> mean (C,), var (C,), the biased variance (divided by N*H*W)."""
    channels = x.shape[1]
    mean, var = empty(x, (channels,)), empty(x, (channels,))
    work, sizes = every_number(x)
    (sums, chunks), (squares, _) = partials(x, 1), partials(x, 1)
    x = contiguous(x)
    _CU.run("chunk_sums", work, x, sums, *sizes)
    _CU.run("chunk_squares", work, x, sums, squares, *sizes)
    _CU.run("statistics", every_channel(x), mean, var, sums, squares, chunks, sizes[0], channels)
    return mean, var


def batch_norm_normalize(x, mean, inv_std, weight, bias):
    """x (N, C, H, W), the others (C,) -> y (N, C, H, W)."""
    return _batch_norm.normalize(_CU, x, mean, inv_std, weight, bias)


def batch_norm_grad(gy, x, mean, inv_std, weight):
    """gy, x (N, C, H, W), the others (C,) -> gx, gweight (C,), gbias (C,), with the statistics taken from x."""
    return _batch_norm.gradient(_CU, gy, None, x, mean, inv_std, weight)


def batch_norm_frozen_grad(gy, x, mean, inv_std, weight):
    """The same with mean and inv_std as constants: gx = weight * inv_std * gy."""
    return _batch_norm.frozen_gradient(_CU, gy, None, x, mean, inv_std, weight)
