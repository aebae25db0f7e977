"""Label maps in MATLAB's .mat files (version 5 to 7), through SciPy."""

from pathlib import Path
from typing import Any

import numpy as np

from .dataset import VOID, Array


def read_mat(path: str | Path, *names: str) -> Array:
    """The (H, W) int64 numbers that a .mat file holds under a name, or under the field of a struct.

    `read_mat("2008_000002.mat", "GTcls", "Segmentation")` is GTcls.Segmentation.
    Raises ValueError, naming the file, if it is no .mat file, lacks the name, or holds something else there.
    """
    from scipy.io import loadmat

    if not Path(path).is_file():
        raise ValueError(f"read_mat: expected a .mat file at {path}, got no such file. Check the path.")
    try:
        value: Any = loadmat(path, variable_names=names[:1])
    except Exception as error:  # on a file that is none, or cut short, SciPy raises nearly anything
        raise ValueError(f"read_mat: expected a readable .mat file (MATLAB 5 to 7) in {path}, got a damaged or unknown "
                         f"one ({error}). Copy the file anew.") from None
    for depth, name in enumerate(names):
        found = list(value) if isinstance(value, dict) else list(value.dtype.names or ())
        if name not in found:
            raise ValueError(f"read_mat: expected {'.'.join(names[:depth + 1])} in {path}, got {_told(path, value)}. "
                             f"Is it a file of this data set?")
        value = value[name]
        if depth:
            value = value.flat[0] if value.size else value  # a struct is an array of 1x1 in MATLAB
    return _whole_numbers(value, path, ".".join(names))


def void_is_zero(numbers: Array) -> Array:
    """Numbers 0 = void, 1..K -> (H, W) uint8 classes 0..K-1 and 255: what uint8 arithmetic makes of `numbers - 1`."""
    return np.where(numbers == 0, VOID, numbers - 1).astype(np.uint8)


def check_range(numbers: Array, low: int, high: int, path: str | Path) -> None:
    """Raises ValueError unless low <= numbers <= high."""
    outside = (numbers < low) | (numbers > high)  # (H, W)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise ValueError(f"read_mat: expected labels {low}..{high}, got {numbers[row, column]} at row {row}, column "
                         f"{column} of {path}. Is it a file of this data set?")


def _told(path: str | Path, value: Any) -> str:
    """What is there instead of a missing name."""
    from scipy.io import whosmat

    if isinstance(value, dict):
        return ", ".join(name for name, *_ in whosmat(path)) or "an empty file"
    return f"the fields {', '.join(value.dtype.names)}" if value.dtype.names else "no struct"


def _whole_numbers(value: Any, path: str | Path, name: str) -> Array:
    """(H, W) of any numeric dtype -> int64; MATLAB's own numbers are doubles."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb" or value.ndim != 2 or not value.size:
        told = f"shape {value.shape}, {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"read_mat: expected numbers (H, W) under {name} in {path}, got {told}. "
                         f"Is it a file of this data set?")
    with np.errstate(invalid="ignore"):  # a NaN becomes some number, and the comparison finds it
        numbers = value.astype(np.int64)
    if not np.array_equal(numbers, value):
        raise ValueError(f"read_mat: expected whole numbers under {name} in {path}, got fractions or NaN. "
                         f"Is it a file of this data set?")
    return numbers
