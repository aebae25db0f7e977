"""Convolution and transposed convolution against PyTorch, on random configurations, values and gradients."""

import numpy as np
import pytest

from minifcn import ops

torch = pytest.importorskip("torch")

COUNT = 60


def draw_conv(rng):
    """A random convolution that has at least one output pixel: shapes of x and weight, options."""
    groups = int(rng.integers(1, 4))
    kernel, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
    options = {"stride": rng.integers(1, 4, 2), "padding": rng.integers(0, 4, 2), "dilation": dilation}
    least = np.maximum(1, dilation * (kernel - 1) + 1 - 2 * options["padding"])
    size = least + rng.integers(0, 7, 2)
    channels, filters = groups * rng.integers(1, 4, 2)
    options = {name: tuple(value.tolist()) for name, value in options.items()} | {"groups": groups}
    return (int(rng.integers(1, 4)), channels, *size), (filters, channels // groups, *kernel), options


def draw_transpose(rng):
    """A random transposed convolution that has at least one output pixel."""
    groups = int(rng.integers(1, 4))
    kernel, dilation, stride = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 4, 2)
    size = rng.integers(1, 7, 2)
    largest = stride * (size - 1) + dilation * (kernel - 1)  # one less than the output without padding
    options = {
        "stride": stride, "padding": np.minimum(largest // 2, rng.integers(0, 4, 2)), "dilation": dilation,
        "output_padding": rng.integers(0, np.maximum(stride, dilation)),
    }
    channels, outputs = groups * rng.integers(1, 4, 2)
    options = {name: tuple(value.tolist()) for name, value in options.items()} | {"groups": groups}
    return (int(rng.integers(1, 4)), channels, *size), (channels, outputs // groups, *kernel), options


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * max(np.max(np.abs(expected)), 1e-300)


def compare(ours, backward, theirs, x_shape, weight_shape, filters, options, rng, dtype, tolerance):
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in (x_shape, weight_shape, (filters,))]
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    y, cache = ours(*arrays, **options)
    expected = theirs(*tensors, **options)
    assert_close(y, expected.detach().numpy(), tolerance)
    gy = rng.standard_normal(y.shape).astype(dtype)
    expected.backward(torch.tensor(gy))
    for gradient, tensor in zip(backward(gy, cache), tensors, strict=True):
        assert_close(gradient, tensor.grad.numpy(), tolerance)


@pytest.mark.parametrize("seed", range(COUNT))
def test_conv2d(seed):
    rng = np.random.default_rng(seed)
    x_shape, weight_shape, options = draw_conv(rng)
    compare(ops.conv2d, ops.conv2d_backward, torch.nn.functional.conv2d,
            x_shape, weight_shape, weight_shape[0], options, rng, "float64", 1e-12)


@pytest.mark.parametrize("seed", range(COUNT))
def test_conv_transpose2d(seed):
    rng = np.random.default_rng(seed)
    x_shape, weight_shape, options = draw_transpose(rng)
    compare(ops.conv_transpose2d, ops.conv_transpose2d_backward, torch.nn.functional.conv_transpose2d,
            x_shape, weight_shape, weight_shape[1] * options["groups"], options, rng, "float64", 1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_float32(seed):
    rng = np.random.default_rng(seed)
    x_shape, weight_shape, options = draw_conv(rng)
    compare(ops.conv2d, ops.conv2d_backward, torch.nn.functional.conv2d,
            x_shape, weight_shape, weight_shape[0], options, rng, "float32", 1e-5)


@pytest.mark.parametrize("stride", [(2, 3), (4, 1)])
def test_output_size_means_the_same(stride):
    """PyTorch's layer takes the output size at the call; the legal ones and the values agree."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((3, 2, 3, 4))
    layer = torch.nn.ConvTranspose2d(3, 2, (3, 4), stride, (1, 0), bias=False, dtype=torch.float64)
    layer.weight.data = torch.tensor(weight)
    least = [s * (n - 1) + k - 2 * p for s, n, k, p in zip(stride, (4, 5), (3, 4), (1, 0), strict=True)]
    for down in range(stride[0]):
        for right in range(stride[1]):
            size = (least[0] + down, least[1] + right)
            y, _ = ops.conv_transpose2d(x, weight, stride=stride, padding=(1, 0), output_size=size)
            assert_close(y, layer(torch.tensor(x), output_size=size).detach().numpy(), 1e-12)
    for size in ((least[0] - 1, least[1]), (least[0], least[1] + stride[1])):
        with pytest.raises(ValueError, match="requested an output size"):
            layer(torch.tensor(x), output_size=size)
        with pytest.raises(ValueError, match="expected output_size with a height in"):
            ops.conv_transpose2d(x, weight, stride=stride, padding=(1, 0), output_size=size)
