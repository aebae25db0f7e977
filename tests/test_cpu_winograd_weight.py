"""The weight gradient by Winograd's method, against the plain loops in float64."""

import numba
import numpy as np
import pytest

from minifcn.kernels.cpu import _winograd_weight as winograd
from minifcn.kernels.cpu._threads import use_threads
from minifcn.kernels.reference.conv import conv2d_grad_weight

reference = numba.njit(conv2d_grad_weight)

# N, C, O, H, W, ph, pw, dh, dw
SHAPES = {
    "whole tiles, whole blocks": (1, 32, 32, 8, 8, 1, 1, 1, 1),
    "odd sizes, several images": (2, 33, 40, 13, 22, 1, 0, 1, 1),
    "one channel, one filter": (1, 1, 1, 9, 7, 1, 1, 1, 1),
    "a map of one pixel": (3, 17, 5, 3, 3, 0, 0, 1, 1),
    "a map smaller than a tile": (2, 16, 31, 2, 3, 1, 1, 1, 1),
    "padding beyond the filter": (1, 5, 7, 4, 9, 6, 5, 1, 1),
    "filter reads padding only": (1, 2, 3, 1, 1, 7, 9, 1, 2),
    "rows longer than a run": (1, 3, 50, 5, 66, 0, 2, 1, 1),
    "dilated along one axis": (3, 20, 5, 11, 27, 2, 1, 1, 2),
    "dilated more than the map is high": (1, 16, 9, 7, 19, 9, 3, 9, 3),
    "planes a power of two apart": (1, 48, 16, 32, 32, 1, 1, 1, 1),
    "several sums": (2, 8, 8, 50, 43, 1, 1, 1, 1),
    "dilated, several sums": (1, 35, 66, 40, 33, 4, 3, 4, 3),
}


def arrays(n, c, o, h, w, ph, pw, dh, dw):
    rng = np.random.default_rng(5)
    gy = rng.standard_normal((n, o, h + 2 * ph - 2 * dh, w + 2 * pw - 2 * dw), np.float32)
    return gy, rng.standard_normal((n, c, h, w), np.float32)


def expected(gy, x, ph, pw, dh, dw):
    return reference(gy.astype(np.float64), x.astype(np.float64), 3, 3, 1, 1, ph, pw, dh, dw, 1)


def assert_close(actual, wanted):
    assert actual.dtype == np.float32
    assert actual.shape == wanted.shape
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max())


@pytest.fixture(params=["_by_tiles", "_by_blocks"])
def way(request, monkeypatch):
    """Either way for every shape, whichever grad_weight would choose."""
    chosen = getattr(winograd, request.param)
    monkeypatch.setattr(winograd, "_by_tiles", chosen)
    monkeypatch.setattr(winograd, "_by_blocks", chosen)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_agrees_with_the_plain_loops(shape, way, threads):
    gy, x = arrays(*shape)
    with use_threads(threads):
        gweight = winograd.grad_weight(gy, x, *shape[5:])
    assert_close(gweight, expected(gy, x, *shape[5:]))


@pytest.mark.parametrize("padding", range(5))
@pytest.mark.parametrize("size", range(3, 12))
def test_every_size_and_padding(size, padding):
    gy, x = arrays(1, 3, 2, size, 14 - size, padding, padding + 1, 1, 1)
    assert_close(winograd.grad_weight(gy, x, padding, padding + 1, 1, 1), expected(gy, x, padding, padding + 1, 1, 1))


@pytest.mark.parametrize("name", ["TILES_BYTES", "BLOCKS_BYTES"])
def test_small_workspace_in_many_pieces(name, way, monkeypatch):
    monkeypatch.setattr(winograd, name, 1)
    gy, x = arrays(2, 40, 33, 23, 30, 1, 2, 1, 1)
    assert_close(winograd.grad_weight(gy, x, 1, 2, 1, 1), expected(gy, x, 1, 2, 1, 1))


@pytest.mark.parametrize("threads", [1, 2])
def test_repeats_to_the_last_bit(way, threads):
    gy, x = arrays(2, 40, 33, 23, 30, 1, 1, 1, 1)
    with use_threads(threads):
        first, second = (winograd.grad_weight(gy, x, 1, 1, 1, 1) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_way_is_chosen_by_channels(monkeypatch):
    taken = []
    monkeypatch.setattr(winograd, "_by_tiles", lambda *_: taken.append("tiles"))
    monkeypatch.setattr(winograd, "_by_blocks", lambda *_: taken.append("blocks"))
    for c, o in [(64, 64), (512, 512)]:
        winograd.grad_weight(*arrays(1, c, o, 8, 8, 1, 1, 1, 1), 1, 1, 1, 1)
    assert taken == ["tiles", "blocks"]


def test_arrays_of_any_layout_are_left_alone():
    gy, x = arrays(2, 18, 17, 10, 12, 1, 1, 1, 1)
    wanted = winograd.grad_weight(gy, x, 1, 1, 1, 1)
    turned, fortran = np.ascontiguousarray(gy[:, :, ::-1])[:, :, ::-1], np.asfortranarray(x)
    turned.flags.writeable = fortran.flags.writeable = False
    np.testing.assert_array_equal(winograd.grad_weight(turned, fortran, 1, 1, 1, 1), wanted)


@pytest.mark.parametrize(("n", "c", "o"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_nothing_to_sum_gives_zeros(n, c, o):
    gweight = winograd.grad_weight(np.ones((n, o, 5, 6), np.float32), np.ones((n, c, 5, 6), np.float32), 1, 1, 1, 1)
    np.testing.assert_array_equal(gweight, np.zeros((o, c, 3, 3), np.float32))


def test_nan_reaches_its_own_channels_only():
    gy, x = arrays(1, 40, 33, 12, 12, 1, 1, 1, 1)
    gy[0, 7, 5, 5] = np.nan
    gweight = winograd.grad_weight(gy, x, 1, 1, 1, 1)
    assert np.isnan(gweight[7]).all()
    assert np.isfinite(np.delete(gweight, 7, axis=0)).all()


@pytest.mark.parametrize(("shape", "suits"), [
    ((1, 64, 64, 224, 224, 1, 1), True),
    ((1, 512, 512, 14, 14, 1, 1), True),
    ((1, 512, 512, 64, 64, 4, 4), True),
    ((1, 3, 64, 224, 224, 1, 1), False),  # transforming 64 channels costs more than multiplying by 3
    ((1, 512, 512, 64, 64, 24, 24), False),  # planes of three by three pixels
    ((1, 512, 512, 1, 1, 1, 1), False),
])
def test_suits_where_it_saves_work(shape, suits):
    assert winograd.suits_weight_gradient(*shape) is suits
