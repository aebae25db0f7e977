"""What convolution says to arguments that do not fit: each message names the numbers, and the way out."""

import sys
from types import ModuleType

import numpy as np
import pytest

from minifcn import ops

X, WEIGHT, BIAS = np.zeros((2, 4, 6, 7)), np.zeros((6, 4, 3, 2)), np.zeros(6)

# arrays, options, error, what the message must hold
BAD = [
    (([[1.0]], WEIGHT), {}, TypeError,
     r"^conv2d: expected x to be a NumPy or CuPy array, got list\. Convert it, for example with numpy\.asarray\.$"),
    ((X[0], WEIGHT), {}, ValueError,
     r"expected x with 4 axes \(N, C, H, W\), got shape \(4, 6, 7\)\. Add the batch axis: x\[None\]"),
    ((X[None], WEIGHT), {}, ValueError,
     r"expected x with 4 axes \(N, C, H, W\), got shape \(1, 2, 4, 6, 7\)\.$"),
    ((X.astype(int), WEIGHT), {}, TypeError,
     r"expected x of dtype float32 or float64, got int64\. Convert it with x\.astype\(numpy\.float32\)"),
    ((X.astype("float16"), WEIGHT), {}, TypeError,
     "expected x of dtype float32 or float64, got float16"),
    ((X, WEIGHT[0]), {}, ValueError,
     r"expected weight with 4 axes \(O, C/groups, KH, KW\), got shape \(4, 3, 2\)\.$"),
    ((X, WEIGHT.astype("float32")), {}, TypeError,
     r"expected weight of the dtype of x \(float64\), got float32\. Convert one of the two with astype"),
    ((X, WEIGHT, BIAS.astype("float32")), {}, TypeError,
     r"expected bias of the dtype of x \(float64\), got float32"),
    ((X, WEIGHT, [0.0] * 6), {}, TypeError,
     "expected bias to be a NumPy or CuPy array, got list"),
    ((X, WEIGHT, np.zeros(7)), {}, ValueError,
     r"expected bias of shape \(6,\), one number for each output channel, got \(7,\)\. Reshape it, or pass bias=None"),
    ((X[:, :3], WEIGHT), {}, ValueError,
     r"expected x with 4 channels \(weight \(6, 4, 3, 2\) has 4 for each of 1 groups\), got 3\. Change in_channels"),
    ((X, WEIGHT), {"groups": 3}, ValueError,
     r"expected groups that divide the 4 channels of x and the 6 filters of weight, got 3\. Choose a common divisor"),
    ((X, WEIGHT), {"groups": 4}, ValueError, "and the 6 filters of weight, got 4"),
    ((X, WEIGHT), {"groups": 0}, ValueError, "expected groups that divide .* got 0"),
    ((X, WEIGHT), {"groups": "2"}, ValueError, "expected groups that divide .* got '2'"),
    ((X, WEIGHT), {"stride": (1, 0)}, ValueError,
     r"expected stride of at least 1, got \(1, 0\)\. Choose larger values"),
    ((X, WEIGHT), {"stride": (1, 2, 3)}, TypeError,
     r"expected stride as an int or \(height, width\) of ints, got \(1, 2, 3\)\. Write stride=3 or stride=\(3, 5\)"),
    ((X, WEIGHT), {"stride": 1.5}, TypeError, r"expected stride as an int or .* got 1\.5"),
    ((X, WEIGHT), {"dilation": 0}, ValueError, "expected dilation of at least 1, got 0"),
    ((X, WEIGHT), {"padding": -1}, ValueError, "expected padding of at least 0, got -1"),
    ((X, WEIGHT), {"padding": ((0, 0), (1, -2))}, ValueError, r"expected padding of at least 0, got \(1, -2\)"),
    ((X, WEIGHT), {"padding": "same"}, TypeError, "expected padding as an int or .* got 'same'"),
    ((X, WEIGHT[:, :, :0]), {}, ValueError, r"expected kernel_size of at least 1, got \(0, 2\)"),
    ((X, WEIGHT), {"dilation": (4, 1), "padding": (1, 0)}, ValueError,
     r"expected an input of at least 7x2 \(kernel 3x2, dilation 4x1, padding \(1, 1, 0, 0\)\), got 6x7\. "
     r"Use a larger input or more padding"),
]


@pytest.mark.parametrize(("arrays", "options", "error", "message"), BAD)
def test_bad_arguments(arrays, options, error, message):
    with pytest.raises(error, match=message):
        ops.conv2d(*arrays, **options)


def test_arrays_on_two_devices(monkeypatch):
    cupy = ModuleType("cupy")  # a stand-in: all that tells a device is the array's type
    cupy.ndarray = type("ndarray", (np.ndarray,), {})
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(TypeError, match=r"expected weight on the device of x \(numpy\), got a cupy array\. Move one"):
        ops.conv2d(X, WEIGHT.view(cupy.ndarray))


@pytest.mark.parametrize(("gy", "needs", "error", "message"), [
    (np.zeros((2, 6, 4, 5)), None, ValueError,
     r"^conv2d_backward: expected gy of the forward output's shape \(2, 6, 4, 6\), got \(2, 6, 4, 5\)\. Pass the"),
    ([0.0], None, ValueError, "expected gy of the forward output's shape .* got list"),
    (np.zeros((2, 6, 4, 6), "float32"), None, TypeError,
     r"expected gy of the forward output's dtype float64, got float32\. Convert it with gy\.astype\(float64\)"),
    (np.zeros((2, 6, 4, 6)), (True,), ValueError,
     r"expected needs with 3 values, one for each differentiable array, got 1\. Pass a tuple of 3 bools"),
])
def test_bad_gradients(gy, needs, error, message):
    _, cache = ops.conv2d(X, WEIGHT, BIAS)
    with pytest.raises(error, match=message):
        ops.conv2d_backward(gy, cache, needs=needs)
