"""Bilinear resizing against SciPy's linear interpolation and a triangle-weighted sum over all pixels."""

import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import minifcn
from minifcn import ops

# (H, W) -> (OH, OW): up, down, one axis each way, unchanged, from and to a single row or column
SIZES = [((4, 5), (8, 15)), ((7, 9), (3, 4)), ((5, 4), (3, 11)), ((4, 5), (4, 5)), ((1, 5), (3, 7)), ((6, 1), (4, 3)),
         ((5, 7), (1, 2)), ((3, 4), (1, 1)), ((1, 1), (3, 2)), ((6, 6), (13, 17))]


@pytest.fixture(params=["reference", "array", "cpu"])
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


def sources(size, count, align_corners):
    """The input coordinate of each output pixel, from the definition in PyTorch's documentation."""
    if align_corners:
        return np.array([p * (size - 1) / (count - 1) if count > 1 else 0.0 for p in range(count)])
    return np.array([max((p + 0.5) * size / count - 0.5, 0.0) for p in range(count)])


def hat_weights(size, count, align_corners):
    """(count, size): pixel r counts 1 - distance for an output at less than 1 from it, 0 otherwise.

    What lies beyond the last pixel belongs to the last one.
    """
    place = np.minimum(sources(size, count, align_corners), size - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(size)), 0)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("size", "output_size"), SIZES)
def test_forward_is_scipys_interpolation(folder, rng, size, output_size, align_corners):
    x = rng.standard_normal((2, 3, *size))
    y, _ = ops.resize_bilinear(x, output_size=output_size, align_corners=align_corners)
    places = np.meshgrid(*(sources(size[a], output_size[a], align_corners) for a in (0, 1)), indexing="ij")
    expected = np.array([[map_coordinates(plane, places, order=1, mode="nearest") for plane in image] for image in x])
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("size", "output_size"), SIZES)
def test_gradient_is_the_adjoint(folder, rng, size, output_size, align_corners):
    """The map is linear: y = rows @ x @ columns^T, so its gradient is rows^T @ gy @ columns, exactly."""
    x, gy = rng.standard_normal((2, 3, *size)), rng.standard_normal((2, 3, *output_size))
    y, cache = ops.resize_bilinear(x, output_size=output_size, align_corners=align_corners)
    gx = ops.resize_bilinear_backward(gy, cache)
    rows, columns = (hat_weights(size[a], output_size[a], align_corners) for a in (0, 1))
    np.testing.assert_allclose(gx, rows.T @ gy @ columns, rtol=1e-10, atol=1e-12)
    assert np.sum(gx * x) == pytest.approx(np.sum(gy * y), rel=1e-10, abs=1e-12)


def test_gradient_is_central_differences(folder, rng):
    x, gy = rng.standard_normal((2, 1, 4, 3)), rng.standard_normal((2, 1, 3, 7))
    _, cache = ops.resize_bilinear(x, output_size=(3, 7))
    gx = ops.resize_bilinear_backward(gy, cache)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1
        above, below = (ops.resize_bilinear(x + sign * step, output_size=(3, 7))[0] for sign in (1, -1))
        assert gx[place] == pytest.approx(np.sum((above - below) * gy) / 2, rel=1e-9, abs=1e-11)


def test_a_two_by_two_image_by_hand(folder):
    x = np.array([[[[0.0, 4.0], [8.0, 12.0]]]])
    edges, _ = ops.resize_bilinear(x, output_size=(2, 4))  # columns come from -0.25 (so 0), 0.25, 0.75 and 1.25 (so 1)
    np.testing.assert_array_equal(edges[0, 0], [[0, 1, 3, 4], [8, 9, 11, 12]])
    corners, _ = ops.resize_bilinear(x, output_size=(2, 3), align_corners=True)  # columns come from 0, 0.5 and 1
    np.testing.assert_array_equal(corners[0, 0], [[0, 2, 4], [8, 10, 12]])


def test_same_size_changes_nothing(folder, rng):
    x = rng.standard_normal((2, 3, 5, 7))
    for align_corners in (False, True):
        y, cache = ops.resize_bilinear(x, output_size=(5, 7), align_corners=align_corners)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(ops.resize_bilinear_backward(x, cache), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_layout_inputs_untouched_backward_twice(folder, rng, dtype):
    x = rng.standard_normal((2, 3, 5, 7))
    y, cache = ops.resize_bilinear(x, output_size=(8, 4))
    gx = ops.resize_bilinear_backward(y, cache)
    other, other_gy = (np.asfortranarray(np.repeat(a, 2, axis=3).astype(dtype))[..., ::2] for a in (x, y))
    kept, kept_gy = other.copy(), other_gy.copy()
    other_y, cache = ops.resize_bilinear(other, output_size=(8, 4))
    assert other_y.dtype == dtype
    np.testing.assert_allclose(other_y, y, rtol=1e-5, atol=1e-6)
    for _ in range(2):
        other_gx = ops.resize_bilinear_backward(other_gy, cache)
        assert other_gx.dtype == dtype
        np.testing.assert_allclose(other_gx, gx, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(other, kept)
    np.testing.assert_array_equal(other_gy, kept_gy)
    assert ops.resize_bilinear_backward(other_gy, cache, needs=(False,)) is None


def test_nan_stays_near(folder):
    x = np.zeros((2, 1, 6, 8))
    x[1, 0, 3, 5] = np.nan
    y, cache = ops.resize_bilinear(x, output_size=(12, 8))
    assert set(np.argwhere(np.isnan(y))[:, 2].tolist()) == {5, 6, 7, 8}  # the output rows between input rows 2 and 4
    assert np.isnan(y[1, 0, 6, 5])
    assert not np.isnan(y[0]).any()
    gy = np.zeros_like(y)
    gy[1, 0, 6, 5] = np.nan
    gx = ops.resize_bilinear_backward(gy, cache)
    assert np.isnan(gx[1, 0, 3, 5])
    assert np.isnan(gx).sum() <= 4


def test_memory_at_the_size_of_a_prediction():
    """A few copies of the output at most: nothing like a matrix from all input to all output pixels."""
    x = np.zeros((1, 21, 63, 47), np.float32)
    tracemalloc.start()
    y, cache = ops.resize_bilinear(x, output_size=(500, 500))
    ops.resize_bilinear_backward(y, cache)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * y.nbytes


X = np.zeros((2, 3, 4, 5))


@pytest.mark.parametrize(("x", "size", "error", "message"), [
    ([1.0], 2, TypeError, "^resize_bilinear: expected x to be a NumPy or CuPy array, got list"),
    (X[0], 2, ValueError,
     r"expected x with 4 axes \(N, C, H, W\), got shape \(3, 4, 5\)\. Add the batch axis: x\[None\]"),
    (X.astype("uint8"), 2, TypeError, "expected x of dtype float32 or float64, got uint8"),
    (X, (0, 5), ValueError, r"expected output_size of at least 1, got \(0, 5\)"),
    (X, None, TypeError, r"expected output_size as an int or \(height, width\) of ints, got None"),
    (X[:, :, :0], 2, ValueError, "expected an image of at least 1x1, got 0x5. There is nothing to interpolate between"),
])
def test_bad_arguments(x, size, error, message):
    with pytest.raises(error, match=message):
        ops.resize_bilinear(x, output_size=size)


@pytest.mark.parametrize(("gy", "needs", "error", "message"), [
    (X, None, ValueError, r"^resize_bilinear_backward: expected gy of .* shape \(2, 3, 6, 7\), got \(2, 3, 4, 5\)"),
    (np.zeros((2, 3, 6, 7), "float32"), None, TypeError, "expected gy of .* dtype float64, got float32"),
    (np.zeros((2, 3, 6, 7)), (True, True), ValueError, "expected needs with 1 values, .* got 2"),
])
def test_bad_gradients(gy, needs, error, message):
    _, cache = ops.resize_bilinear(X, output_size=(6, 7))
    with pytest.raises(error, match=message):
        ops.resize_bilinear_backward(gy, cache, needs=needs)
