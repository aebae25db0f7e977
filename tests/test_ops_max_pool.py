"""Max-pooling against its definition, written out here window by window."""

import numpy as np
import pytest

import minifcn
from minifcn.ops import max_pool2d, max_pool2d_backward

# name: (H, W), options, ((top, bottom), (left, right)) spelled out
CASES = {
    "2x2/2": ((6, 8), {"kernel_size": 2}, ((0, 0), (0, 0))),
    "floor remainder": ((7, 5), {"kernel_size": 2}, ((0, 0), (0, 0))),
    "ceil clips": ((7, 5), {"kernel_size": 2, "ceil_mode": True}, ((0, 0), (0, 0))),
    "overlapping": ((9, 7), {"kernel_size": 3, "stride": 2, "ceil_mode": True}, ((0, 0), (0, 0))),
    "dense": ((5, 6), {"kernel_size": 3, "stride": 1, "padding": 1}, ((1, 1), (1, 1))),
    "anisotropic": ((8, 11), {"kernel_size": (3, 2), "stride": (2, 3), "padding": (0, 1), "dilation": (1, 2)},
                    ((0, 0), (1, 1))),
    "one-sided": ((6, 7), {"kernel_size": 3, "stride": 2, "padding": ((0, 1), (1, 0))}, ((0, 1), (1, 0))),
    "one-sided, ceil": ((8, 6), {"kernel_size": (2, 3), "stride": (3, 2), "padding": ((1, 0), (0, 1)),
                                 "ceil_mode": True}, ((1, 0), (0, 1))),
    "dilated, strided": ((10, 9), {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2}, ((2, 2), (2, 2))),
    "ceil, last window in the padding dropped": ((4, 4), {"kernel_size": 2, "stride": 3, "padding": 1,
                                                          "ceil_mode": True}, ((1, 1), (1, 1))),
    "gaps between windows": ((9, 10), {"kernel_size": 2, "stride": (4, 3)}, ((0, 0), (0, 0))),
    "more than 255 taps": ((18, 19), {"kernel_size": (16, 17), "stride": 2}, ((0, 0), (0, 0))),
}
SHAPE = (2, 3)  # images, channels


@pytest.fixture(params=["reference", "array", "cpu"])
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


def both(value):
    return (value, value) if isinstance(value, int) else value


def window_starts(size, extent, stride, before, after, ceil_mode):
    """First coordinate of each window, found by walking along the axis."""
    starts, start = [], -before
    while start + extent <= size + after:
        starts.append(start)
        start += stride
    ended = starts and starts[-1] + extent == size + after
    if ceil_mode and not ended and start < size:  # one more, which hangs over the end
        starts.append(start)
    return starts


def windows_of(case):
    """For each output pixel the (row, column) of the input pixels that it sees, in row-major order."""
    (h, w), options, sides = case
    kernel, dilation = both(options["kernel_size"]), both(options.get("dilation", 1))
    stride = both(options.get("stride", kernel))
    rows, cols = (
        window_starts((h, w)[a], dilation[a] * (kernel[a] - 1) + 1, stride[a], *sides[a], options.get("ceil_mode"))
        for a in (0, 1)
    )
    def seen(top, left):
        taps = [(top + i * dilation[0], left + j * dilation[1]) for i in range(kernel[0]) for j in range(kernel[1])]
        return [(y, x) for y, x in taps if 0 <= y < h and 0 <= x < w]
    return [[seen(top, left) for left in cols] for top in rows]


def brute_max_pool(x, case):
    """y and indices by the definition: the first NaN, else the first of the largest."""
    windows = windows_of(case)
    y = np.empty((*x.shape[:2], len(windows), len(windows[0])), x.dtype)
    indices = np.empty(y.shape, np.int32)
    for n, c, p, q in np.ndindex(y.shape):
        pixels = windows[p][q]
        values = [x[n, c, row, col] for row, col in pixels]
        nans = [k for k, value in enumerate(values) if np.isnan(value)]
        winner = nans[0] if nans else values.index(max(values))
        y[n, c, p, q], indices[n, c, p, q] = values[winner], pixels[winner][0] * x.shape[3] + pixels[winner][1]
    return y, indices


def brute_scatter(gy, indices, h, w):
    gx = np.zeros((*gy.shape[:2], h, w), gy.dtype)
    for n, c, p, q in np.ndindex(gy.shape):
        gx[n, c, indices[n, c, p, q] // w, indices[n, c, p, q] % w] += gy[n, c, p, q]
    return gx


def tie_free(rng, shape, dtype=np.float64):
    """All values different, neighbours 0.1 apart."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) / 10 - 1).astype(dtype)


def pooled(x, case):
    (y, indices), cache = max_pool2d(x, **case[1], return_indices=True)
    return y, indices, cache


# The forward pass.

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_values_and_indices(name, dtype, folder, rng):
    case = CASES[name]
    x = rng.integers(-4, 5, (*SHAPE, *case[0])).astype(dtype)  # few values: full of ties
    y, indices, _ = pooled(x, case)
    expected_y, expected_indices = brute_max_pool(x, case)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(indices, expected_indices)
    assert (y.dtype, indices.dtype) == (dtype, np.int32)


def test_without_indices_it_returns_a_bare_array(folder, rng):
    x = rng.normal(size=(1, 2, 4, 6))
    y, _ = max_pool2d(x, kernel_size=2)
    np.testing.assert_array_equal(y, pooled(x, ((4, 6), {"kernel_size": 2}, None))[0])


def test_of_equal_values_the_first_wins(folder):
    _, indices, _ = pooled(np.zeros((1, 1, 4, 6)), CASES["2x2/2"])
    np.testing.assert_array_equal(indices[0, 0], [[0, 2, 4], [12, 14, 16]])
    _, indices, _ = pooled(np.zeros((1, 1, 3, 3)), CASES["dense"])  # the padding, though it comes earlier, never wins
    np.testing.assert_array_equal(indices[0, 0], [[0, 0, 1], [0, 0, 1], [3, 3, 4]])


def test_the_last_of_very_many_taps_is_found(folder):
    """272 taps, and the winner is the last of them: a count in 8 bits would have started anew."""
    _, indices, _ = pooled(np.arange(16.0 * 17).reshape(1, 1, 16, 17), (None, {"kernel_size": (16, 17)}, None))
    assert indices.item() == 271


def test_minus_infinity_is_found_in_the_input_and_not_in_the_padding(folder):
    y, indices, _ = pooled(np.full((1, 1, 3, 3), -np.inf), CASES["dense"])
    assert (y == -np.inf).all()
    np.testing.assert_array_equal(indices[0, 0], [[0, 0, 1], [0, 0, 1], [3, 3, 4]])


@pytest.mark.parametrize("name", CASES)
def test_nan_wins_and_the_first_one_is_remembered(name, folder, rng):
    case = CASES[name]
    x = rng.normal(size=(*SHAPE, *case[0]))
    x[rng.random(x.shape) < 0.2] = np.nan
    x[rng.random(x.shape) < 0.1] = np.inf
    y, indices, _ = pooled(x, case)
    expected_y, expected_indices = brute_max_pool(x, case)
    assert np.isnan(y).any()
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(indices, expected_indices)


# The backward pass.

@pytest.mark.parametrize("name", CASES)
def test_gradient_goes_to_the_winners_and_adds_up(name, folder, rng):
    case = CASES[name]
    x = rng.integers(-4, 5, (*SHAPE, *case[0])).astype(np.float64)
    y, _, cache = pooled(x, case)
    gy = rng.normal(size=y.shape)
    expected = brute_scatter(gy, brute_max_pool(x, case)[1], *case[0])
    np.testing.assert_allclose(max_pool2d_backward(gy, cache), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in CASES if name != "more than 255 taps"])
def test_gradient_by_differences(name, folder, rng):
    case = CASES[name]
    x = tie_free(rng, (1, 2, *case[0]))
    y, _, cache = pooled(x, case)
    gy = rng.normal(size=y.shape)
    gx = max_pool2d_backward(gy, cache)
    numerical, step = np.empty_like(x), 1e-3  # less than half the distance of any two values
    with minifcn.use_kernels("array"):
        for at in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[at] += step
            down[at] -= step
            numerical[at] = ((pooled(up, case)[0] - pooled(down, case)[0]) * gy).sum() / (2 * step)
    np.testing.assert_allclose(gx, numerical, rtol=1e-6, atol=1e-6 * np.abs(numerical).max())


def test_an_infinite_gradient_stays_with_its_winner(folder):
    x = np.array([[[[1.0, 3.0, 2.0]]]])
    _, cache = max_pool2d(x, kernel_size=(1, 2), stride=1)
    gx = max_pool2d_backward(np.array([[[[np.inf, 1.0]]]]), cache)
    np.testing.assert_array_equal(gx, [[[[0, np.inf, 0]]]])


# What holds for all ops.

@pytest.mark.parametrize("layout", ["fortran", "every second column", "channels last"])
def test_memory_layout_does_not_matter_and_input_is_kept(layout, folder, rng):
    case = CASES["anisotropic"]
    plain = tie_free(rng, (*SHAPE, *case[0]))
    x = {
        "fortran": np.asfortranarray(plain),
        "every second column": np.repeat(plain, 2, axis=3)[..., ::2],
        "channels last": np.ascontiguousarray(plain.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    }[layout]
    y, indices, cache = pooled(x, case)
    gy = np.asfortranarray(rng.normal(size=y.shape))
    gx = max_pool2d_backward(gy, cache)
    expected_y, expected_indices = brute_max_pool(plain, case)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(gx, brute_scatter(gy, expected_indices, *case[0]), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(x, plain)


@pytest.mark.parametrize("name", ["2x2/2", "overlapping"])
def test_backward_twice_and_dtypes(name, folder, rng):
    case = CASES[name]
    y, indices, cache = pooled(tie_free(rng, (*SHAPE, *case[0]), np.float32), case)
    kept, gy = indices.copy(), rng.normal(size=y.shape).astype(np.float32)
    first, second = max_pool2d_backward(gy, cache), max_pool2d_backward(gy, cache)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(indices, kept)
    assert first.dtype == np.float32
    assert max_pool2d_backward(gy, cache, needs=(False,)) is None


@pytest.mark.parametrize("name", ["2x2/2", "overlapping"])
def test_planes_are_worked_on_in_blocks(name, monkeypatch, rng):
    """Three planes at a time: 10 planes make three whole blocks and a rest."""
    case = CASES[name]
    monkeypatch.setattr("minifcn.kernels.array._planes.BLOCK", 3 * case[0][0] * case[0][1] + 5)
    x = rng.normal(size=(2, 5, *case[0]))
    with minifcn.use_kernels("array"):
        y, indices, cache = pooled(x, case)
        gx = max_pool2d_backward(y, cache)
    expected_y, expected_indices = brute_max_pool(x, case)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(gx, brute_scatter(y, indices, *case[0]), rtol=1e-12, atol=1e-14)


def test_empty_batch(folder):
    (y, indices), cache = max_pool2d(np.zeros((0, 3, 4, 4)), kernel_size=2, return_indices=True)
    assert y.shape == indices.shape == (0, 3, 2, 2)
    assert max_pool2d_backward(y, cache).shape == (0, 3, 4, 4)


# Bad input.

X = np.zeros((1, 2, 6, 8))


@pytest.mark.parametrize(("error", "match", "options"), [
    (ValueError, r"padding of at most 1 rows and 1 columns, half the extent of kernel \(2, 2\).*got \(2, 2, 2, 2\).*"
                 r"wholly in the padding", {"kernel_size": 2, "padding": 2}),
    (ValueError, r"padding of at most 1 rows and 2 columns.*got \(0, 0, 0, 3\)",
     {"kernel_size": (3, 3), "dilation": (1, 2), "padding": ((0, 0), (0, 3))}),
    (ValueError, r"an input of at least 7x1", {"kernel_size": (7, 1)}),
    # Taps at -2 and 6 of 6 rows, or at -1 and 8 of 8 columns: nothing in between is looked at.
    (ValueError, r"dilation of at most 6, the input's rows, where it is padded, got 8",
     {"kernel_size": (2, 1), "stride": 1, "dilation": (8, 1), "padding": (3, 0)}),
    (ValueError, r"dilation of at most 8, the input's columns, where it is padded, got 9",
     {"kernel_size": (1, 2), "dilation": (1, 9), "padding": (0, 1)}),
    (ValueError, r"kernel_size of at least 1", {"kernel_size": 0}),
    (ValueError, r"stride of at least 1", {"kernel_size": 2, "stride": 0}),
    (TypeError, r"kernel_size as an int", {"kernel_size": 2.0}),
])
def test_bad_windows(error, match, options):
    with pytest.raises(error, match=f"max_pool2d: expected {match}"):
        max_pool2d(X, **options)


def test_bad_arrays():
    with pytest.raises(ValueError, match=r"max_pool2d: expected x with 4 axes"):
        max_pool2d(X[0], kernel_size=2)
    with pytest.raises(TypeError, match="max_pool2d: expected x of dtype float32 or float64, got int64"):
        max_pool2d(X.astype(int), kernel_size=2)
    y, cache = max_pool2d(X, kernel_size=2)
    with pytest.raises(ValueError, match="max_pool2d_backward: expected gy of the forward output's shape"):
        max_pool2d_backward(X, cache)
    with pytest.raises(TypeError, match="max_pool2d_backward: expected gy of the forward output's dtype float64"):
        max_pool2d_backward(y.astype(np.float32), cache)
    with pytest.raises(ValueError, match="max_pool2d_backward: expected needs with 1 values"):
        max_pool2d_backward(y, cache, needs=(True, True))
