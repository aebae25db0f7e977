"""Convolution against its definition, SciPy and central differences, in every kernel folder that is written by hand."""

import functools
import sys

import numpy as np
import pytest
from scipy.signal import correlate2d

import minifcn
from minifcn import ops
from minifcn.kernels.array import _columns

# Case -> shapes of x and weight, options. Together: H != W, KH != KW, two unlike numbers for every option, a remainder
# that no window reaches, windows that see nothing but padding, one image and several.
CASES = {
    "plain": ((2, 3, 5, 6), (4, 3, 3, 2), {}),
    "everything": ((2, 4, 9, 10), (6, 2, 2, 3), {"stride": (2, 3), "padding": (0, 1), "dilation": (1, 2), "groups": 2}),
    "other way": ((3, 2, 8, 7), (2, 1, 3, 2), {"stride": (3, 2), "padding": (1, 0), "dilation": (2, 1), "groups": 2}),
    "one filter a channel": ((1, 3, 6, 5), (3, 1, 3, 3), {"padding": 1, "groups": 3}),
    "one-sided padding": ((2, 2, 4, 5), (3, 2, 3, 3), {"stride": (2, 1), "padding": ((1, 2), (0, 3))}),
    "padding on the left only": ((1, 2, 5, 8), (2, 2, 2, 3), {"stride": (1, 4), "padding": ((0, 0), (1, 0))}),
    "padding at the top only": ((1, 2, 8, 5), (2, 2, 3, 2), {"stride": (4, 1), "padding": ((1, 0), (0, 0))}),
    "padding wider than the kernel": ((1, 2, 3, 4), (2, 2, 2, 2), {"padding": (4, 3)}),
    "kernel larger than the image": ((2, 1, 2, 3), (2, 1, 5, 4), {"padding": (2, 1)}),
    "remainder": ((1, 2, 8, 9), (2, 2, 3, 2), {"stride": (3, 4)}),
    "stride larger than the kernel": ((2, 1, 7, 8), (2, 1, 2, 1), {"stride": (3, 2)}),
    "1x1": ((3, 3, 4, 5), (2, 3, 1, 1), {}),
    "1x1 with a stride": ((1, 3, 5, 5), (2, 3, 1, 1), {"stride": (2, 3)}),
    "one output pixel": ((3, 2, 3, 4), (5, 2, 3, 4), {}),
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
    return x, weight, rng.standard_normal(weight_shape[0]).astype(dtype), options


def brute_force(x, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    """The definition: each output pixel is the sum over its window, in an image that was really padded."""
    (sh, sw), (dh, dw) = np.broadcast_to(stride, 2), np.broadcast_to(dilation, 2)
    rows, columns = padding if isinstance(padding, tuple) else (padding, padding)
    padded = np.pad(x, ((0, 0), (0, 0), np.broadcast_to(rows, 2), np.broadcast_to(columns, 2)))
    filters, channels, kh, kw = weight.shape
    tall, wide = dh * (kh - 1) + 1, dw * (kw - 1) + 1
    oh, ow = (padded.shape[2] - tall) // sh + 1, (padded.shape[3] - wide) // sw + 1
    y = np.empty((x.shape[0], filters, oh, ow))
    for n, o, p, q in np.ndindex(y.shape):
        first = o * groups // filters * channels
        top, left = p * sh, q * sw
        window = padded[n, first : first + channels, top : top + tall : dh, left : left + wide : dw]
        y[n, o, p, q] = np.sum(window * weight[o]) + bias[o]
    return y


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
        y, _ = ops.conv2d(x, weight, bias, **options)
        gy = np.random.default_rng(2).standard_normal(y.shape)
        return (
            gy,
            numerical_gradient(lambda x: ops.conv2d(x, weight, bias, **options)[0], x, gy),
            numerical_gradient(lambda weight: ops.conv2d(x, weight, bias, **options)[0], weight, gy),
            numerical_gradient(lambda bias: ops.conv2d(x, weight, bias, **options)[0], bias, gy),
        )


def assert_close(actual, expected, tolerance=1e-11):
    """Equal shapes, and no element off by more than `tolerance` times the largest."""
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * np.max(np.abs(expected))


@pytest.mark.parametrize("case", CASES)
def test_forward_is_the_definition(folder, case):
    x, weight, bias, options = inputs(case)
    y, _ = ops.conv2d(x, weight, bias, **options)
    assert_close(y, brute_force(x, weight, bias, **options))
    without_bias, _ = ops.conv2d(x, weight, **options)
    assert_close(without_bias, brute_force(x, weight, np.zeros_like(bias), **options))


@pytest.mark.parametrize(("mode", "padding"), [("valid", 0), ("full", (2, 1)), ("same", ((1, 1), (0, 1)))])
def test_forward_is_scipys_correlation(folder, rng, mode, padding):
    x, weight = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((2, 3, 3, 2))
    y, _ = ops.conv2d(x, weight, padding=padding)
    expected = [[sum(correlate2d(image[c], kernel[c], mode) for c in range(3)) for kernel in weight] for image in x]
    assert_close(y, np.array(expected))


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_central_differences(folder, case):
    x, weight, bias, options = inputs(case)
    gy, *expected = expected_gradients(case)
    _, cache = ops.conv2d(x, weight, bias, **options)
    for gradient, right in zip(ops.conv2d_backward(gy, cache), expected, strict=True):
        assert_close(gradient, right)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_adjoints(folder, case, rng):
    """<conv(x), gy> == <x, gx> == <weight, gweight>: y is linear in x and linear in weight."""
    x, weight, _, options = inputs(case)
    y, cache = ops.conv2d(x, weight, **options)
    gy = rng.standard_normal(y.shape)
    gx, gweight, gbias = ops.conv2d_backward(gy, cache)
    assert np.sum(x * gx) == pytest.approx(np.sum(y * gy), rel=1e-10)
    assert np.sum(weight * gweight) == pytest.approx(np.sum(y * gy), rel=1e-10)
    assert gbias is None


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True), (False,) * 3])
def test_needs(folder, needs):
    x, weight, bias, options = inputs("everything")
    y, cache = ops.conv2d(x, weight, bias, **options)
    every, some = ops.conv2d_backward(y, cache), ops.conv2d_backward(y, cache, needs=needs)
    for full, gradient, need in zip(every, some, needs, strict=True):
        if need:
            np.testing.assert_array_equal(gradient, full)  # and so backward may be called twice
        else:
            assert gradient is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(folder, dtype):
    x, weight, bias, options = inputs("everything", dtype)
    y, cache = ops.conv2d(x, weight, bias, **options)
    results = (y, *ops.conv2d_backward(np.ones_like(y), cache))
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert_close(y, brute_force(x, weight, bias, **options), 1e-5 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "strided"])
def test_any_memory_layout_and_inputs_untouched(folder, layout):
    rearrange = {
        "fortran": np.asfortranarray,
        "reversed": lambda a: np.flip(np.flip(a).copy()),
        "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    }[layout]
    x, weight, bias, options = inputs("everything")
    y, cache = ops.conv2d(x, weight, bias, **options)
    expected = (y, *ops.conv2d_backward(y, cache))
    arrays = [rearrange(array) for array in (x, weight, bias, y)]
    kept = [array.copy() for array in arrays]
    y, cache = ops.conv2d(*arrays[:3], **options)
    for result, right in zip((y, *ops.conv2d_backward(arrays[3], cache)), expected, strict=True):
        assert_close(result, right)
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_nan_reaches_the_windows_that_read_it_and_no_others(folder):
    x, weight = np.zeros((2, 1, 6, 7)), np.ones((1, 1, 3, 2))
    x[1, 0, 4, 2] = np.nan
    y, _ = ops.conv2d(x, weight, padding=(1, 0), stride=(2, 1))
    places = {tuple(place) for place in np.argwhere(np.isnan(y)).tolist()}
    # Output row p reads rows 2p-1 to 2p+1, so only p = 2 sees row 4; column q reads q and q+1.
    assert places == {(1, 0, 2, 1), (1, 0, 2, 2)}


def test_an_empty_batch(folder):
    y, cache = ops.conv2d(np.zeros((0, 2, 4, 5)), np.ones((3, 2, 2, 2)))
    gx, gweight, _ = ops.conv2d_backward(y, cache)
    assert y.shape == (0, 3, 3, 4)
    assert gx.shape == (0, 2, 4, 5)
    assert not gweight.any()


@pytest.mark.parametrize(("images", "oh", "ow", "depth"), [(3, 4, 5, 2), (5, 2, 2, 3), (2, 7, 3, 6), (2, 3, 9, 100)])
def test_tiles_cover_every_output_once(monkeypatch, images, oh, ow, depth):
    monkeypatch.setattr(_columns, "TILE", 64)
    covered = np.zeros((images, oh), int)
    for some, rows in _columns.tiles(images, oh, ow, depth):
        covered[some, rows] += 1
        pixels = (some.stop - some.start) * (rows.stop - rows.start) * ow
        one_row = some.stop - some.start == rows.stop - rows.start == 1  # cannot be smaller
        assert pixels * depth <= 64 or one_row
    assert np.all(covered == 1)


def test_prepared_weight_is_used_by_its_own_folder_only(monkeypatch):
    """No folder prepares anything yet, so one is made up here: it has a weight doubled beforehand."""
    x, weight, _, options = inputs("plain")
    assert ops.prepare_conv2d(weight, input_size=(5, 6)).kind == "plain"
    plain, _ = ops.conv2d(x, weight, prepared=ops.prepare_conv2d(weight, input_size=(5, 6)))
    assert_close(plain, ops.conv2d(x, weight)[0])

    array = sys.modules["minifcn.kernels.array"]
    monkeypatch.setattr(array, "prepare_conv2d", lambda weight, *geometry: ("doubled", 2 * weight), raising=False)
    monkeypatch.setattr(array, "conv2d_prepared", lambda x, data, kind, bias, o, kh, kw, *rest:
                        array.conv2d(x, data, bias, *rest), raising=False)
    with minifcn.use_kernels("array"):
        prepared = ops.prepare_conv2d(weight, input_size=(5, 6), **options)
        assert_close(ops.conv2d(x, weight, prepared=prepared)[0], 2 * plain)
        assert_close(ops.conv2d(x, weight.copy(), prepared=prepared)[0], plain)  # made for another weight
    with minifcn.use_kernels("reference"):
        assert_close(ops.conv2d(x, weight, prepared=prepared)[0], plain)
