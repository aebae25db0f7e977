"""Pure pairs: `y, cache = conv2d(x, weight, bias, ...)` and `gx, gweight, gbias = conv2d_backward(gy, cache)`.

Arrays are positional, options keyword-only. The cache is an opaque tuple that belongs to the pair. A backward returns
one gradient for each differentiable array, in order (bare where there is one), None where the array was None or where
`needs` says that nobody asks for it. Inputs are never changed; the dtype of x is kept.
"""

from .adaptive_avg_pool import adaptive_avg_pool2d, adaptive_avg_pool2d_backward
from .add import add, add_backward
from .avg_pool import avg_pool2d, avg_pool2d_backward
from .batch_norm import batch_norm, batch_norm_backward
from .batch_norm_relu import batch_norm_relu, batch_norm_relu_backward
from .concat import concat, concat_backward
from .conv import conv2d, conv2d_backward
from .conv_relu import conv2d_relu, conv2d_relu_backward
from .conv_transpose import conv_transpose2d, conv_transpose2d_backward
from .crop import crop, crop_backward
from .dropout import dropout, dropout_backward, spatial_dropout, spatial_dropout_backward
from .flatten import flatten, flatten_backward
from .leaky_relu import leaky_relu, leaky_relu_backward
from .linear import linear, linear_backward
from .local_response_norm import local_response_norm, local_response_norm_backward
from .max_pool import max_pool2d, max_pool2d_backward
from .max_unpool import max_unpool2d, max_unpool2d_backward
from .pad import pad, pad_backward
from .pad_channels import pad_channels, pad_channels_backward
from .pool_indices import convert_indices
from .prelu import prelu, prelu_backward
from .prepare import prepare_conv2d, prepare_conv_transpose2d
from .relu import relu, relu_backward
from .resize import resize_bilinear, resize_bilinear_backward
from .scale import scale, scale_backward
from .sigmoid import sigmoid, sigmoid_backward
from .softmax import softmax, softmax_backward
from .softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward

__all__ = [
    "adaptive_avg_pool2d", "adaptive_avg_pool2d_backward",
    "add", "add_backward",
    "avg_pool2d", "avg_pool2d_backward",
    "batch_norm", "batch_norm_backward",
    "batch_norm_relu", "batch_norm_relu_backward",
    "concat", "concat_backward",
    "conv2d", "conv2d_backward",
    "conv2d_relu", "conv2d_relu_backward",
    "conv_transpose2d", "conv_transpose2d_backward",
    "convert_indices",
    "crop", "crop_backward",
    "dropout", "dropout_backward",
    "flatten", "flatten_backward",
    "leaky_relu", "leaky_relu_backward",
    "linear", "linear_backward",
    "local_response_norm", "local_response_norm_backward",
    "max_pool2d", "max_pool2d_backward",
    "max_unpool2d", "max_unpool2d_backward",
    "pad", "pad_backward",
    "pad_channels", "pad_channels_backward",
    "prelu", "prelu_backward",
    "prepare_conv2d", "prepare_conv_transpose2d",
    "relu", "relu_backward",
    "resize_bilinear", "resize_bilinear_backward",
    "scale", "scale_backward",
    "sigmoid", "sigmoid_backward",
    "softmax", "softmax_backward",
    "softmax_cross_entropy", "softmax_cross_entropy_backward",
    "spatial_dropout", "spatial_dropout_backward",
]
