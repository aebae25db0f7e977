"""Convolution and ReLU in one: the map between the two is never stored.

    y = max(conv2d(x, weight, bias), 0)

Most convolutions of a network are followed by a ReLU, and a map costs more to write and read again than to clip while
it is in a register. Backward is the composition: y > 0 says where the gradient passes, what passes is the
convolution's gy. A Graph gets this op by `minifcn.fuse`.
"""

from typing import Any

from ..kernels import kernels_for
from .check import Array, check_gradient, wanted
from .conv import checked_windows, conv2d_backward, conv2d_cache


def conv2d_relu(
    x: Array, weight: Array, bias: Array | None = None, *,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, prepared: Any = None,
) -> tuple[Array, tuple]:
    """Convolve images with filters and set what is negative to 0. Arguments and errors are those of `conv2d`.

    Returns:
        y (N, O, OH, OW), and the cache: a pair of those of `conv2d` and `relu`, so that each can be backed out alone.
    """
    view = checked_windows("conv2d_relu", x, weight, bias, stride, padding, dilation, groups)
    kernels = kernels_for(x)
    if prepared is not None and prepared.made_for(weight, *x.shape[2:], *view, groups):
        o, _, kh, kw = weight.shape
        y = kernels.conv2d_relu_prepared(x, prepared.data, prepared.kind, bias, o, kh, kw, *view, groups)
    else:
        y = kernels.conv2d_relu(x, weight, bias, *view, groups)  # (N, O, OH, OW)
    return y, (conv2d_cache(x, weight, bias, view, groups, prepared), (y,))


def conv2d_relu_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple:
    """Gradients of `conv2d_relu`: (gx, gweight, gbias), None where not needed or where the bias was None."""
    conv_cache, relu_cache = cache
    needs = wanted("conv2d_relu_backward", needs, 3)
    return conv2d_backward(behind_relu(gy, relu_cache), conv_cache, needs=needs)


def behind_relu(gy: Array, relu_cache: tuple) -> Array:
    """The first half of the backward: the gradient of what the ReLU was given, which is the convolution's gy."""
    (y,) = relu_cache
    check_gradient("conv2d_relu_backward", gy, y.shape, y.dtype)
    return kernels_for(gy).relu_grad(gy, y)
