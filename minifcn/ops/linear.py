"""A linear layer, y = x W^T + bias: every output is a weighted sum of all inputs.

It is the convolution whose kernel is as large as its input, which is what turns a classifier into a fully convolutional
network (Long, Shelhamer, Darrell 2015, section 3.1). Here the rows become the pixels of one image with F channels, and
the convolution is 1x1: its passes do the work. With an image for each row they would read the weight, far larger than
all rows, from memory for each row anew: fc6 of AlexNet took 25 times as long for 100 rows (2026-11-21).
"""

from ..kernels import array_module, kernels_for
from .check import Array, check_alike, check_array, check_gradient, wanted
from .conv import check_bias

STEPS = (1, 1, 0, 0, 1, 1, 1)  # sh, sw, ph, pw, dh, dw, groups of the convolution


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, tuple]:
    """Weighted sums of the features of each row.

    Args:
        x: (N, F), float32 or float64.
        weight: (O, F), dtype of x.
        bias: (O,) or None.

    Returns:
        y (N, O) and the cache. Raises ValueError for shapes that do not fit, TypeError for dtypes or devices.
    """
    op = "linear"
    check_array(op, "x", x, "N F")
    check_array(op, "weight", weight, "O F")
    check_alike(op, x, weight=weight, bias=bias)
    if x.shape[1] != weight.shape[1]:
        raise ValueError(f"{op}: expected x with {weight.shape[1]} features (weight {weight.shape} is (O, F)), "
                         f"got {x.shape[1]}. Change in_features of the layer or the input.")
    check_bias(op, bias, weight.shape[0])
    y = kernels_for(x).conv2d(_pixels(x), _filters(weight), bias, 1, len(x), *STEPS)  # (1, O, 1, N)
    return _rows(y), (x, weight, bias is not None)


def linear_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple[Array | None, ...]:
    """Gradients of `linear`: (gx, gweight, gbias), None where not needed or where the bias was None."""
    op = "linear_backward"
    x, weight, has_bias = cache
    check_gradient(op, gy, (x.shape[0], weight.shape[0]), x.dtype)
    need_x, need_weight, need_bias = wanted(op, needs, 3)
    kernels, gy = kernels_for(gy), _pixels(gy)  # (1, O, 1, N)
    gx = _rows(kernels.conv2d_grad_input(gy, _filters(weight), 1, len(x), *STEPS)) if need_x else None  # (N, F)
    gweight = kernels.conv2d_grad_weight(gy, _pixels(x), 1, 1, *STEPS)[:, :, 0, 0] if need_weight else None  # (O, F)
    gbias = kernels.channel_sums(gy) if need_bias and has_bias else None  # (O,)
    return gx, gweight, gbias


def _pixels(rows: Array) -> Array:
    """(N, F) as one image of 1xN pixels, (1, F, 1, N)."""
    return array_module(rows).ascontiguousarray(rows.T)[None, :, None]


def _rows(pixels: Array) -> Array:
    """(1, F, 1, N) as (N, F)."""
    return array_module(pixels).ascontiguousarray(pixels[0, :, 0].T)


def _filters(weight: Array) -> Array:
    """(O, F) as filters of 1x1, (O, F, 1, 1)."""
    return weight[:, :, None, None]
