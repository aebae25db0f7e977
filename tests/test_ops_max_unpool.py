"""Unpooling: values go where the indices say, add up where they meet, and their gradients are read back from there."""

import sys
import types

import numpy as np
import pytest

import minifcn
from minifcn.ops import max_pool2d, max_unpool2d, max_unpool2d_backward

# (H, W) and the geometry of a pooling, as the kernels take it: kh, kw, sh, sw, ph, pw, dh, dw
POOLINGS = {
    "2x2/2": ((6, 8), (2, 2, 2, 2, 0, 0, 1, 1)),
    "floor remainder": ((7, 5), (2, 2, 2, 2, 0, 0, 1, 1)),
    "overlapping": ((9, 7), (3, 3, 2, 2, 1, 1, 1, 1)),
    "dense": ((5, 6), (3, 3, 1, 1, 1, 1, 1, 1)),
    "anisotropic": ((8, 11), (3, 2, 2, 3, 0, 1, 1, 2)),
    "overlapping in one axis only": ((9, 8), (3, 2, 1, 2, 1, 0, 1, 1)),
}


@pytest.fixture(params=["reference", "array", "cpu"])
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


def brute_scatter(x, indices, h, w):
    y = np.zeros((*x.shape[:2], h, w), x.dtype)
    for n, c, p, q in np.ndindex(x.shape):
        y[n, c, indices[n, c, p, q] // w, indices[n, c, p, q] % w] += x[n, c, p, q]
    return y


def brute_gather(x, indices):
    y = np.empty(indices.shape, x.dtype)
    for n, c, p, q in np.ndindex(indices.shape):
        y[n, c, p, q] = x[n, c, indices[n, c, p, q] // x.shape[3], indices[n, c, p, q] % x.shape[3]]
    return y


@pytest.mark.parametrize("name", POOLINGS)
def test_scatter_is_max_poolings_backward(name, folder, rng):
    (h, w), geometry = POOLINGS[name]
    kernel, stride, padding, dilation = (geometry[k : k + 2] for k in range(0, 8, 2))
    x = rng.integers(-4, 5, (2, 3, h, w)).astype(np.float64)
    (_, indices), _ = max_pool2d(x, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation,
                                 return_indices=True)
    gy = rng.normal(size=indices.shape)
    kernels = minifcn.kernels.kernels_for(gy)
    scattered = kernels.scatter(gy, indices, h, w)
    np.testing.assert_allclose(scattered, brute_scatter(gy, indices, h, w), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(scattered, kernels.max_pool2d_grad(gy, indices, h, w, *geometry), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_has_the_same_index_is_added(dtype, folder):
    x = np.array([[[[1, 2, 4]], [[8, 16, 32]]]], dtype)
    indices = np.array([[[[3, 3, 0]], [[5, 1, 5]]]], np.int32)
    y, cache = max_unpool2d(x, indices, output_size=(2, 3))
    np.testing.assert_array_equal(y, [[[[4, 0, 0], [3, 0, 0]], [[0, 16, 0], [0, 0, 40]]]])
    gx = max_unpool2d_backward(np.arange(12, dtype=dtype).reshape(1, 2, 2, 3), cache)
    np.testing.assert_array_equal(gx, [[[[3, 3, 0]], [[11, 7, 11]]]])
    assert y.dtype == gx.dtype == dtype


def test_pool_of_unpool_is_the_identity(folder, rng):
    pooling = {"kernel_size": 2, "return_indices": True}
    (x, indices), _ = max_pool2d(rng.uniform(1, 2, (2, 3, 7, 5)), **pooling)
    y, _ = max_unpool2d(x, indices, output_size=(7, 5))
    assert (y != 0).sum() == x.size
    (again, indices_again), _ = max_pool2d(y, **pooling)
    np.testing.assert_array_equal(again, x)
    np.testing.assert_array_equal(indices_again, indices)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_odd_sizes_through_five_pools_and_back(ceil_mode, folder, rng):
    """SegNet's way down and up: with sizes kept, five unpoolings return to where five poolings started."""
    x = rng.uniform(1, 2, (2, 2, 45, 37))
    below, records = x, []
    for _ in range(5):
        size = below.shape[2:]
        (below, indices), _ = max_pool2d(below, kernel_size=2, ceil_mode=ceil_mode, return_indices=True)
        records.append((indices, size))
    assert below.shape[2:] == ((2, 2) if ceil_mode else (1, 1))
    for indices, size in reversed(records):
        below, _ = max_unpool2d(below, indices, output_size=size)
    assert below.shape == x.shape
    reached = below != 0
    assert reached.sum() == 2 * 2 * (4 if ceil_mode else 1)  # one pixel for each window of the last pooling
    np.testing.assert_array_equal(below[reached], x[reached])


def test_adjoint_and_gradient(folder, rng):
    """The map is linear, so its gradient is its adjoint; 24 indices for 35 places repeat, here and there."""
    indices = rng.integers(0, 5 * 7, (2, 3, 4, 6))
    assert len(np.unique(indices[0, 0])) < 24
    x, gy = rng.normal(size=indices.shape), rng.normal(size=(2, 3, 5, 7))
    y, cache = max_unpool2d(x, indices, output_size=(5, 7))
    gx = max_unpool2d_backward(gy, cache)
    np.testing.assert_allclose(y, brute_scatter(x, indices, 5, 7), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(gx, brute_gather(gy, indices))
    assert np.vdot(y, gy) == pytest.approx(np.vdot(x, gx), rel=1e-12)


def test_nan_goes_to_its_place_only(folder):
    y, _ = max_unpool2d(np.array([[[[np.nan, 1.0]]]]), np.array([[[[2, 1]]]]), output_size=(2, 2))
    np.testing.assert_array_equal(y, [[[[0, 1], [np.nan, 0]]]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_every_kind_of_integer_will_do(dtype, folder):
    y, _ = max_unpool2d(np.ones((1, 1, 1, 2)), np.array([[[[5, 0]]]], dtype), output_size=(2, 3))
    np.testing.assert_array_equal(y, [[[[1, 0, 0], [0, 0, 1]]]])


def test_layout_input_and_repetition(folder, rng):
    plain, places = rng.normal(size=(2, 3, 4, 6)).astype(np.float32), rng.integers(0, 35, (2, 3, 4, 6))
    for arrange in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=3)[..., ::2]):
        x, indices, gy = arrange(plain), arrange(places), arrange(rng.normal(size=(2, 3, 5, 7)).astype(np.float32))
        y, cache = max_unpool2d(x, indices, output_size=(5, 7))
        np.testing.assert_allclose(y, brute_scatter(plain, places, 5, 7), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(max_unpool2d_backward(gy, cache), brute_gather(gy, places))
        np.testing.assert_array_equal(max_unpool2d_backward(gy, cache), max_unpool2d_backward(gy, cache))
        assert max_unpool2d_backward(gy, cache, needs=(False,)) is None
        np.testing.assert_array_equal(x, plain)
        np.testing.assert_array_equal(indices, places)


def test_empty_batch(folder):
    nothing = np.zeros((0, 3, 2, 2), np.float32)
    y, cache = max_unpool2d(nothing, nothing.astype(np.int32), output_size=(4, 5))
    assert (y.shape, y.dtype) == ((0, 3, 4, 5), np.float32)
    assert max_unpool2d_backward(y, cache).shape == (0, 3, 2, 2)


# Bad input.

@pytest.mark.parametrize(("error", "match", "indices"), [
    (ValueError, r"from 0 to 23, inside a plane of 4x6, got 24 at \(0, 1, 0, 2\)", [[[[0, 1, 2]], [[3, 23, 24]]]]),
    (ValueError, r"from 0 to 23.*got -1 at \(0, 0, 0, 1\)", [[[[0, -1, 2]], [[3, 23, 24]]]]),
    (ValueError, r"of the shape of x \(1, 2, 1, 3\).*got \(1, 1, 1, 3\)", [[[[0, 1, 2]]]]),
    (TypeError, "as an array of integers, got float64", [[[[0.0, 1, 2]], [[3, 4, 5]]]]),
])
def test_bad_indices(error, match, indices):
    with pytest.raises(error, match=f"max_unpool2d: expected indices {match}"):
        max_unpool2d(np.ones((1, 2, 1, 3)), np.array(indices), output_size=(4, 6))


def test_bad_arrays():
    x, indices = np.ones((1, 1, 1, 2)), np.zeros((1, 1, 1, 2), np.int32)
    with pytest.raises(TypeError, match="max_unpool2d: expected indices as an array of integers, got list"):
        max_unpool2d(x, [[[[0, 1]]]], output_size=(2, 2))
    with pytest.raises(TypeError, match=r"max_unpool2d: expected output_size as an int or \(height, width\)"):
        max_unpool2d(x, indices, output_size=None)
    with pytest.raises(TypeError, match="max_unpool2d: expected x of dtype float32 or float64"):
        max_unpool2d(indices, indices, output_size=(2, 2))
    y, cache = max_unpool2d(x, indices, output_size=(2, 2))
    with pytest.raises(ValueError, match="max_unpool2d_backward: expected gy of the forward output's shape"):
        max_unpool2d_backward(x, cache)
    with pytest.raises(TypeError, match="max_unpool2d_backward: expected gy of the forward output's dtype"):
        max_unpool2d_backward(y.astype(np.float32), cache)
    with pytest.raises(ValueError, match="max_unpool2d_backward: expected needs with 1 values"):
        max_unpool2d_backward(y, cache, needs=(True, False))


def test_indices_on_another_device(monkeypatch):
    class DeviceArray(np.ndarray):
        """Stands for an array of CuPy."""

    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(ndarray=DeviceArray, __name__="cupy"))
    indices = np.zeros((1, 1, 1, 2), np.int32).view(DeviceArray)
    with pytest.raises(TypeError, match=r"max_unpool2d: expected indices on the device of x \(numpy\), got a cupy"):
        max_unpool2d(np.ones((1, 1, 1, 2)), indices, output_size=(2, 2))
