"""Random geometry: every pass of `array` against `reference`, in shapes that nobody would think of by hand.

Hypothesis draws the configurations, always the same ones, and when two folders differ it looks for the smallest
configuration in which they do. `reference` itself is held to brute force in the tests of each op.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn import ops, use_kernels

OTHERS = ("array", "cpu")
FEW, MANY = 100, 2000  # configurations in `make test`, in `make test-full`


@st.composite
def windows(draw, most_dilation=3):
    """Input size, kernel, stride, padding by side, dilation: such that at least one window fits."""
    axes = []
    for _ in range(2):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, most_dilation))
        before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        least = max(1, dilation * (kernel - 1) + 1 - before - after)
        axes.append((draw(st.integers(least, least + 6)), kernel, draw(st.integers(1, 4)), (before, after), dilation))
    size, kernel_size, stride, padding, dilation = zip(*axes, strict=True)
    return size, {"stride": stride, "padding": padding, "dilation": dilation}, kernel_size


def agree(run):
    """`run()` gives the same arrays on every kernel folder as on `reference`, to the rounding of float64."""
    with use_kernels("reference"):
        expected = run()
    for folder in OTHERS:
        with use_kernels(folder):
            found = run()
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11, err_msg=folder)


@st.composite
def convolutions(draw):
    (h, w), options, kernel_size = draw(windows())
    groups, n = draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal((n, channels, h, w))
    weight = rng.standard_normal((filters, channels // groups, *kernel_size))
    return x, weight, rng.standard_normal(filters), options | {"groups": groups}, rng


def check_convolution(case):
    x, weight, bias, options, rng = case
    y, _ = ops.conv2d(x, weight, bias, **options)
    gy = rng.standard_normal(y.shape)

    def run():
        y, cache = ops.conv2d(x, weight, bias, **options)
        return (y, *ops.conv2d_backward(gy, cache))

    agree(run)


@st.composite
def poolings(draw):
    (h, w), options, kernel_size = draw(windows())
    # At most half of the extent may be padding, and then the input may have to be larger.
    spans = [d * (k - 1) + 1 for k, d in zip(kernel_size, options["dilation"], strict=True)]
    options["padding"] = tuple(
        tuple(min(side, span // 2) for side in sides) for sides, span in zip(options["padding"], spans, strict=True)
    )
    size = tuple(max(n, span) for n, span in zip((h, w), spans, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = draw(st.sampled_from([3, 1000]))  # few different values make ties
    x = rng.integers(0, values, (2, 2, *size)).astype(float)
    return x, options | {"kernel_size": kernel_size, "ceil_mode": draw(st.booleans())}, rng


def check_pooling(case):
    x, options, rng = case
    averaging = {name: value for name, value in options.items() if name != "dilation"}
    y, _ = ops.max_pool2d(x, **options)
    gy = rng.standard_normal(y.shape)
    gmean = rng.standard_normal(ops.avg_pool2d(x, **averaging)[0].shape) if fits_average(averaging) else None

    def run():
        (y, indices), cache = ops.max_pool2d(x, return_indices=True, **options)
        results = [y, indices, ops.max_pool2d_backward(gy, cache)]
        up, cache = ops.max_unpool2d(gy, indices, output_size=x.shape[2:])
        results += [up, ops.max_unpool2d_backward(up, cache)]
        if gmean is not None:
            mean, cache = ops.avg_pool2d(x, **averaging)
            results += [mean, ops.avg_pool2d_backward(gmean, cache)]
        return results

    agree(run)


def fits_average(options):
    """Without dilation the extent is smaller, and with it the padding that is allowed."""
    return all(max(sides) <= k // 2 for sides, k in zip(options["padding"], options["kernel_size"], strict=True))


@st.composite
def resizings(draw):
    sizes = [draw(st.integers(1, 9)) for _ in range(4)]
    return (sizes[0], sizes[1]), (sizes[2], sizes[3]), draw(st.booleans()), draw(st.integers(0, 99))


def check_resizing(case):
    size, output_size, align_corners, seed = case
    rng = np.random.default_rng(seed)
    x, gy = rng.standard_normal((2, 2, *size)), rng.standard_normal((2, 2, *output_size))

    def run():
        y, cache = ops.resize_bilinear(x, output_size=output_size, align_corners=align_corners)
        mean, mean_cache = ops.adaptive_avg_pool2d(x, output_size=output_size)
        return y, ops.resize_bilinear_backward(gy, cache), mean, ops.adaptive_avg_pool2d_backward(gy, mean_cache)

    agree(run)


CHECKS = {"convolution": (convolutions(), check_convolution), "pooling": (poolings(), check_pooling),
          "resizing": (resizings(), check_resizing)}


def hunt(name, count):
    cases, check = CHECKS[name]
    settings(max_examples=count, derandomize=True, deadline=None, database=None)(given(cases)(check))()


@pytest.mark.parametrize("name", CHECKS)
def test_some(name):
    hunt(name, FEW)


@pytest.mark.full
@pytest.mark.parametrize("name", CHECKS)
def test_many(name):
    hunt(name, MANY)
