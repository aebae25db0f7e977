"""A linear layer, y = x W^T + bias: every output is a weighted sum of all inputs.

It is the convolution whose kernel is as large as its input, which is what turns a classifier into a fully convolutional
network (Long, Shelhamer, Darrell 2015, section 3.1).
"""

from .check import Array, check_alike, check_array, check_gradient, wanted
from .conv import check_bias


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
    y = x @ weight.T  # (N, O)
    if bias is not None:
        y += bias
    return y, (x, weight, bias is not None)


def linear_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple[Array | None, ...]:
    """Gradients of `linear`: (gx, gweight, gbias), None where not needed or where the bias was None."""
    op = "linear_backward"
    x, weight, has_bias = cache
    check_gradient(op, gy, (x.shape[0], weight.shape[0]), x.dtype)
    need_x, need_weight, need_bias = wanted(op, needs, 3)
    gx = gy @ weight if need_x else None  # (N, F)
    gweight = gy.T @ x if need_weight else None  # (O, F)
    gbias = gy.sum(axis=0) if need_bias and has_bias else None  # (O,)
    return gx, gweight, gbias
