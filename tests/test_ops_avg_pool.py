"""Average pooling, plain and adaptive, against SciPy and against the definition written out window by window."""

import math

import numpy as np
import pytest
from scipy import ndimage

import minifcn
from minifcn.ops import adaptive_avg_pool2d, adaptive_avg_pool2d_backward, avg_pool2d, avg_pool2d_backward

# name: (H, W), options, ((top, bottom), (left, right)) spelled out
CASES = {
    "2x2/2": ((6, 8), {"kernel_size": 2}, ((0, 0), (0, 0))),
    "floor remainder": ((7, 5), {"kernel_size": 2}, ((0, 0), (0, 0))),
    "ceil clips": ((7, 5), {"kernel_size": 2, "ceil_mode": True}, ((0, 0), (0, 0))),
    "dense, padded": ((5, 6), {"kernel_size": 3, "stride": 1, "padding": 1}, ((1, 1), (1, 1))),
    "padding not counted": ((5, 6), {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
                            ((1, 1), (1, 1))),
    "anisotropic": ((9, 11), {"kernel_size": (3, 2), "stride": (2, 3), "padding": (0, 1)}, ((0, 0), (1, 1))),
    "hangs over padding": ((7, 8), {"kernel_size": (4, 5), "stride": 3, "padding": (1, 2), "ceil_mode": True},
                           ((1, 1), (2, 2))),
    "hangs, not counted": ((7, 8), {"kernel_size": (4, 5), "stride": 3, "padding": (1, 2), "ceil_mode": True,
                                    "count_include_pad": False}, ((1, 1), (2, 2))),
    "one-sided": ((6, 7), {"kernel_size": 3, "stride": 2, "padding": ((0, 1), (1, 0))}, ((0, 1), (1, 0))),
    "one-sided, ceil": ((7, 6), {"kernel_size": (2, 4), "stride": (3, 3), "padding": ((0, 1), (0, 2)),
                                 "ceil_mode": True, "count_include_pad": False}, ((0, 1), (0, 2))),
    "one-sided, ceil, counted": ((7, 6), {"kernel_size": (2, 4), "stride": 3, "padding": ((0, 1), (0, 2)),
                                          "ceil_mode": True}, ((0, 1), (0, 2))),
    "gaps between windows": ((9, 10), {"kernel_size": 2, "stride": (4, 3)}, ((0, 0), (0, 0))),
}
ADAPTIVE = {  # (H, W), (OH, OW)
    "divides": ((6, 8), (3, 2)), "does not": ((7, 10), (3, 4)), "global": ((5, 6), (1, 1)), "same": ((4, 5), (4, 5)),
    "larger": ((3, 4), (5, 7)), "mixed": ((2, 9), (3, 6)),
}
SHAPE = (2, 3)


@pytest.fixture(params=["reference", "array", "cpu"])
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


def both(value):
    return (value, value) if isinstance(value, int) else value


def axis_windows(size, kernel, stride, before, after, ceil_mode, include_pad):
    """For each window along one axis: (the pixels that it sees, the number that it counts)."""
    windows, start = [], -before
    while start + kernel <= size + after or (
            ceil_mode and start < size and (not windows or start - stride + kernel < size + after)):
        inside = [pixel for pixel in range(start, start + kernel) if 0 <= pixel < size]
        counted = [pixel for pixel in range(start, start + kernel) if pixel < size + after]
        windows.append((inside, len(counted) if include_pad else len(inside)))
        start += stride
    return windows


def brute_windows(case):
    """(rows, columns), each a list of (pixels, count), by the definition."""
    size, options, sides = case
    kernel = both(options["kernel_size"])
    stride = both(options.get("stride", kernel))
    ceil_mode, include_pad = options.get("ceil_mode", False), options.get("count_include_pad", True)
    return [axis_windows(size[a], kernel[a], stride[a], *sides[a], ceil_mode, include_pad) for a in (0, 1)]


def adaptive_windows(size, output_size):
    axes = []
    for pixels, count in zip(size, output_size, strict=True):
        spans = [range(math.floor(k * pixels / count), math.ceil((k + 1) * pixels / count)) for k in range(count)]
        axes.append([(list(span), len(span)) for span in spans])
    return axes


def matrix(windows, size):
    """One axis of an average pooling as a matrix (windows, pixels): what it is, since it is linear."""
    means = np.zeros((len(windows), size))
    for p, (pixels, count) in enumerate(windows):
        means[p, pixels] = 1 / count
    return means


def brute(x, axes):
    rows, cols = matrix(axes[0], x.shape[2]), matrix(axes[1], x.shape[3])
    return np.einsum("ph,nchw,qw->ncpq", rows, x, cols)


def brute_backward(gy, axes, size):
    rows, cols = matrix(axes[0], size[0]), matrix(axes[1], size[1])
    return np.einsum("ph,ncpq,qw->nchw", rows, gy, cols)


def tolerance(dtype):
    return {"rtol": 1e-12, "atol": 1e-14} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-6}


# Average pooling.

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_average_and_gradient(name, dtype, folder, rng):
    case = CASES[name]
    x = rng.normal(size=(*SHAPE, *case[0])).astype(dtype)
    y, cache = avg_pool2d(x, **case[1])
    expected = brute(x.astype(np.float64), brute_windows(case))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, **tolerance(dtype))
    gy = rng.normal(size=y.shape).astype(dtype)
    gx = avg_pool2d_backward(gy, cache)
    np.testing.assert_allclose(gx, brute_backward(gy.astype(np.float64), brute_windows(case), case[0]),
                               **tolerance(dtype))
    assert y.dtype == gx.dtype == dtype


def test_dense_pooling_is_scipys_uniform_filter(folder, rng):
    x = rng.normal(size=(6, 9))
    y, _ = avg_pool2d(x[None, None], kernel_size=(3, 5), stride=1, padding=(1, 2))
    np.testing.assert_allclose(y[0, 0], ndimage.uniform_filter(x, (3, 5), mode="constant"), rtol=1e-12, atol=1e-14)


def test_what_the_windows_are_divided_by(folder):
    """Worked by hand: 5 pixels in windows of 4 at -1, 2 and (ceil) 5; the padded line ends at 6."""
    x = np.ones((1, 1, 1, 5))
    options = {"kernel_size": (1, 4), "stride": 3, "padding": (0, 1)}
    np.testing.assert_allclose(avg_pool2d(x, **options)[0][0, 0], [[3 / 4, 3 / 4]])
    options["ceil_mode"] = True  # the third window would start beyond the input and is dropped
    np.testing.assert_allclose(avg_pool2d(x, **options)[0][0, 0], [[3 / 4, 3 / 4]])
    six = np.ones((1, 1, 1, 6))  # now it sees the last pixel and one of padding, and hangs over by two
    np.testing.assert_allclose(avg_pool2d(six, **options)[0][0, 0], [[3 / 4, 1, 1 / 2]])
    options["count_include_pad"] = False
    np.testing.assert_allclose(avg_pool2d(six, **options)[0][0, 0], [[1, 1, 1]])


# Adaptive average pooling.

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_average_and_gradient(name, dtype, folder, rng):
    size, output_size = ADAPTIVE[name]
    x = rng.normal(size=(*SHAPE, *size)).astype(dtype)
    y, cache = adaptive_avg_pool2d(x, output_size=output_size)
    axes = adaptive_windows(size, output_size)
    assert y.shape == (*SHAPE, *output_size)
    np.testing.assert_allclose(y, brute(x.astype(np.float64), axes), **tolerance(dtype))
    gy = rng.normal(size=y.shape).astype(dtype)
    gx = adaptive_avg_pool2d_backward(gy, cache)
    np.testing.assert_allclose(gx, brute_backward(gy.astype(np.float64), axes, size), **tolerance(dtype))
    assert y.dtype == gx.dtype == dtype


def test_adaptive_windows_worked_by_hand(folder):
    """7 pixels in 3 windows: 0..2, 2..4 and 4..6, so that pixels 2 and 4 count twice."""
    y, _ = adaptive_avg_pool2d(np.arange(7.0).reshape(1, 1, 1, 7), output_size=(1, 3))
    np.testing.assert_allclose(y[0, 0], [[1, 3, 5]])


def test_adaptive_pooling_with_a_divisor_is_average_pooling(folder, rng):
    x = rng.normal(size=(2, 3, 6, 8))
    np.testing.assert_allclose(adaptive_avg_pool2d(x, output_size=(3, 2))[0], avg_pool2d(x, kernel_size=(2, 4))[0])


# What holds for all ops, for both of them.

OPS = {
    "avg": (lambda x: avg_pool2d(x, **CASES["anisotropic"][1]), avg_pool2d_backward),
    "avg, ceil": (lambda x: avg_pool2d(x, **CASES["hangs, not counted"][1]), avg_pool2d_backward),
    "adaptive": (lambda x: adaptive_avg_pool2d(x, output_size=(4, 3)), adaptive_avg_pool2d_backward),
}


@pytest.mark.parametrize("name", OPS)
def test_adjoint(name, folder, rng):
    forward, backward = OPS[name]
    x = rng.normal(size=(2, 3, 9, 11))
    y, cache = forward(x)
    gy = rng.normal(size=y.shape)
    assert np.vdot(y, gy) == pytest.approx(np.vdot(x, backward(gy, cache)), rel=1e-12)


@pytest.mark.parametrize("name", OPS)
def test_gradient_by_differences(name, folder, rng):
    forward, backward = OPS[name]
    x = rng.normal(size=(1, 2, 9, 11))
    y, cache = forward(x)
    gy = rng.normal(size=y.shape)
    numerical = np.empty_like(x)
    with minifcn.use_kernels("array"):
        for at in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[at] += 0.5  # a linear map has exact differences at any distance
            down[at] -= 0.5
            numerical[at] = ((forward(up)[0] - forward(down)[0]) * gy).sum()
    np.testing.assert_allclose(backward(gy, cache), numerical, rtol=1e-6, atol=1e-6 * np.abs(numerical).max())


@pytest.mark.parametrize("name", OPS)
def test_layout_dtype_and_repetition(name, folder, rng):
    forward, backward = OPS[name]
    plain = rng.normal(size=(2, 3, 9, 11)).astype(np.float32)
    y, cache = forward(plain)
    gy = rng.normal(size=y.shape).astype(np.float32)
    gx = backward(gy, cache)
    for x in (np.asfortranarray(plain), np.repeat(plain, 2, axis=2)[:, :, ::2]):
        again, cache = forward(x)
        np.testing.assert_allclose(again, y, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(x, plain)
        np.testing.assert_allclose(backward(np.asfortranarray(gy), cache), gx, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(backward(gy, cache), backward(gy, cache))
    assert backward(gy, cache, needs=(False,)) is None
    assert y.dtype == gx.dtype == np.float32


@pytest.mark.parametrize("name", OPS)
def test_nan_reaches_the_windows_that_see_it_and_no_other(name, folder):
    forward, backward = OPS[name]
    clean, spoilt = np.ones((1, 2, 9, 11)), np.ones((1, 2, 9, 11))
    clean[0, 1, 4, 5], spoilt[0, 1, 4, 5] = 2, np.nan
    y, cache = forward(spoilt)
    seen = forward(clean)[0] != forward(np.ones((1, 2, 9, 11)))[0]
    assert seen.any()
    np.testing.assert_array_equal(np.isnan(y), seen)
    gy = np.zeros(y.shape)
    gy[0, 1, 1, 1] = np.nan
    reached = np.isnan(backward(gy, cache))
    gy[0, 1, 1, 1] = 1
    np.testing.assert_array_equal(reached, backward(gy, cache) != 0)


# Bad input.

X = np.zeros((1, 2, 6, 8))


@pytest.mark.parametrize(("match", "options"), [
    (r"padding of at most 1 rows and 1 columns.*got \(2, 2, 2, 2\)", {"kernel_size": 3, "padding": 2}),
    (r"an input of at least 7x1", {"kernel_size": (7, 1)}),
    (r"kernel_size of at least 1", {"kernel_size": 0}),
    (r"stride of at least 1", {"kernel_size": 2, "stride": 0}),
])
def test_bad_windows(match, options):
    with pytest.raises(ValueError, match=f"^avg_pool2d: expected {match}"):
        avg_pool2d(X, **options)


@pytest.mark.parametrize(("name", "op", "backward", "options"), [
    ("avg_pool2d", avg_pool2d, avg_pool2d_backward, {"kernel_size": 2}),
    ("adaptive_avg_pool2d", adaptive_avg_pool2d, adaptive_avg_pool2d_backward, {"output_size": 2}),
])
def test_bad_arrays(name, op, backward, options):
    with pytest.raises(ValueError, match=f"^{name}: expected x with 4 axes"):
        op(X[0], **options)
    with pytest.raises(TypeError, match=f"^{name}: expected x of dtype float32 or float64"):
        op(X.astype(np.float16), **options)
    y, cache = op(X, **options)
    with pytest.raises(ValueError, match=f"^{name}_backward: expected gy of the forward output's shape"):
        backward(X, cache)
    with pytest.raises(TypeError, match=f"^{name}_backward: expected gy of the forward output's dtype"):
        backward(y.astype(np.float32), cache)
    with pytest.raises(ValueError, match=f"^{name}_backward: expected needs with 1 values"):
        backward(y, cache, needs=())


def test_adaptive_pooling_of_and_to_nothing():
    with pytest.raises(ValueError, match="output_size of at least 1"):
        adaptive_avg_pool2d(X, output_size=(0, 2))
    with pytest.raises(ValueError, match=r"adaptive_avg_pool2d: expected an input of at least 1x1.*got 0x8"):
        adaptive_avg_pool2d(X[:, :, :0], output_size=2)
