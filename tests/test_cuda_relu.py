"""ReLU in CUDA C++, on the emulator, against `reference`."""

import numpy as np
import pytest

from minifcn.kernels import cuda, reference

pytestmark = pytest.mark.emulator


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (64,), (65,), (1000,), (), (0, 3)])
def test_relu_is_reference_to_the_bit(shape, dtype, rng):
    x = np.asarray(rng.standard_normal(shape), dtype)
    np.testing.assert_array_equal(cuda.relu(x), reference.relu(x), strict=True)
    gy = np.asarray(rng.standard_normal(shape), dtype)
    y = reference.relu(x)
    np.testing.assert_array_equal(cuda.relu_grad(gy, y), reference.relu_grad(gy, y), strict=True)


def test_nan_passes_and_views_are_read_in_their_own_order(rng):
    x = rng.standard_normal((4, 6))
    x[1, 2] = np.nan
    np.testing.assert_array_equal(cuda.relu(x.T), reference.relu(x.T))
    np.testing.assert_array_equal(cuda.relu_grad(x[::-1], x), reference.relu_grad(x[::-1], x))
