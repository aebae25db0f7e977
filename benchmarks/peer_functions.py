"""The ops of the rows in PyTorch, each called with the same arrays as ours: inputs first, then parameters."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def conv2d(x: Tensor, weight: Tensor, bias: Tensor, **options: Any) -> Tensor:
    return F.conv2d(x, weight, bias, **options)


def conv_transpose2d(x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    return F.conv_transpose2d(x, weight, **options)


def max_pool2d(x: Tensor) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(x, 2, return_indices=True)


def max_pool2d_values(x: Tensor) -> Tensor:
    """Without the second result, which has no gradient. The indices are kept for the backward pass all the same."""
    return max_pool2d(x)[0]


def max_unpool2d(x: Tensor, indices: Tensor) -> Tensor:
    return F.max_unpool2d(x, indices, 2)


def avg_pool2d(x: Tensor, **options: Any) -> Tensor:
    return F.avg_pool2d(x, **options)


def adaptive_avg_pool2d(x: Tensor, output_size: tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(x, output_size)


def resize_bilinear(x: Tensor, output_size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, output_size, mode="bilinear", align_corners=False)


def local_response_norm(x: Tensor, **options: Any) -> Tensor:
    return F.local_response_norm(x, **options)


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """In training: statistics of the batch, and running averages that are updated."""
    mean, var = weight.detach().new_zeros(len(weight)), weight.detach().new_ones(len(weight))
    return F.batch_norm(x, mean, var, weight, bias, training=True)


def relu(x: Tensor) -> Tensor:
    return F.relu(x)


def dropout(x: Tensor, p: float) -> Tensor:
    return F.dropout(x, p, training=True)


def cross_entropy(x: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(x, labels, ignore_index=255)
