"""Pure pairs: `y, cache = conv2d(x, weight, bias, ...)` and `gx, gweight, gbias = conv2d_backward(gy, cache)`.

Arrays are positional, options keyword-only. The cache is an opaque tuple that belongs to the pair. A backward returns
one gradient for each differentiable array, in order (bare where there is one), None where the array was None or where
`needs` says that nobody asks for it. Inputs are never changed; the dtype of x is kept.
"""

from .conv import conv2d, conv2d_backward
from .conv_transpose import conv_transpose2d, conv_transpose2d_backward
from .prepare import prepare_conv2d, prepare_conv_transpose2d

__all__ = [
    "conv2d", "conv2d_backward",
    "conv_transpose2d", "conv_transpose2d_backward",
    "prepare_conv2d", "prepare_conv_transpose2d",
]
