"""The rectified linear unit and its gradient, all numbers at once."""

from .. import array_module


def relu(x):
    """x of any shape -> y of the same: max(x, 0). `maximum` passes NaN on, as it should."""
    return array_module(x).maximum(x, 0)


def relu_grad(gy, y):
    """gy and the forward output y, any shape -> gx of the same: what passed forward passes backward."""
    # Not gy * (y > 0): that would turn an infinite gradient, cut off by the ReLU, into NaN.
    return array_module(gy).where(y <= 0, gy.dtype.type(0), gy)
