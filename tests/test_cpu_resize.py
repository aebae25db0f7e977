"""Compiled bilinear resizing against the reference's loops, on more than one thread."""

import importlib

import numba
import numpy as np
import pytest

REFERENCE = importlib.import_module("minifcn.kernels.reference.resize")
CPU = importlib.import_module("minifcn.kernels.cpu.resize")
BILINEAR = importlib.import_module("minifcn.kernels.cpu._bilinear")
THREADS = importlib.import_module("minifcn.kernels.cpu._threads")
expected_resize = numba.njit(REFERENCE.resize_bilinear)  # the very same loops, compiled
expected_grad = numba.njit(REFERENCE.resize_bilinear_grad)

SIZES = [((4, 5), (8, 15)), ((7, 9), (3, 4)), ((5, 4), (3, 11)), ((4, 5), (4, 5)), ((1, 5), (3, 7)), ((6, 1), (4, 3)),
         ((5, 7), (1, 2)), ((3, 4), (1, 1)), ((1, 1), (3, 2)), ((6, 6), (13, 17)), ((37, 41), (66, 150)),
         ((66, 150), (37, 41)), ((64, 3), (5, 200))]


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert np.max(np.abs(actual - expected)) <= tolerance * max(1, np.max(np.abs(expected)))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize(("size", "output_size"), SIZES)
def test_both_ways_are_the_reference(monkeypatch, rng, size, output_size, dtype, tolerance, align_corners):
    monkeypatch.setattr(BILINEAR, "GRAIN", 1)  # small as they are, share them out: three threads meet inside a plane
    x, gy = rng.standard_normal((1, 2, *size)).astype(dtype), rng.standard_normal((1, 2, *output_size)).astype(dtype)
    with THREADS.use_threads(3):
        y, gx = CPU.resize_bilinear(x, *output_size, align_corners), CPU.resize_bilinear_grad(gy, *size, align_corners)
        again = CPU.resize_bilinear_grad(gy, *size, align_corners)
    assert_close(y, expected_resize(x, *output_size, align_corners), tolerance)
    assert_close(gx, expected_grad(gy, *size, align_corners), tolerance)
    np.testing.assert_array_equal(gx, again)


def test_any_memory_layout(rng):
    x = rng.standard_normal((2, 3, 5, 6))
    y, gx = CPU.resize_bilinear(x, 7, 4, False), CPU.resize_bilinear_grad(x, 7, 4, False)
    for same in (np.asfortranarray(x), np.flip(np.flip(x).copy()), np.repeat(x, 2, axis=-1)[..., ::2]):
        np.testing.assert_array_equal(CPU.resize_bilinear(same, 7, 4, False), y)
        np.testing.assert_array_equal(CPU.resize_bilinear_grad(same, 7, 4, False), gx)
    x.flags.writeable = False
    np.testing.assert_array_equal(CPU.resize_bilinear(x, 7, 4, False), y)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_image_or_no_channel(shape):
    assert CPU.resize_bilinear(np.ones((*shape, 3, 4)), 6, 5, False).shape == (*shape, 6, 5)
    assert CPU.resize_bilinear_grad(np.ones((*shape, 3, 4)), 6, 5, True).shape == (*shape, 6, 5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_nan_and_infinity_reach_the_same_pixels(align_corners):
    x = np.zeros((1, 1, 6, 7))
    x[0, 0, 2, 3], x[0, 0, 5, 0] = np.nan, np.inf
    for oh, ow in ((12, 15), (3, 4)):
        np.testing.assert_array_equal(
            CPU.resize_bilinear(x, oh, ow, align_corners), expected_resize(x, oh, ow, align_corners))
        np.testing.assert_array_equal(
            CPU.resize_bilinear_grad(x, oh, ow, align_corners), expected_grad(x, oh, ow, align_corners))
