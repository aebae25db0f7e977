"""The sum of each channel over images and pixels: the gradient of a bias. Blocks add chunks, then these."""

from ._channels import every_channel, every_number, partials
from ._program import Program, contiguous, empty

_CU = Program("channel_sums")


def channel_sums(gy):
    """gy (N, C, H, W) -> (C,), dtype of gy; summed in float64."""
    channels = gy.shape[1]
    sums = empty(gy, (channels,))
    work, sizes = every_number(gy)
    of_chunks, chunks = partials(gy, 1)
    _CU.run("chunk_sums", work, contiguous(gy), of_chunks, *sizes)
    _CU.run("channel_sums", every_channel(gy), sums, of_chunks, chunks, channels)
    return sums
