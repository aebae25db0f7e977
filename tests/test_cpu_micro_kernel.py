"""The micro-kernel against NumPy's matrix product: every number of rows, both types, every way to lie in memory."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from minifcn.kernels.cpu import _processor
from minifcn.kernels.cpu._compile import compiled
from minifcn.kernels.cpu._micro_kernel import MOST_ROWS, VECTORS, at, multiply_tile

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
