"""The compiled poolings against `reference`, in the geometries where loops over whole rows could go wrong."""

import numpy as np
import pytest

from minifcn.kernels import cpu, reference
from minifcn.kernels.cpu import _lanes, _threads, unpool
from minifcn.kernels.cpu import adaptive_avg_pool as adaptive
from minifcn.kernels.cpu import avg_pool as average
from minifcn.kernels.cpu import max_pool as pooling

# (H, W), (OH, OW), and kh, kw, sh, sw, ph, pw, dh, dw as the kernels take them.
GEOMETRIES = {
    "2x2/2": ((8, 10), (4, 5), (2, 2, 2, 2, 0, 0, 1, 1)),
    "2x2/2, wide, with a row and a column left over": ((7, 141), (3, 70), (2, 2, 2, 2, 0, 0, 1, 1)),
    "2x2/2, ceil": ((9, 41), (5, 21), (2, 2, 2, 2, 0, 0, 1, 1)),
    "2x2/2, fewer windows than fit": ((12, 140), (4, 66), (2, 2, 2, 2, 0, 0, 1, 1)),
    "3x3/3": ((12, 80), (4, 26), (3, 3, 3, 3, 0, 0, 1, 1)),
    "3x3/2, padded": ((9, 71), (5, 36), (3, 3, 2, 2, 1, 1, 1, 1)),
    "3x3/2, ceil": ((8, 40), (4, 20), (3, 3, 2, 2, 0, 0, 1, 1)),
    "5x5/5": ((10, 50), (2, 10), (5, 5, 5, 5, 0, 0, 1, 1)),
    "dense": ((6, 37), (6, 37), (3, 3, 1, 1, 1, 1, 1, 1)),
    "dense, 5x5": ((7, 6), (7, 6), (5, 5, 1, 1, 2, 2, 1, 1)),
    "stride beyond the kernel": ((9, 10), (3, 4), (2, 2, 3, 3, 0, 1, 1, 1)),
    "all different": ((8, 41), (3, 14), (3, 2, 2, 3, 0, 1, 1, 2)),
    "dilated": ((10, 39), (6, 20), (3, 3, 2, 2, 2, 2, 2, 2)),
    "smaller than the kernel": ((2, 1), (1, 1), (5, 3, 2, 2, 2, 1, 1, 1)),
    "one pixel": ((1, 1), (1, 1), (1, 1, 1, 1, 0, 0, 1, 1)),
}
PLAIN = [name for name, (*_, geometry) in GEOMETRIES.items() if geometry[6:] == (1, 1)]  # averages know no dilation
ADAPTIVE = {  # (H, W), (OH, OW)
    "divides": ((6, 48), (3, 12)), "does not": ((7, 40), (3, 7)), "global": ((45, 46), (1, 1)),
    "same": ((4, 5), (4, 5)), "larger": ((3, 4), (5, 7)), "mixed": ((2, 19), (3, 6)), "one row": ((9, 8), (1, 5)),
}
SHAPE = (2, 3)  # images, channels
DTYPES = [np.float32, np.float64]


@pytest.fixture(params=[1, 2, 5], autouse=True)
def threads(request, monkeypatch):
    """Small shares, so that planes are cut at every row, by more threads than there are planes too."""
    for module in (pooling, unpool, average, adaptive):
        monkeypatch.setattr(module, "GRAIN", 1)
    with _threads.use_threads(request.param):
        yield request.param


def ties(rng, size, dtype):
    return rng.integers(-4, 5, (*SHAPE, *size)).astype(dtype)


def with_nan(rng, size, dtype):
    x = ties(rng, size, dtype)
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


def with_infinities(rng, size, dtype):
    return rng.choice([-np.inf, np.inf, 0], (*SHAPE, *size), p=[0.8, 0.1, 0.1]).astype(dtype)


def all_minus_infinity(rng, size, dtype):
    return np.full((*SHAPE, *size), -np.inf, dtype)


def close(one, other):
    """Sums in another order: equal up to rounding."""
    assert one.dtype == other.dtype
    tolerance = 1e-12 if one.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# Max-pooling.

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("numbers", [ties, with_nan, with_infinities, all_minus_infinity])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_max_pool_is_reference_to_the_bit(name, numbers, dtype, rng):
    size, outputs, geometry = GEOMETRIES[name]
    x = numbers(rng, size, dtype)
    y, indices = cpu.max_pool2d(x, *outputs, *geometry)
    expected_y, expected_indices = reference.max_pool2d(x, *outputs, *geometry)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(indices, expected_indices)
    assert (y.dtype, indices.dtype) == (dtype, np.int32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_max_pool_grad(name, dtype, rng):
    size, outputs, geometry = GEOMETRIES[name]
    _, indices = reference.max_pool2d(ties(rng, size, dtype), *outputs, *geometry)
    gy = rng.normal(size=indices.shape).astype(dtype)
    gy[0, 0, 0, 0] = np.nan  # stays with its winner
    close(cpu.max_pool2d_grad(gy, indices, *size, *geometry), reference.max_pool2d_grad(gy, indices, *size, *geometry))


# Unpooling.

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(5, 7), (1, 40), (40, 1)])
def test_scatter_adds_and_gather_reads_at_any_places(size, dtype, rng):
    indices = rng.integers(0, size[0] * size[1], (*SHAPE, 6, 5)).astype(np.int32)  # 30 of 35 or 40: many repeat
    gy = rng.normal(size=indices.shape).astype(dtype)
    x = rng.normal(size=(*SHAPE, *size)).astype(dtype)
    np.testing.assert_array_equal(cpu.scatter(gy, indices, *size), reference.scatter(gy, indices, *size))
    np.testing.assert_array_equal(cpu.gather(x, indices), reference.gather(x, indices))


def test_all_values_in_one_place():
    gy, indices = np.ones((1, 2, 30, 40), np.float32), np.full((1, 2, 30, 40), 11, np.int32)
    gx = cpu.scatter(gy, indices, 3, 4)
    assert gx[0, :, 2, 3].tolist() == [1200, 1200]
    assert gx.sum() == 2400


# Average pooling.

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
def test_average_and_gradient(name, dtype, rng):
    size, outputs, geometry = GEOMETRIES[name]
    x, gy = (rng.normal(size=(*SHAPE, *pixels)).astype(dtype) for pixels in (size, outputs))
    divisor = rng.uniform(1, 9, outputs).astype(dtype)
    close(cpu.avg_pool2d(x, divisor, *outputs, *geometry[:6]),
          reference.avg_pool2d(x, divisor, *outputs, *geometry[:6]))
    close(cpu.avg_pool2d_grad(gy, divisor, *size, *geometry[:6]),
          reference.avg_pool2d_grad(gy, divisor, *size, *geometry[:6]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_average_and_gradient(name, dtype, rng):
    size, outputs = ADAPTIVE[name]
    x, gy = (rng.normal(size=(*SHAPE, *pixels)).astype(dtype) for pixels in (size, outputs))
    close(cpu.adaptive_avg_pool2d(x, *outputs), reference.adaptive_avg_pool2d(x, *outputs))
    close(cpu.adaptive_avg_pool2d_grad(gy, *size), reference.adaptive_avg_pool2d_grad(gy, *size))


def test_the_mean_of_many_float32_numbers_is_not_blurred(rng):
    """A running sum of 200,000 numbers near 1 would be off by about 1e-4 of itself."""
    x = rng.uniform(0.5, 1.5, (1, 1, 400, 500)).astype(np.float32)
    for y in (cpu.adaptive_avg_pool2d(x, 1, 1), cpu.avg_pool2d(x, np.full((1, 1), x.size, np.float32), 1, 1,
                                                               400, 500, 1, 1, 0, 0)):
        np.testing.assert_allclose(y.ravel(), x.mean(dtype=np.float64), rtol=1e-6)


# All passes.

def passes(x, gy, indices, divisor, size, outputs, geometry):
    """What every pass makes of these arrays, in a fixed order."""
    return [
        *cpu.max_pool2d(x, *outputs, *geometry), cpu.max_pool2d_grad(gy, indices, *size, *geometry),
        cpu.scatter(gy, indices, *size), cpu.gather(x, indices),
        cpu.avg_pool2d(x, divisor, *outputs, *geometry[:6]), cpu.avg_pool2d_grad(gy, divisor, *size, *geometry[:6]),
        cpu.adaptive_avg_pool2d(x, *outputs), cpu.adaptive_avg_pool2d_grad(gy, *size),
        cpu.adaptive_avg_pool2d(x, 1, 1), cpu.adaptive_avg_pool2d_grad(gy[:, :, :1, :1], *size),
    ]


def arguments(rng, name, images=2):
    size, outputs, geometry = GEOMETRIES[name]
    x, gy = (rng.normal(size=(images, 3, *pixels)).astype(np.float32) for pixels in (size, outputs))
    _, indices = reference.max_pool2d(x, *outputs, *geometry)
    return x, gy, indices, np.full(outputs, 4, np.float32), size, outputs, geometry


def layouts(array):
    yield "Fortran", np.asfortranarray(array)
    yield "negative strides", array[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    raw = np.zeros(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    yield "unaligned", shifted
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


@pytest.mark.parametrize("name", ["2x2/2, wide, with a row and a column left over", "3x3/2, padded"])
def test_memory_layout_does_not_matter(name, rng):
    plain = arguments(rng, name)
    expected = passes(*plain)
    for views in zip(*(layouts(array) for array in plain[:4]), strict=True):
        for one, other in zip(passes(*(view for _, view in views), *plain[4:]), expected, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=views[0][0])


@pytest.mark.parametrize("name", PLAIN)
def test_the_same_bits_every_time_on_any_number_of_threads(name, rng):
    """No sum of a pooling is shared by two threads, so their number does not matter either."""
    case = arguments(rng, name)
    first, second = passes(*case), passes(*case)
    with _threads.use_threads(3):
        third = passes(*case)
    for one, *others in zip(first, second, third, strict=True):
        for other in others:
            assert one.tobytes() == other.tobytes()


def test_empty_batch(rng):
    for result in passes(*arguments(rng, "2x2/2", images=0)):
        assert result.size == 0


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 2, 6, 35])
def test_a_row_is_taken_apart_and_put_together(size, stride, rng):
    row, lanes, again = rng.normal(size=size), np.zeros((stride, size // stride + 1)), np.empty(size)
    _lanes.take_apart(row, lanes)
    for lane in range(stride):
        assert lanes[lane, : len(row[lane::stride])].tolist() == row[lane::stride].tolist()
    _lanes.put_together(lanes, again)
    assert again.tolist() == row.tolist()
