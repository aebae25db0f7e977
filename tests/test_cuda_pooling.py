"""The poolings in CUDA C++, on the emulator, against `reference`."""

import numpy as np
import pytest

from minifcn.kernels import cuda, reference
from minifcn.kernels.cuda import _planes, unpool

pytestmark = pytest.mark.emulator

# (H, W), (OH, OW), and kh, kw, sh, sw, ph, pw, dh, dw as the kernels take them.
GEOMETRIES = {
    "2x2/2, a row and a column left over": ((9, 11), (4, 5), (2, 2, 2, 2, 0, 0, 1, 1)),
    "2x2/2, ceil": ((9, 11), (5, 6), (2, 2, 2, 2, 0, 0, 1, 1)),
    "3x3/2, padded": ((9, 12), (5, 6), (3, 3, 2, 2, 1, 1, 1, 1)),
    "3x3/2, ceil": ((8, 10), (4, 5), (3, 3, 2, 2, 0, 0, 1, 1)),
    "dense, 5x5": ((7, 6), (7, 6), (5, 5, 1, 1, 2, 2, 1, 1)),
    "stride beyond the kernel": ((9, 10), (3, 4), (2, 2, 3, 3, 0, 1, 1, 1)),
    "all different": ((8, 41), (3, 14), (3, 2, 2, 3, 0, 1, 1, 2)),
    "dilated": ((10, 13), (6, 7), (3, 3, 2, 2, 2, 2, 2, 2)),
    "dilated by no multiple of the stride": ((11, 12), (3, 5), (2, 3, 2, 2, 1, 1, 3, 3)),
    "dilated over the next window": ((9, 10), (3, 5), (2, 2, 2, 2, 0, 0, 2, 1)),
    "dilated and dense": ((9, 8), (6, 4), (2, 2, 1, 1, 0, 0, 3, 4)),
    "smaller than the kernel": ((2, 1), (1, 1), (5, 3, 2, 2, 2, 1, 1, 1)),
    "one large window": ((7, 9), (1, 1), (7, 9, 7, 9, 0, 0, 1, 1)),
    "large windows, cut off at the end": ((13, 15), (2, 2), (7, 9, 7, 9, 0, 0, 1, 1)),
    "windows as wide as the plane": ((16, 6), (2, 1), (8, 6, 8, 6, 0, 0, 1, 1)),
    "one pixel": ((1, 1), (1, 1), (1, 1, 1, 1, 0, 0, 1, 1)),
}
PLAIN = [name for name, (*_, geometry) in GEOMETRIES.items() if geometry[6:] == (1, 1)]  # averages know no dilation
ADAPTIVE = {  # (H, W), (OH, OW)
    "divides": ((6, 12), (3, 4)), "does not": ((7, 13), (3, 7)), "global": ((45, 46), (1, 1)), "same": ((4, 5), (4, 5)),
    "larger": ((3, 4), (5, 7)), "mixed": ((2, 19), (3, 6)), "large windows": ((20, 31), (3, 2)),
}
SHAPE = (2, 3)  # images, channels
DTYPES = [np.float32, np.float64]


@pytest.fixture(params=["a thread for each plane", "threads go from plane to plane"])
def planes(request, monkeypatch):
    """Small as these batches are, a card would hold all of their planes; and as if it held fewer."""
    if request.param != "a thread for each plane":
        monkeypatch.setattr(_planes, "FILL", 100)


@pytest.fixture(params=["ranges of whole planes", "planes of several ranges"])
def ranges(request, monkeypatch):
    if request.param == "planes of several ranges":
        monkeypatch.setattr(unpool, "RANGE", 24 * 8)  # 24 or 48 pixels
    else:
        monkeypatch.setattr(unpool, "BLOCKS", 2)  # as if that were many, so that a block has several planes


def ties(rng, size, dtype):
    return rng.integers(-4, 5, (*SHAPE, *size)).astype(dtype)


def with_nan(rng, size, dtype):
    x = ties(rng, size, dtype)
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


def with_infinities(rng, size, dtype):
    return rng.choice([-np.inf, np.inf, 0], (*SHAPE, *size), p=[0.8, 0.1, 0.1]).astype(dtype)


def normal(rng, size, dtype):
    return rng.normal(size=(*SHAPE, *size)).astype(dtype)


def equal(one, other):
    np.testing.assert_array_equal(one, other, strict=True)


def close(one, other):
    """Sums in another precision or order: equal up to rounding."""
    assert one.dtype == other.dtype
    tolerance = 1e-12 if one.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# Max-pooling.

@pytest.mark.usefixtures("planes")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_max_pool_and_gradient_are_reference_to_the_bit(name, dtype, rng):
    size, outputs, geometry = GEOMETRIES[name]
    for numbers in (with_infinities, with_nan, ties):
        x = numbers(rng, size, dtype)
        y, indices = reference.max_pool2d(x, *outputs, *geometry)
        for one, other in zip(cuda.max_pool2d(x, *outputs, *geometry), (y, indices), strict=True):
            equal(one, other)
    gy = normal(rng, outputs, dtype)
    gy[0, 0, 0, 0] = np.nan  # stays with its winner
    equal(cuda.max_pool2d_grad(gy, indices, *size, *geometry), reference.max_pool2d_grad(gy, indices, *size, *geometry))


def test_all_is_minus_infinity():
    x = np.full((1, 1, 5, 6), -np.inf)
    geometry = (3, 3, 2, 2, 1, 1, 1, 1)
    for one, other in zip(cuda.max_pool2d(x, 3, 3, *geometry), reference.max_pool2d(x, 3, 3, *geometry), strict=True):
        equal(one, other)


# Unpooling.

@pytest.mark.usefixtures("ranges")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(5, 7), (1, 40), (40, 3)])
def test_scatter_adds_in_the_order_of_the_outputs_and_gather_reads(size, dtype, rng):
    indices = rng.integers(0, size[0] * size[1], (*SHAPE, 30, 31)).astype(np.int32)  # 930 in at most 120 places
    gy, x = normal(rng, (30, 31), dtype), normal(rng, size, dtype)
    equal(cuda.scatter(gy, indices, *size), reference.scatter(gy, indices, *size))
    equal(cuda.gather(x, indices), reference.gather(x, indices))


@pytest.mark.usefixtures("ranges")
@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_stores_what_does_not_repeat(dtype, rng):
    size, outputs = (13, 15), (6, 17)
    places = [rng.permutation(13 * 15)[: 6 * 17] for _ in range(6)]
    indices = np.array(places, np.int32).reshape(*SHAPE, *outputs)
    gy = normal(rng, outputs, dtype)
    gy[1, 1, 2, 3], gy[1, 2, 3, 4] = np.nan, np.inf
    gx = cuda.scatter(gy, indices, *size)
    equal(gx, reference.scatter(gy, indices, *size))
    equal(cuda.gather(gx, indices), gy)


@pytest.mark.usefixtures("ranges")
def test_one_repeat_is_added_and_its_neighbours_stay(rng):
    gy, indices = normal(rng, (4, 10), np.float32), np.empty((*SHAPE, 4, 10), np.int32)
    indices[:] = np.arange(40).reshape(4, 10)
    indices[1, 1, 3, 9] = 0
    equal(cuda.scatter(gy, indices, 8, 9), reference.scatter(gy, indices, 8, 9))


@pytest.mark.usefixtures("ranges")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_segment_that_reaches_a_range_by_one_place(dtype, rng):
    """Ranges of 24 or 48 pixels meet between 287 and 288. Each of the two segments has one place across."""
    indices = np.empty((*SHAPE, 2, 256), np.int32)
    indices[:] = np.r_[:255, 288, 289:544, 287].reshape(2, 256)
    gy = normal(rng, (2, 256), dtype)
    equal(cuda.scatter(gy, indices, 20, 30), reference.scatter(gy, indices, 20, 30))


@pytest.mark.parametrize("dtype", DTYPES)
def test_planes_that_are_larger_than_a_block_can_hold(dtype, rng):
    """2x2/2 over 80x64 pixels, 5 segments of outputs and 2 or 3 ranges; then the same outputs in any order."""
    x = rng.normal(size=(1, 2, 80, 64)).astype(dtype)
    geometry = (2, 2, 2, 2, 0, 0, 1, 1)
    y, indices = reference.max_pool2d(x, 40, 32, *geometry)
    equal(cuda.scatter(y, indices, 80, 64), reference.max_pool2d_grad(y, indices, 80, 64, *geometry))
    shuffled = rng.permutation(40 * 32)
    y, indices = (a.reshape(1, 2, -1)[..., shuffled].reshape(a.shape) for a in (y, indices))
    equal(cuda.scatter(y, indices, 80, 64), reference.scatter(y, indices, 80, 64))


def test_all_values_in_one_place():
    gy, indices = np.ones((1, 2, 30, 40), np.float32), np.full((1, 2, 30, 40), 11, np.int32)
    gx = cuda.scatter(gy, indices, 3, 4)
    assert gx[0, :, 2, 3].tolist() == [1200, 1200]
    assert gx.sum() == 2400


@pytest.mark.usefixtures("planes")
def test_gather_goes_from_plane_to_plane(rng):
    indices = rng.integers(0, 35, (*SHAPE, 6, 5)).astype(np.int32)
    x = normal(rng, (5, 7), np.float32)
    equal(cuda.gather(x, indices), reference.gather(x, indices))


# Average pooling.

@pytest.mark.usefixtures("planes")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
def test_average_and_gradient(name, dtype, rng):
    size, outputs, geometry = GEOMETRIES[name]
    x, gy = normal(rng, size, dtype), normal(rng, outputs, dtype)
    divisor = rng.uniform(1, 9, outputs).astype(dtype)
    close(cuda.avg_pool2d(x, divisor, *outputs, *geometry[:6]),
          reference.avg_pool2d(x, divisor, *outputs, *geometry[:6]))
    equal(cuda.avg_pool2d_grad(gy, divisor, *size, *geometry[:6]),
          reference.avg_pool2d_grad(gy, divisor, *size, *geometry[:6]))


@pytest.mark.usefixtures("planes")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_average_and_gradient(name, dtype, rng):
    size, outputs = ADAPTIVE[name]
    x, gy = normal(rng, size, dtype), normal(rng, outputs, dtype)
    close(cuda.adaptive_avg_pool2d(x, *outputs), reference.adaptive_avg_pool2d(x, *outputs))
    equal(cuda.adaptive_avg_pool2d_grad(gy, *size), reference.adaptive_avg_pool2d_grad(gy, *size))


def test_the_mean_of_many_float32_numbers_is_not_blurred(rng):
    """By a block, and by a thread alone."""
    x = rng.uniform(0.5, 1.5, (1, 1, 400, 500)).astype(np.float32)
    large = np.full((1, 1), x.size, np.float32)
    for y in (cuda.adaptive_avg_pool2d(x, 1, 1), cuda.avg_pool2d(x, large, 1, 1, 400, 500, 400, 500, 0, 0),
              cuda.avg_pool2d(x, large, 1, 1, 400, 500, 1, 1, 0, 0)):
        np.testing.assert_allclose(y.ravel(), x.mean(dtype=np.float64), rtol=1e-7)


# All passes.

def passes(x, gy, indices, divisor, size, outputs, geometry):
    """What every pass makes of these arrays, in a fixed order."""
    return [
        *cuda.max_pool2d(x, *outputs, *geometry), cuda.max_pool2d_grad(gy, indices, *size, *geometry),
        cuda.scatter(gy, indices, *size), cuda.gather(x, indices),
        cuda.avg_pool2d(x, divisor, *outputs, *geometry[:6]), cuda.avg_pool2d_grad(gy, divisor, *size, *geometry[:6]),
        cuda.adaptive_avg_pool2d(x, *outputs), cuda.adaptive_avg_pool2d_grad(gy, *size),
        cuda.adaptive_avg_pool2d(x, 1, 1),
    ]


def arguments(rng, images=2):
    size, outputs, geometry = GEOMETRIES["3x3/2, padded"]
    x, gy = (rng.normal(size=(images, 3, *pixels)) for pixels in (size, outputs))
    _, indices = reference.max_pool2d(x, *outputs, *geometry)
    return x, gy, indices, np.full(outputs, 4.0), size, outputs, geometry


def test_memory_layout_does_not_matter(rng):
    plain = arguments(rng)
    views = [np.flip(np.asfortranarray(np.flip(array))) for array in plain[:4]]
    for one, other in zip(passes(*views, *plain[4:]), passes(*plain), strict=True):
        equal(one, other)


def test_empty_batch(rng):
    for result in passes(*arguments(rng, images=0)):
        assert result.size == 0
