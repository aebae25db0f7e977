"""The optimisers' steps in CUDA C++, on the emulator, against `reference`."""

import numpy as np
import pytest

from minifcn.kernels import cuda, reference

pytestmark = pytest.mark.emulator

SHAPES = [(), (1,), (3, 5), (0, 4), (2, 3, 7, 11), (64,)]
LRS, DECAYS = [0.1, 0.2, 0.3, 0.4, 0.5, 0], [0.01, 0, 0, 0, 0.02, 1]  # ints among them, as a caller may write


def sgd(folder, parameters, gradients, velocities, _):
    folder.sgd_update(parameters, gradients, velocities, LRS[: len(parameters)], 0.9, DECAYS[: len(parameters)])


def adam(folder, parameters, gradients, firsts, seconds):
    count = len(parameters)
    folder.adam_update(parameters, gradients, firsts, seconds, LRS[:count], 0.9, 0.99, 1e-6, DECAYS[:count], 3)


def drawn(rng, dtype, shapes):
    """Parameters, gradients, first and second memory."""
    lists = [[np.asarray(rng.normal(size=shape), dtype) for shape in shapes] for _ in range(3)]
    return *lists, [np.asarray(rng.uniform(0.1, 1, shape), dtype) for shape in shapes]


def views(array):
    """The same numbers, laid out in memory in several ways."""
    return [np.asfortranarray(array), array[..., ::-1].copy()[..., ::-1], np.repeat(array, 2, axis=-1)[..., ::2]]


def compare(found, expected, tolerance):
    for arrays, others in zip(found, expected, strict=True):
        for one, other in zip(arrays, others, strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, strict=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("update", [sgd, adam])
def test_updates_are_those_of_the_reference(rng, update, dtype, tolerance):
    found = drawn(rng, dtype, SHAPES)
    expected = [[array.copy() for array in arrays] for arrays in found]
    update(cuda, *found)
    update(reference, *expected)
    compare(found, expected, tolerance)


@pytest.mark.parametrize("layout", range(3))
@pytest.mark.parametrize("update", [sgd, adam])
def test_updates_happen_in_place_whatever_the_layout(rng, update, layout):
    expected = drawn(rng, np.float32, [(3, 4, 5), (2, 7)])
    found = [[views(array)[layout] for array in arrays] for arrays in expected]
    update(cuda, *found)
    update(reference, *expected)
    compare(found, expected, 1e-5)
