"""Index conventions: the same maxima are written in each by its own definition, and then converted to and fro."""

import itertools

import numpy as np
import pytest

from minifcn.ops import convert_indices

N, C, H, W = 2, 3, 8, 11
KERNEL, STRIDE, PADDING, DILATION = (3, 2), (2, 3), (1, 1), (1, 2)
OH, OW = 4, 4  # (8 + 2 - 2 - 1)//2 + 1 and (11 + 2 - 2 - 1)//3 + 1
GEOMETRY = {"kernel_size": KERNEL, "stride": STRIDE, "padding": PADDING, "dilation": DILATION}
DTYPES = {"minifcn": np.int32, "pytorch": np.int64, "caffe": np.float32, "chainer": np.int32, "onnx": np.int64,
          "tensorflow": np.int64}


@pytest.fixture
def written(rng):
    """The same maxima in every convention, as {name: array}; "tensorflow+batch" counts the images too."""
    shapes = dict.fromkeys(DTYPES, (N, C, OH, OW))
    shapes["tensorflow"] = shapes["tensorflow+batch"] = (N, OH, OW, C)
    arrays = {name: np.full(shape, -99, np.int64) for name, shape in shapes.items()}
    for n, c, p, q in np.ndindex(N, C, OH, OW):
        i, j, y, x = random_tap(rng, p, q)
        arrays["minifcn"][n, c, p, q] = y * W + x
        arrays["pytorch"][n, c, p, q] = np.ravel_multi_index((y, x), (H, W))
        arrays["caffe"][n, c, p, q] = y * W + x
        arrays["chainer"][n, c, p, q] = np.ravel_multi_index((i, j), KERNEL)
        arrays["onnx"][n, c, p, q] = np.ravel_multi_index((n, c, y, x), (N, C, H, W))
        arrays["tensorflow"][n, p, q, c] = np.ravel_multi_index((y, x, c), (H, W, C))
        arrays["tensorflow+batch"][n, p, q, c] = np.ravel_multi_index((n, y, x, c), (N, H, W, C))
    return {name: array.astype(DTYPES[name.partition("+")[0]]) for name, array in arrays.items()}


def random_tap(rng, p, q):
    """A tap (i, j) of window (p, q) that is inside the input, and the pixel (y, x) under it."""
    while True:
        i, j = rng.integers(KERNEL[0]), rng.integers(KERNEL[1])
        y, x = p * STRIDE[0] + i * DILATION[0] - PADDING[0], q * STRIDE[1] + j * DILATION[1] - PADDING[1]
        if 0 <= y < H and 0 <= x < W:
            return i, j, y, x


BOTH_TENSORFLOWS = {"tensorflow", "tensorflow+batch"}  # one call cannot mean both
ENTRIES = [*DTYPES, "tensorflow+batch"]


@pytest.mark.parametrize(
    ("source", "target"), [pair for pair in itertools.product(ENTRIES, ENTRIES) if set(pair) != BOTH_TENSORFLOWS])
def test_every_convention_into_every_other(source, target, written):
    indices, expected = written[source], written[target]
    kept = indices.copy()
    names, batch = [name.removesuffix("+batch") for name in (source, target)], "+batch" in source + target
    converted = convert_indices(indices, *names, input_shape=(N, C, H, W), include_batch=batch, **GEOMETRY)
    np.testing.assert_array_equal(converted, expected)
    assert converted.dtype == expected.dtype
    assert not np.shares_memory(converted, indices)
    np.testing.assert_array_equal(indices, kept)


def test_a_worked_example():
    """Image 1, channel 2 of (2, 3, 4, 5); the 2x2 window at rows 2-3, columns 2-3 has its maximum at (3, 2)."""
    ours = np.zeros((2, 3, 2, 2), np.int32)
    ours[:] = [[0, 2], [10, 12]]  # elsewhere the first tap wins
    ours[1, 2, 1, 1] = 3 * 5 + 2

    def becomes(target, at, **options):
        return convert_indices(ours, "minifcn", target, input_shape=(2, 3, 4, 5), **options)[at]

    assert becomes("pytorch", (1, 2, 1, 1)) == 17
    assert becomes("chainer", (1, 2, 1, 1), kernel_size=2) == 2  # tap (1, 0)
    assert becomes("onnx", (1, 2, 1, 1)) == 5 * 20 + 17  # five planes of 20 pixels come before
    assert becomes("tensorflow", (1, 1, 1, 2)) == 17 * 3 + 2
    assert becomes("tensorflow", (1, 1, 1, 2), include_batch=True) == (20 + 17) * 3 + 2


def test_memory_layout_does_not_matter(written):
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=3)[..., ::2]):
        converted = convert_indices(layout(written["onnx"]), "onnx", "tensorflow", input_shape=(N, C, H, W))
        np.testing.assert_array_equal(converted, written["tensorflow"])
        assert converted.flags.c_contiguous


def convert(indices, source, target, **options):
    return convert_indices(np.asarray(indices), source, target, **{"input_shape": (1, 2, 4, 6)} | options)


ONE = [[[[0]], [[0]]]]  # (1, 2, 1, 1): fits an input of one image and two channels


@pytest.mark.parametrize(("match", "call"), [
    ("a convention among minifcn, pytorch, caffe, chainer, onnx, tensorflow, got 'keras'",
     lambda: convert(ONE, "minifcn", "keras")),
    ("a convention among .* got 'torch'", lambda: convert(ONE, "torch", "minifcn")),
    (r"indices with 4 axes, got shape \(1, 2\)", lambda: convert([[0, 0]], "minifcn", "onnx")),
    (r"indices of 1 images and 2 channels.*got shape \(1, 1, 1, 1\)", lambda: convert([[[[0]]]], "minifcn", "onnx")),
    ("indices of 1 images and 2 channels.*Only tensorflow puts channels last",
     lambda: convert(ONE, "tensorflow", "onnx")),
    ("the pooling's kernel_size, since chainer counts inside the window", lambda: convert(ONE, "minifcn", "chainer")),
    ("the pooling's kernel_size", lambda: convert(ONE, "chainer", "minifcn")),
    (r"each index of minifcn inside its own plane of 4x6, got 24 for image 0, channel 1, window \(0, 0\)",
     lambda: convert([[[[0]], [[24]]]], "minifcn", "onnx")),
    ("each index of caffe inside its own plane.*got -1", lambda: convert([[[[-1.0]], [[0]]]], "caffe", "minifcn")),
    # Channel 1 of ONNX begins at 24, and TensorFlow's odd numbers are channel 1: these are of the other channel.
    ("each index of onnx inside its own plane.*got 3 for image 0, channel 1",
     lambda: convert([[[[3]], [[3]]]], "onnx", "minifcn")),
    ("each index of tensorflow inside its own plane.*got 3 for image 0, channel 0",
     lambda: convert([[[[3, 3]]]], "tensorflow", "minifcn")),
    # With images counted, image 1 begins at 48; without, 48 is already outside.
    ("each index of tensorflow inside its own plane.*got 48 for image 1",
     lambda: convert([[[[0, 1]]], [[[48, 49]]]], "tensorflow", "minifcn", input_shape=(2, 2, 4, 6))),
    ("each index of chainer inside its own plane.*got 4",  # a 2x2 window has taps 0 to 3
     lambda: convert([[[[4]], [[0]]]], "chainer", "minifcn", kernel_size=2)),
    ("each index of chainer inside its own plane.*got 0",  # a tap in the padding
     lambda: convert(ONE, "chainer", "minifcn", kernel_size=2, padding=1)),
    (r"each index of minifcn under a tap of its window \(kernel \(2, 2\)\), got 3",
     lambda: convert([[[[3]], [[0]]]], "minifcn", "chainer", kernel_size=2)),
    ("each index of minifcn under a tap of its window.*got 1",  # between two taps
     lambda: convert([[[[1]], [[0]]]], "minifcn", "chainer", kernel_size=2, dilation=2)),
    ("a plane of at most 16777216 pixels.*got 4096x4097",
     lambda: convert(ONE, "minifcn", "caffe", input_shape=(1, 2, 4096, 4097))),
])
def test_what_cannot_be_converted(match, call):
    with pytest.raises(ValueError, match=f"convert_indices: expected {match}"):
        call()


@pytest.mark.parametrize("indices", [[[[[0.5]], [[0.0]]]], [[[[True]], [[False]]]], [[[["0"]], [["0"]]]]])
def test_indices_are_whole_numbers(indices):
    with pytest.raises(TypeError, match="convert_indices: expected an array of whole numbers"):
        convert(indices, "caffe", "minifcn")


def test_a_list_is_not_an_array():
    with pytest.raises(TypeError, match="expected an array of whole numbers, got list"):
        convert_indices(ONE, "minifcn", "onnx", input_shape=(1, 2, 4, 6))
