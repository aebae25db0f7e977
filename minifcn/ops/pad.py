"""Padding: rows and columns added around every map, all the same number or the mirrored image.

Reflection mirrors about the outermost pixel without repeating it: a b c d, padded by 2 in front, becomes c b a b c d.
"""

import numbers
from types import ModuleType
from typing import Any

from ..kernels import array_module
from .check import Array, check_array, check_gradient, wanted
from .geometry import Padding

MODES = ("constant", "reflect")


def pad(x: Array, *, padding: Any, mode: str = "constant", value: float = 0) -> tuple[Array, tuple]:
    """Add rows and columns.

    Args:
        x: (N, C, H, W), float32 or float64.
        padding: (top, bottom, left, right) in pixels. With "reflect" smaller than the side that is mirrored.
        mode: "constant" or "reflect".
        value: the number that "constant" fills in.

    Returns:
        y (N, C, top + H + bottom, left + W + right) and the cache.

    Raises ValueError for a padding or mode that cannot be had, TypeError for dtypes or a value that is no number.
    """
    op = "pad"
    check_array(op, "x", x, "N C H W")
    check_mode(op, mode)
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: expected value as a number, got {type(value).__name__}. Pass one number for all.")
    sides = four_sides(op, padding)
    xp, (h, w) = array_module(x), x.shape[2:]
    if mode == "reflect":
        _check_reflection(op, sides, h, w)
        rows, columns = _mirrored(xp, h, sides.top, sides.bottom), _mirrored(xp, w, sides.left, sides.right)
        y = x[:, :, rows[:, None], columns]
    else:
        y = xp.full((*x.shape[:2], sides.top + h + sides.bottom, sides.left + w + sides.right), value, x.dtype)
        y[:, :, sides.top : sides.top + h, sides.left : sides.left + w] = x
    return y, (x.shape, x.dtype, sides, mode)


def pad_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> Array | None:
    """gx (N, C, H, W): the inner part of gy; with "reflect" the mirrored parts are folded back and added."""
    op = "pad_backward"
    shape, dtype, sides, mode = cache
    h, w = shape[2:]
    check_gradient(op, gy, (*shape[:2], sides.top + h + sides.bottom, sides.left + w + sides.right), dtype)
    (need_x,) = wanted(op, needs, 1)
    if not need_x:
        return None
    if mode == "constant":
        return gy[:, :, sides.top : sides.top + h, sides.left : sides.left + w].copy()
    columns_first = _fold(gy.swapaxes(2, 3), w, sides.left)  # (N, C, W, top + H + bottom)
    return _fold(columns_first.swapaxes(2, 3), h, sides.top)  # (N, C, H, W)


def four_sides(op: str, padding: Any) -> Padding:
    """`padding` as (top, bottom, left, right) in pixels. Raises ValueError for anything else."""
    if (not isinstance(padding, (tuple, list)) or len(padding) != 4
            or not all(isinstance(side, numbers.Integral) and int(side) >= 0 for side in padding)):
        raise ValueError(f"{op}: expected padding as (top, bottom, left, right), four ints of at least 0, "
                         f"got {padding!r}. To cut something off use crop.")
    return Padding(*map(int, padding))


def check_mode(op: str, mode: Any) -> None:
    """Raises ValueError for a mode that is none of MODES."""
    if mode not in MODES:
        raise ValueError(f"{op}: expected mode {' or '.join(map(repr, MODES))}, got {mode!r}. Choose one of these.")


def _check_reflection(op: str, sides: Padding, h: int, w: int) -> None:
    if max(sides.top, sides.bottom) >= h or max(sides.left, sides.right) >= w:
        raise ValueError(f"{op}: expected reflect padding smaller than the image of {h}x{w}, got {tuple(sides)}. "
                         f"There is not enough to mirror: pad less, or use mode='constant'.")


def _mirrored(xp: ModuleType, size: int, before: int, after: int) -> Array:
    """Which input row each output row shows: before, ..., 2, 1, 0, 1, ..., size-1, size-2, ..."""
    place = xp.abs(xp.arange(-before, size + after))  # mirrored at the front
    return xp.where(place < size, place, 2 * (size - 1) - place)  # and at the end


def _fold(gy: Array, size: int, before: int) -> Array:
    """The adjoint of the mirroring along axis 2: each margin is turned around and added to the rows it showed."""
    gx = gy[:, :, before : before + size].copy()
    after = gy.shape[2] - before - size
    gx[:, :, 1 : before + 1] += gy[:, :, :before][:, :, ::-1]
    gx[:, :, size - 1 - after : size - 1] += gy[:, :, before + size :][:, :, ::-1]
    return gx
