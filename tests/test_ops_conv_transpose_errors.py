"""What transposed convolution says to arguments that do not fit: the sizes that would, above all."""

import numpy as np
import pytest

from minifcn import ops

X, WEIGHT = np.zeros((2, 4, 4, 5)), np.zeros((4, 3, 3, 4))

# arrays, options, error, what the message must hold
BAD = [
    ((None, WEIGHT), {}, TypeError, "^conv_transpose2d: expected x to be a NumPy or CuPy array, got NoneType"),
    ((X[0], WEIGHT), {}, ValueError, r"expected x with 4 axes \(N, C, H, W\), got shape \(4, 4, 5\)\. Add the batch"),
    ((X, WEIGHT[0]), {}, ValueError, r"expected weight with 4 axes \(C, O/groups, KH, KW\), got shape \(3, 3, 4\)"),
    ((X, WEIGHT.astype("float32")), {}, TypeError, r"expected weight of the dtype of x \(float64\), got float32"),
    ((X, WEIGHT, np.zeros(4)), {}, ValueError,
     r"expected bias of shape \(3,\), one number for each output channel, got"),
    ((X, WEIGHT, np.zeros(3)), {"groups": 2}, ValueError, r"expected bias of shape \(6,\), .* got \(3,\)"),
    ((X[:, :3], WEIGHT), {}, ValueError,
     r"expected x with 4 channels \(weight \(4, 3, 3, 4\) is \(C, O/groups, KH, KW\)\), got 3\. Change in_channels"),
    ((X, WEIGHT), {"groups": 3}, ValueError,
     r"expected groups that divide the 4 channels of x, got 3\. Choose a divisor"),
    ((X, WEIGHT), {"groups": 2.0}, ValueError, r"expected groups that divide the 4 channels of x, got 2\.0"),
    ((X, WEIGHT), {"stride": 0}, ValueError, "expected stride of at least 1, got 0"),
    ((X, WEIGHT), {"dilation": (0, 1)}, ValueError, r"expected dilation of at least 1, got \(0, 1\)"),
    ((X, WEIGHT), {"padding": (-1, 0)}, ValueError, r"expected padding of at least 0, got \(-1, 0\)"),
    ((X, WEIGHT[:, :, :, :0]), {}, ValueError, r"expected kernel_size of at least 1, got \(3, 0\)"),
    ((X, WEIGHT), {"output_padding": -1, "stride": 2}, ValueError, "expected output_padding of at least 0, got -1"),
    ((X, WEIGHT), {"output_padding": (1, 2), "stride": (2, 2)}, ValueError,
     r"expected output_padding smaller than stride \(2, 2\) or dilation \(1, 1\), got \(1, 2\)\. A larger one would"),
    ((X, WEIGHT), {"output_padding": 1}, ValueError, "expected output_padding smaller than stride .* got 1"),
    ((X, WEIGHT), {"padding": (3, 1)}, ValueError,
     r"expected padding that leaves an output, got 0x6 for padding \(3, 3, 1, 1\)\. Use less padding"),
    ((X, WEIGHT), {"output_size": (9, 0), "stride": 2}, ValueError,
     r"expected output_size of at least 1, got \(9, 0\)"),
]


@pytest.mark.parametrize(("arrays", "options", "error", "message"), BAD)
def test_bad_arguments(arrays, options, error, message):
    with pytest.raises(error, match=message):
        ops.conv_transpose2d(*arrays, **options)


@pytest.mark.parametrize("size", [(6, 16), (9, 16), (7, 15), (7, 19)])
def test_an_output_size_that_cannot_be_had_lists_all_that_can(size):
    message = (r"expected output_size with a height in 7\.\.8 and a width in 16\.\.18 \(input 4x5, stride \(2, 3\)\), "
               rf"got \({size[0]}, {size[1]}\)\. Choose one of these")
    with pytest.raises(ValueError, match=message):
        ops.conv_transpose2d(X, WEIGHT, stride=(2, 3), padding=(1, 0), output_size=size)


@pytest.mark.parametrize(("gy", "needs", "error", "message"), [
    (np.zeros((2, 3, 6, 9)), None, ValueError,
     r"^conv_transpose2d_backward: expected gy of the forward output's shape \(2, 3, 6, 8\), got \(2, 3, 6, 9\)"),
    (np.zeros((2, 3, 6, 8), "float32"), None, TypeError,
     "expected gy of the forward output's dtype float64, got float32"),
    (np.zeros((2, 3, 6, 8)), (True, True), ValueError, "expected needs with 3 values, .* got 2"),
])
def test_bad_gradients(gy, needs, error, message):
    _, cache = ops.conv_transpose2d(X, WEIGHT)
    with pytest.raises(error, match=message):
        ops.conv_transpose2d_backward(gy, cache, needs=needs)
