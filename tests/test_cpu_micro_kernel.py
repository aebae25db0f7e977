"""The micro-kernel against NumPy's matrix product: every number of rows, both types, every way to lie in memory."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from minifcn.kernels.cpu import _processor
from minifcn.kernels.cpu._compile import compiled
from minifcn.kernels.cpu._micro_kernel import (
    MOST_ROWS,
    SLOT,
    VECTORS,
    at,
    multiply_columns,
    multiply_columns_narrow,
    multiply_tile,
    multiply_tile_and_fetch,
)

ALL, HALF = MOST_ROWS, MOST_ROWS // 2


@compiled
def product(rows, add, k, a, a_row, a_k, b, b_k, c, c_row):
    if rows == ALL and add:
        multiply_tile(ALL, True, k, at(a, 0), a_row, a_k, at(b, 0), b_k, at(c, 0), c_row)
    elif rows == ALL:
        multiply_tile(ALL, False, k, at(a, 0), a_row, a_k, at(b, 0), b_k, at(c, 0), c_row)
    elif rows == HALF:
        multiply_tile(HALF, False, k, at(a, 0), a_row, a_k, at(b, 0), b_k, at(c, 0), c_row)
    else:
        multiply_tile(1, True, k, at(a, 0), a_row, a_k, at(b, 0), b_k, at(c, 0), c_row)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 37])
@pytest.mark.parametrize(("rows", "add"), [(ALL, True), (ALL, False), (HALF, False), (1, True)])
@pytest.mark.parametrize("packed", [True, False])
def test_product(dtype, k, rows, add, packed):
    rng = np.random.default_rng(0)
    width = VECTORS * _processor.VECTOR_BITS // (8 * np.dtype(dtype).itemsize)
    a = rng.standard_normal((k, rows) if packed else (rows, k)).astype(dtype)
    b = rng.standard_normal((k, width + 3)).astype(dtype)  # rows need not follow each other at once
    c = rng.standard_normal((rows, width + 5)).astype(dtype)
    matrix = a.T if packed else a
    expected = c.copy()
    expected[:, :width] = matrix @ b[:, :width] + (c[:, :width] if add else 0)
    a_row, a_k = (1, rows) if packed else (k, 1)
    product(rows, add, k, a.reshape(-1), a_row, a_k, b.reshape(-1), b.shape[1], c.reshape(-1), c.shape[1])
    np.testing.assert_allclose(c, expected, rtol=0, atol=2e-5 if dtype == np.float32 else 1e-13)
    assert np.array_equal(c[:, width:], expected[:, width:])  # nothing beside the block is touched


@compiled
def packed_product(rows, add, k, a, b, c, narrow):
    if narrow:
        multiply_columns_narrow(rows, add, k, at(a, 0), at(b, 0), at(c, 0))
    else:
        multiply_columns(rows, add, k, at(a, 0), at(b, 0), at(c, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize("narrow", [True, False])
def test_product_of_packed_blocks(dtype, rows, add, narrow):
    rng = np.random.default_rng(rows)
    lanes = _processor.VECTOR_BITS // (8 * np.dtype(dtype).itemsize)
    a = rng.standard_normal((37, SLOT)).astype(dtype)
    b = rng.standard_normal((37, VECTORS * lanes)).astype(dtype)
    c = rng.standard_normal((MOST_ROWS + 1, VECTORS * lanes)).astype(dtype)
    written = slice(0, rows), slice(0, lanes if narrow else VECTORS * lanes)
    expected = c.copy()
    expected[written] = (a[:, :rows].T @ b)[:, written[1]] + (c[written] if add else 0)
    packed_product(rows, add, 37, a.reshape(-1), b.reshape(-1), c.reshape(-1), narrow)
    np.testing.assert_allclose(c, expected, rtol=0, atol=2e-5 if dtype == np.float32 else 1e-13)


@compiled
def product_and_fetch(k, a, b, c, ahead):
    multiply_tile_and_fetch(ALL, k, at(a, 0), k, 1, at(b, 0), b.shape[0] // k, at(c, 0), c.shape[0] // ALL,
                            at(b, ahead))


@pytest.mark.parametrize("ahead", [0, 1 << 40])
def test_what_is_fetched_ahead_changes_nothing_and_may_be_nobodys(ahead):
    rng = np.random.default_rng(0)
    width = VECTORS * _processor.LANES
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((ALL, 5), (5, width)))
    c = np.empty((ALL, width), np.float32)
    product_and_fetch(5, a.reshape(-1), b.reshape(-1), c.reshape(-1), ahead)
    np.testing.assert_allclose(c, a @ b, rtol=0, atol=2e-6)


def test_nan_and_infinity_pass_through():
    a, b = np.ones((2, 1), np.float32), np.zeros((2, 64), np.float32)
    b[0, 3], b[1, 5] = np.nan, np.inf
    c = np.zeros((1, 64), np.float32)
    product(1, True, 2, a.reshape(-1), 1, 1, b.reshape(-1), 64, c.reshape(-1), 64)
    assert np.isnan(c[0, 3])
    assert c[0, 5] == np.inf
    assert not c[0, 6:].any()


# Which vectors.


@pytest.mark.parametrize(("features", "bits"), [
    ({"avx512f": True, "avx2": True, "fma": True}, 512), ({"avx2": True, "fma": True}, 256),
    ({"avx2": True}, 128), ({"neon": True}, 128), ({}, 128),
])
def test_widest_vector(features, bits):
    assert _processor.widest_vector(features) == bits


def test_a_narrower_vector_may_be_asked_for():
    assert _processor.chosen_vector(512, None) == 512
    assert _processor.chosen_vector(512, "") == 512
    assert _processor.chosen_vector(512, "128") == 128


@pytest.mark.parametrize("wish", ["64", "512", "wide", "-128"])
def test_a_vector_that_is_not_there(wish):
    with pytest.raises(ValueError, match=f"^MINIFCN_VECTOR: expected one of 128, 256 bits, .* got '{wish}'"):
        _processor.chosen_vector(256, wish)


NARROW = """
import json, sys
import numpy as np
from minifcn import ops
from minifcn.kernels.cpu import _processor
rng = np.random.default_rng(0)
results = []
for dtype in (np.float32, np.float64):
    x, weight = rng.standard_normal((2, 5, 9, 11)).astype(dtype), rng.standard_normal((7, 5, 3, 3)).astype(dtype)
    y, cache = ops.conv2d(x, weight, padding=1)
    gx, gweight, _ = ops.conv2d_backward(y, cache)
    results += [float(np.abs(a, dtype=np.float64).sum()) for a in (y, gx, gweight)]
print(json.dumps([_processor.LANES, results]))
"""


@pytest.mark.parametrize("bits", [w for w in _processor.WIDTHS if w <= _processor.VECTOR_BITS])
def test_other_processors_paths_give_the_same_numbers(bits):
    """MINIFCN_VECTOR forces the narrower vectors of other processors, with their number of registers."""
    environment = {**os.environ, "MINIFCN_VECTOR": str(bits)}
    run = subprocess.run([sys.executable, "-c", NARROW], env=environment, capture_output=True, text=True, check=True)
    lanes, results = json.loads(run.stdout)
    assert lanes == bits // 32
    here = subprocess.run(
        [sys.executable, "-c", NARROW], env={**os.environ, "MINIFCN_KERNELS": "array"},
        capture_output=True, text=True, check=True,
    )
    np.testing.assert_allclose(results, json.loads(here.stdout)[1], rtol=1e-6)


@pytest.mark.parametrize(("text", "expected"), [
    ("1024K\n", 1 << 20), ("2048K\n", 2 << 20), ("512K", 512 << 10), ("256K", 512 << 10),  # not below
    ("12288K", 2 << 20),  # shared by several cores
    ("4M", 1 << 20), ("", 1 << 20),  # not understood
])
def test_second_level_cache(tmp_path, text, expected):
    (tmp_path / "size").write_text(text)
    assert _processor.second_level_cache(tmp_path / "size") == expected


def test_second_level_cache_of_a_system_that_does_not_say(tmp_path):
    assert _processor.second_level_cache(tmp_path / "size") == 1 << 20
