"""Every pass in numba: compiled loops on all cores. How, is in the files that begin with an underscore.

_micro_kernel   a block of a matrix product in registers, which all convolutions end up in
_compile        machine code at the first call, kept on disk
_threads        one share of a pass for each core
memory          buffers that are used again
"""

from .adaptive_avg_pool import adaptive_avg_pool2d, adaptive_avg_pool2d_grad
from .add_bias import add_bias
from .avg_pool import avg_pool2d, avg_pool2d_grad
from .batch_norm import batch_norm_frozen_grad, batch_norm_grad, batch_norm_normalize, batch_norm_statistics
from .batch_norm_relu import batch_norm_relu, batch_norm_relu_frozen_grad, batch_norm_relu_grad
from .channel_sums import channel_sums
from .conv import conv2d, conv2d_grad_input, conv2d_grad_weight
from .conv_relu import conv2d_relu
from .dropout import dropout
from .local_response_norm import local_response_norm, local_response_norm_grad
from .max_pool import max_pool2d, max_pool2d_grad
from .prepare import (
    conv2d_prepared,
    conv2d_relu_prepared,
    conv_transpose2d_prepared,
    prepare_conv2d,
    prepare_conv_transpose2d,
)
from .relu import relu, relu_grad
from .resize import resize_bilinear, resize_bilinear_grad
from .softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_grad
from .unpool import gather, scatter
from .updates import adam_update, sgd_update

__all__ = [
    "adam_update",
    "adaptive_avg_pool2d", "adaptive_avg_pool2d_grad",
    "add_bias",
    "avg_pool2d", "avg_pool2d_grad",
    "batch_norm_frozen_grad", "batch_norm_grad", "batch_norm_normalize",
    "batch_norm_relu", "batch_norm_relu_frozen_grad", "batch_norm_relu_grad",
    "batch_norm_statistics",
    "channel_sums",
    "conv2d", "conv2d_grad_input", "conv2d_grad_weight",
    "conv2d_prepared",
    "conv2d_relu",
    "conv2d_relu_prepared", "conv_transpose2d_prepared",
    "dropout",
    "gather",
    "local_response_norm", "local_response_norm_grad",
    "max_pool2d", "max_pool2d_grad",
    "prepare_conv2d", "prepare_conv_transpose2d",
    "relu", "relu_grad",
    "resize_bilinear", "resize_bilinear_grad",
    "scatter",
    "sgd_update",
    "softmax_cross_entropy", "softmax_cross_entropy_grad",
]
