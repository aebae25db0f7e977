"""Local response normalisation on whole arrays: the window over channels is a sum of `size` shifted copies.

A running sum along the channels would need two operations instead of `size`, but it subtracts what it has added, and in
float32 the rounding left behind grows with the number of channels.
"""

from .. import array_module


def local_response_norm(x, size, alpha, beta, k):
    """x (N, C, H, W) -> y, scale, both (N, C, H, W)."""
    scale = _sum_channels(x * x, size // 2, (size - 1) // 2)
    scale *= alpha / size
    scale += k
    return x * scale**-beta, scale


def local_response_norm_grad(gy, x, scale, size, alpha, beta):
    """gy, x, scale (N, C, H, W) -> gx (N, C, H, W)."""
    own = gy * scale**-beta  # (N, C, H, W)
    gx = _sum_channels(own * x / scale, (size - 1) // 2, size // 2)  # the forward window, mirrored
    gx *= x
    gx *= -2 * alpha * beta / size
    gx += own
    return gx


def _sum_channels(values, before, after):
    """Channel c of the result is the sum of channels c - before ... c + after, as far as there are any."""
    channels = values.shape[1]
    total = array_module(values).zeros(values.shape, values.dtype)
    for shift in range(max(-before, 1 - channels), min(after, channels - 1) + 1):
        first, last = max(0, -shift), min(channels, channels - shift)  # where c + shift is a channel
        total[:, first:last] += values[:, first + shift : last + shift]
    return total
