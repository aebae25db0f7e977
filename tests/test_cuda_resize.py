"""Bilinear resizing in CUDA C++, on the emulator, against the loops of `reference`, compiled."""

import importlib

import numba
import numpy as np
import pytest

from minifcn.kernels import cuda
from minifcn.kernels.cuda import _planes

pytestmark = pytest.mark.emulator

REFERENCE = importlib.import_module("minifcn.kernels.reference.resize")
expected_resize = numba.njit(REFERENCE.resize_bilinear)
expected_grad = numba.njit(REFERENCE.resize_bilinear_grad)

SIZES = [((4, 5), (8, 15)), ((7, 9), (3, 4)), ((5, 4), (3, 11)), ((4, 5), (4, 5)), ((1, 5), (3, 7)), ((6, 1), (4, 3)),
         ((5, 7), (1, 2)), ((3, 4), (1, 1)), ((1, 1), (3, 2)), ((6, 6), (13, 17)), ((37, 41), (66, 70)),
         ((66, 70), (37, 41)), ((3, 2), (96, 64))]


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance * max(1, np.max(np.abs(expected)))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize(("size", "output_size"), SIZES)
def test_both_ways_are_the_reference(monkeypatch, rng, size, output_size, dtype, tolerance, align_corners):
    x, gy = (rng.standard_normal((2, 3, *pixels)).astype(dtype) for pixels in (size, output_size))
    for fill in (_planes.FILL, 100):  # a thread for each plane, and threads that go from plane to plane
        monkeypatch.setattr(_planes, "FILL", fill)
        y = cuda.resize_bilinear(x, *output_size, align_corners)
        gx = cuda.resize_bilinear_grad(gy, *size, align_corners)
        # In double: in float32 the loops add up 2000 numbers one after the other, and round more than is tested for.
        assert_close(y, expected_resize(x.astype(float), *output_size, align_corners), tolerance)
        assert_close(gx, expected_grad(gy.astype(float), *size, align_corners), tolerance)
        assert y.dtype == gx.dtype == dtype


@pytest.mark.parametrize("align_corners", [False, True])
def test_nan_and_infinity_reach_the_same_pixels(align_corners):
    x = np.zeros((1, 1, 6, 7))
    x[0, 0, 2, 3], x[0, 0, 5, 0] = np.nan, np.inf
    for oh, ow in ((12, 15), (11, 13), (3, 4)):
        np.testing.assert_array_equal(
            cuda.resize_bilinear(x, oh, ow, align_corners), expected_resize(x, oh, ow, align_corners))
        np.testing.assert_array_equal(
            cuda.resize_bilinear_grad(x, oh, ow, align_corners), expected_grad(x, oh, ow, align_corners))


def test_any_memory_layout(rng):
    x = rng.standard_normal((2, 3, 5, 6))
    same = np.flip(np.asfortranarray(np.flip(x)))
    for resize in (cuda.resize_bilinear, cuda.resize_bilinear_grad):
        np.testing.assert_array_equal(resize(same, 7, 4, False), resize(x, 7, 4, False))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_image_or_no_channel(shape):
    assert cuda.resize_bilinear(np.ones((*shape, 3, 4)), 6, 5, False).shape == (*shape, 6, 5)
    assert cuda.resize_bilinear_grad(np.ones((*shape, 3, 4)), 6, 5, True).shape == (*shape, 6, 5)
