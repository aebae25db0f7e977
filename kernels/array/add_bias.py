"""One number for each channel, added to all its pixels."""


def add_bias(y, bias):
    """y (N, C, H, W) += bias (C,), in place."""
    y += bias[:, None, None]
