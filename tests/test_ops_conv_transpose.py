"""Transposed convolution against stamping by hand, SciPy, central differences, and its adjoint, the convolution."""

import functools
import sys

import numpy as np
import pytest
from scipy.signal import convolve2d

import minifcn
from minifcn import ops
from minifcn.kernels.array import _columns

# Case -> shapes of x (N, C, H, W) and weight (C, O/groups, KH, KW), options.
CASES = {
    "plain": ((2, 3, 4, 5), (3, 2, 3, 2), {}),
    "everything": ((2, 4, 4, 3), (4, 3, 2, 3), {
        "stride": (2, 3), "padding": (0, 1), "dilation": (1, 2), "groups": 2, "output_padding": (1, 2)}),
    "the other way": ((3, 2, 3, 4), (2, 1, 3, 2), {
        "stride": (3, 2), "padding": (1, 0), "dilation": (2, 1), "groups": 2, "output_padding": (2, 0)}),
    "FCN's upsampling by 2": ((1, 3, 4, 3), (3, 3, 4, 4), {"stride": 2}),
    "one filter a channel": ((2, 3, 3, 4), (3, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 3}),
    "one-sided padding": ((1, 2, 5, 4), (2, 3, 3, 3), {"stride": (2, 1), "padding": ((1, 2), (0, 3))}),
    "gaps between the stamps": ((2, 1, 3, 4), (1, 2, 2, 1), {"stride": (3, 2)}),
    "output_padding by dilation": ((1, 2, 3, 4), (2, 2, 2, 3), {"dilation": (3, 2), "output_padding": (2, 1)}),
    "padding wider than the kernel": ((1, 2, 5, 6), (2, 2, 2, 2), {"padding": (2, 1)}),
    "1x1": ((3, 3, 4, 5), (3, 2, 1, 1), {}),
    "output_size": ((2, 2, 4, 5), (2, 3, 3, 4), {"stride": (2, 3), "padding": (1, 0), "output_size": (8, 17)}),
}


@pytest.fixture(params=["reference", "array", "array in small tiles"])
def folder(request, monkeypatch):
    """Runs the test on one kernel folder; once more with tiles so small that every case is cut into several."""
    if request.param == "array in small tiles":
        monkeypatch.setattr(_columns, "TILE", 64)
    with minifcn.use_kernels(request.param.split()[0]):
        yield request.param


def inputs(case, dtype=np.float64):
    x_shape, weight_shape, options = CASES[case]
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal(x_shape).astype(dtype), rng.standard_normal(weight_shape).astype(dtype)
    bias = rng.standard_normal(weight_shape[1] * options.get("groups", 1)).astype(dtype)
    return x, weight, bias, options


def stamp(x, weight, bias, stride=1, padding=0, dilation=1, groups=1, output_padding=0, output_size=None):
    """The definition: every pixel stamps the whole kernel on a canvas, from which the padding is cut off."""
    (sh, sw), (dh, dw) = np.broadcast_to(stride, 2), np.broadcast_to(dilation, 2)
    rows, columns = padding if isinstance(padding, tuple) else (padding, padding)
    (top, bottom), (left, right) = np.broadcast_to(rows, 2), np.broadcast_to(columns, 2)
    images, channels, h, w = x.shape
    _, outputs, kh, kw = weight.shape
    tall, wide = dh * (kh - 1) + 1, dw * (kw - 1) + 1
    oh, ow = sh * (h - 1) + tall - top - bottom, sw * (w - 1) + wide - left - right
    oh, ow = output_size or (oh + np.broadcast_to(output_padding, 2)[0], ow + np.broadcast_to(output_padding, 2)[1])
    canvas = np.zeros((images, outputs * groups, oh + top + bottom + tall, ow + left + right + wide))
    for n, c, row, col in np.ndindex(x.shape):
        first = c * groups // channels * outputs
        place = np.s_[n, first : first + outputs, row * sh : row * sh + tall : dh, col * sw : col * sw + wide : dw]
        canvas[place] += x[n, c, row, col] * weight[c]
    return canvas[:, :, top : top + oh, left : left + ow] + bias[:, None, None]


def numerical_gradient(f, x, gy):
    """Central differences of sum(f(x) * gy), one element after the other. A step of 1 is exact: f is linear in x."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += 1
        below[place] -= 1
        gradient[place] = np.sum((f(above) - f(below)) * gy) / 2
    return gradient


@functools.cache
def expected_gradients(case):
    """(gy, gx, gweight, gbias) by central differences of the forward pass, which has a test of its own."""
    x, weight, bias, options = inputs(case)
    with minifcn.use_kernels("array"):
        y, _ = ops.conv_transpose2d(x, weight, bias, **options)
        gy = np.random.default_rng(2).standard_normal(y.shape)
        return (
            gy,
            numerical_gradient(lambda x: ops.conv_transpose2d(x, weight, bias, **options)[0], x, gy),
            numerical_gradient(lambda weight: ops.conv_transpose2d(x, weight, bias, **options)[0], weight, gy),
            numerical_gradient(lambda bias: ops.conv_transpose2d(x, weight, bias, **options)[0], bias, gy),
        )


def assert_close(actual, expected, tolerance=1e-11):
    """Equal shapes, and no element off by more than `tolerance` times the largest."""
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * np.max(np.abs(expected))


@pytest.mark.parametrize("case", CASES)
def test_forward_is_stamping(folder, case):
    x, weight, bias, options = inputs(case)
    y, _ = ops.conv_transpose2d(x, weight, bias, **options)
    assert_close(y, stamp(x, weight, bias, **options))
    without_bias, _ = ops.conv_transpose2d(x, weight, **options)
    assert_close(without_bias, stamp(x, weight, np.zeros_like(bias), **options))


def test_forward_is_scipys_full_convolution(folder, rng):
    x, weight = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((3, 2, 3, 2))
    y, _ = ops.conv_transpose2d(x, weight)
    expected = [[sum(convolve2d(image[c], weight[c, o]) for c in range(3)) for o in range(2)] for image in x]
    assert_close(y, np.array(expected))


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_central_differences(folder, case):
    x, weight, bias, options = inputs(case)
    gy, *expected = expected_gradients(case)
    _, cache = ops.conv_transpose2d(x, weight, bias, **options)
    for gradient, right in zip(ops.conv_transpose2d_backward(gy, cache), expected, strict=True):
        assert_close(gradient, right)


@pytest.mark.parametrize("options", [
    {"stride": (2, 3), "padding": (0, 1), "dilation": (1, 2), "groups": 2},
    {"stride": (3, 2), "padding": ((1, 0), (0, 2)), "groups": 1},
])
@pytest.mark.parametrize("size", [(8, 10), (9, 11), (10, 12)])
def test_it_is_the_adjoint_of_convolution(folder, rng, options, size):
    """<conv(x), y> == <x, transposed(y)> for the same weight, whatever remainder the convolution left."""
    x = rng.standard_normal((2, 4, *size))
    weight = rng.standard_normal((6, 4 // options["groups"], 3, 2))
    conv, _ = ops.conv2d(x, weight, **options)
    y = rng.standard_normal(conv.shape)
    back, _ = ops.conv_transpose2d(y, weight, output_size=size, **options)
    assert np.sum(conv * y) == pytest.approx(np.sum(x * back), rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_adjoints(folder, case, rng):
    x, weight, _, options = inputs(case)
    y, cache = ops.conv_transpose2d(x, weight, **options)
    gy = rng.standard_normal(y.shape)
    gx, gweight, gbias = ops.conv_transpose2d_backward(gy, cache)
    assert np.sum(x * gx) == pytest.approx(np.sum(y * gy), rel=1e-10)
    assert np.sum(weight * gweight) == pytest.approx(np.sum(y * gy), rel=1e-10)
    assert gbias is None


def test_every_legal_output_size(folder, rng):
    """A convolution maps each of them back to the input size, and output_padding reaches each of them too."""
    x, weight = rng.standard_normal((1, 1, 4, 5)), rng.standard_normal((1, 1, 3, 4))
    for down in range(2):
        for right in range(3):
            size = (7 + down, 16 + right)  # 2*(4-1) + 3 - 1 - 1 and 3*(5-1) + 4
            y, _ = ops.conv_transpose2d(x, weight, stride=(2, 3), padding=(1, 0), output_size=size)
            assert y.shape[2:] == size
            same, _ = ops.conv_transpose2d(x, weight, stride=(2, 3), padding=(1, 0), output_padding=(down, right))
            np.testing.assert_array_equal(y, same)
            assert ops.conv2d(y, weight, stride=(2, 3), padding=(1, 0))[0].shape == x.shape


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True), (False,) * 3])
def test_needs(folder, needs):
    x, weight, bias, options = inputs("everything")
    y, cache = ops.conv_transpose2d(x, weight, bias, **options)
    every, some = ops.conv_transpose2d_backward(y, cache), ops.conv_transpose2d_backward(y, cache, needs=needs)
    for full, gradient, need in zip(every, some, needs, strict=True):
        if need:
            np.testing.assert_array_equal(gradient, full)  # and so backward may be called twice
        else:
            assert gradient is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(folder, dtype):
    x, weight, bias, options = inputs("everything", dtype)
    y, cache = ops.conv_transpose2d(x, weight, bias, **options)
    results = (y, *ops.conv_transpose2d_backward(np.ones_like(y), cache))
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert_close(y, stamp(x, weight, bias, **options), 1e-5 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "strided"])
def test_any_memory_layout_and_inputs_untouched(folder, layout):
    rearrange = {
        "fortran": np.asfortranarray,
        "reversed": lambda a: np.flip(np.flip(a).copy()),
        "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    }[layout]
    x, weight, bias, options = inputs("everything")
    y, cache = ops.conv_transpose2d(x, weight, bias, **options)
    expected = (y, *ops.conv_transpose2d_backward(y, cache))
    arrays = [rearrange(array) for array in (x, weight, bias, y)]
    kept = [array.copy() for array in arrays]
    y, cache = ops.conv_transpose2d(*arrays[:3], **options)
    for result, right in zip((y, *ops.conv_transpose2d_backward(arrays[3], cache)), expected, strict=True):
        assert_close(result, right)
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_nan_reaches_its_own_stamp_and_no_further(folder):
    x, weight = np.zeros((2, 1, 4, 5)), np.ones((1, 1, 2, 3))
    x[1, 0, 2, 1] = np.nan
    y, _ = ops.conv_transpose2d(x, weight, stride=(2, 3))
    expected = np.zeros(y.shape, bool)
    expected[1, 0, 4:6, 3:6] = True
    np.testing.assert_array_equal(np.isnan(y), expected)


def test_prepared_weight_is_used_by_its_own_folder_only(monkeypatch):
    """No folder prepares anything yet, so one is made up here: it has a weight doubled beforehand."""
    x, weight, bias, _ = inputs("plain")
    plain, _ = ops.conv_transpose2d(x, weight, bias)
    array = sys.modules["minifcn.kernels.array"]
    monkeypatch.setattr(
        array, "prepare_conv_transpose2d", lambda weight, *geometry: ("doubled", 2 * weight), raising=False)
    monkeypatch.setattr(array, "conv_transpose2d_prepared", lambda x, data, kind, oh, ow, kh, kw, *rest:
                        array.conv2d_grad_input(x, data, oh, ow, *rest), raising=False)
    with minifcn.use_kernels("array"):
        prepared = ops.prepare_conv_transpose2d(weight, input_size=(4, 5))
        y, cache = ops.conv_transpose2d(x, weight, bias, prepared=prepared)
        assert_close(y, stamp(x, 2 * weight, bias))
        assert_close(ops.conv_transpose2d(x, weight.copy(), bias, prepared=prepared)[0], plain)  # for another weight
    with minifcn.use_kernels("reference"):
        assert_close(ops.conv_transpose2d(x, weight, bias, prepared=prepared)[0], plain)
        assert ops.conv_transpose2d_backward(y, cache)[0].shape == x.shape  # another folder may run the backward
