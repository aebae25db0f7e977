"""Numbers from .mat files, and a clear word about files that are none."""

import numpy as np
import pytest
import scipy.io

from minifcn.data.matlab import read_mat, void_is_zero


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float64])
@pytest.mark.parametrize("compressed", [True, False])
def test_numbers_of_any_kind(tmp_path, rng, dtype, compressed):
    numbers = rng.integers(0, 100, (4, 6)).astype(dtype)
    scipy.io.savemat(tmp_path / "a.mat", {"S": numbers, "names": "x"}, do_compression=compressed)
    found = read_mat(tmp_path / "a.mat", "S")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, numbers)


def test_a_field_of_a_struct(tmp_path, rng):
    numbers = rng.integers(0, 21, (4, 6)).astype(np.uint8)
    scipy.io.savemat(tmp_path / "a.mat", {"GTcls": {"Segmentation": numbers, "Categories": np.array([1, 2])}})
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat", "GTcls", "Segmentation"), numbers)
    with pytest.raises(ValueError, match=r"expected GTcls.Borders in .*a.mat, got the fields Segmentation, Categories"):
        read_mat(tmp_path / "a.mat", "GTcls", "Borders")
    with pytest.raises(ValueError, match=r"expected numbers \(H, W\) under GTcls in .*a.mat, got shape \(1, 1\)"):
        read_mat(tmp_path / "a.mat", "GTcls")


def test_void_wraps_around_as_bytes_do():
    numbers = np.arange(256).reshape(16, 16)
    np.testing.assert_array_equal(void_is_zero(numbers), numbers.astype(np.uint8) - np.uint8(1))


@pytest.mark.parametrize(("values", "message"), [
    (np.zeros((2, 3, 4)), r"numbers \(H, W\) under S in .*a.mat, got shape \(2, 3, 4\), float64"),
    (np.full((2, 3), 0.5), r"whole numbers under S in .*a.mat, got fractions or NaN"),
    (np.full((2, 3), np.nan), r"whole numbers under S in .*a.mat, got fractions or NaN"),
    (np.zeros((0, 0)), r"numbers \(H, W\) under S in .*a.mat, got shape \(0, 0\)"),
    ("road", r"numbers \(H, W\) under S in .*a.mat, got shape \(1,\), <U4"),
])
def test_other_contents(tmp_path, values, message):
    scipy.io.savemat(tmp_path / "a.mat", {"S": values})
    with pytest.raises(ValueError, match=message):
        read_mat(tmp_path / "a.mat", "S")


def test_a_missing_name_and_a_missing_file(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"names": "x", "LabelMap": np.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"read_mat: expected S in .*a.mat, got names, LabelMap. Is it a file"):
        read_mat(tmp_path / "a.mat", "S")
    with pytest.raises(ValueError, match=r"a .mat file at .*b.mat, got no such file"):
        read_mat(tmp_path / "b.mat", "S")


def test_cut_short_anywhere(tmp_path, rng):
    scipy.io.savemat(tmp_path / "a.mat", {"S": rng.integers(0, 100, (40, 60))}, do_compression=True)
    whole = (tmp_path / "a.mat").read_bytes()
    for length in (0, 1, 50, 127, 128, 130, 140, 200, len(whole) // 2, len(whole) - 1):
        (tmp_path / "b.mat").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"read_mat: expected .* in .*b.mat"):
            read_mat(tmp_path / "b.mat", "S")
    (tmp_path / "b.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(ValueError, match=r"read_mat: expected a readable .mat file \(MATLAB 5 to 7\) in .*b.mat"):
        read_mat(tmp_path / "b.mat", "S")
