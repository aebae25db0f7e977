"""The chances of dropout: the published numbers in `reference`, and the same in every folder."""

import numpy as np
import pytest

from minifcn.kernels import array, cpu, cuda, reference
from minifcn.kernels.reference.dropout import _philox

KEY = 0x6123456789ABCDEF
# Of the file kat_vectors of Random123, the authors' own code: counter, key, words of philox4x32 after 10 rounds.
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]
FOLDERS = pytest.mark.parametrize("folder", [array, cpu, pytest.param(cuda, marks=pytest.mark.emulator)],
                                  ids=["array", "cpu", "cuda"])


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_philox_makes_the_published_words(counter, key, words):
    assert _philox(*counter, *key) == words


@FOLDERS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (127,), (129,), (3, 5, 7, 11), (0, 3), ()])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_every_folder_drops_the_same_numbers(folder, dtype, shape, p, rng):
    x = np.asarray(rng.standard_normal(shape), dtype)
    for key in (0, KEY):
        found, expected = folder.dropout(x, key, p, 1), reference.dropout(x, key, p, 1)
        np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == np.float32 else 1e-15, strict=True)


@FOLDERS
def test_neighbours_share_a_chance(folder, rng):
    x = rng.standard_normal((5, 67, 2, 3))  # (N, C, H, W): more rows than 32 counters decide, and some left over
    found = folder.dropout(x, KEY, 0.5, 6)
    np.testing.assert_allclose(found, reference.dropout(x, KEY, 0.5, 6), rtol=1e-15)
    single = reference.dropout(np.ones((5, 67)), KEY, 0.5, 1)  # the same chances, one a number
    np.testing.assert_allclose(found, x * single[:, :, None, None], rtol=1e-15)


@FOLDERS
@pytest.mark.parametrize(("shape", "together"), [((2, 3, 0, 4), 0), ((0, 3, 2, 2), 4)])
def test_no_numbers(folder, shape, together):
    assert folder.dropout(np.ones(shape), KEY, 0.5, together).shape == shape


@FOLDERS
def test_numbers_are_counted_in_the_order_of_the_axes(folder, rng):
    x = rng.standard_normal((9, 20)).T
    np.testing.assert_allclose(folder.dropout(x, KEY, 0.5, 1), reference.dropout(x, KEY, 0.5, 1), rtol=1e-15)


def test_any_number_of_threads_drops_the_same(rng):
    from minifcn.kernels.cpu._threads import use_threads
    x = rng.standard_normal(1_000_003, np.float32)  # shares of several threads
    with use_threads(1):
        expected = cpu.dropout(x, KEY, 0.2, 1)
    with use_threads(3):
        np.testing.assert_array_equal(cpu.dropout(x, KEY, 0.2, 1), expected)
    np.testing.assert_allclose(array.dropout(x, KEY, 0.2, 1), expected, rtol=1e-6)


def test_chances_are_even_and_neighbours_do_not_know_of_each_other():
    dropped = cpu.dropout(np.ones(1 << 20), KEY, 0.5, 1).reshape(-1, 128) == 0  # (8192, 128)
    spread = 0.5 / len(dropped) ** 0.5  # of a mean
    assert np.abs(dropped.mean(0) - 0.5).max() < 5 * spread
    for apart in (1, 32, 64):
        assert abs((dropped[:, apart:] == dropped[:, :-apart]).mean() - 0.5) < 5 * 0.5 / dropped[:, apart:].size ** 0.5
