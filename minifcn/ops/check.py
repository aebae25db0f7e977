"""Argument checks, in one voice: `<op>: expected <what, and why>, got <actual>. <what to do>`.

Ops check, kernels trust: every public op passes its arguments through here once, so that no kernel ever has to.
An array is NumPy's or CuPy's; its type is its device.
"""

from typing import Any, TypeAlias

import numpy as np

from ..kernels import array_module

Array: TypeAlias = np.ndarray  # or cupy.ndarray: the two share the interface that is used here

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def check_array(op: str, name: str, x: Any, axes: str | None = None) -> None:
    """`x` is an array of a floating dtype with the named axes (`"N C H W"`), or with any axes if None.

    Raises TypeError for another type or dtype, ValueError for another number of axes.
    """
    _check_type(op, name, x)
    names = axes.split() if axes else []
    if axes and x.ndim != len(names):
        raise ValueError(f"{op}: expected {name} with {len(names)} axes ({', '.join(names)}), got shape {x.shape}."
                         f"{_axis_advice(x.ndim, names)}")
    check_float(op, name, x)


def check_float(op: str, name: str, x: Any) -> None:
    """`x` is float32 or float64. Raises TypeError otherwise."""
    if getattr(x, "dtype", object) not in FLOATS:
        raise TypeError(f"{op}: expected {name} of dtype float32 or float64, got {getattr(x, 'dtype', type(x))}. "
                        f"Convert it with {name}.astype(numpy.float32).")


def check_alike(op: str, x: Array, **others: Array | None) -> None:
    """The other arrays have the device and dtype of `x`: nothing is moved or upcast silently. None is allowed."""
    module = array_module(x)
    for name, other in others.items():
        if other is None:
            continue
        _check_type(op, name, other)
        if array_module(other) is not module:
            raise TypeError(f"{op}: expected {name} on the device of x ({module.__name__}), "
                            f"got a {array_module(other).__name__} array. Move one with minifcn.arrays.to_device.")
        if other.dtype != x.dtype:
            raise TypeError(f"{op}: expected {name} of the dtype of x ({x.dtype}), got {other.dtype}. "
                            f"Convert one of the two with astype.")


def check_inputs(op: str, xs: tuple[Any, ...]) -> None:
    """`xs` holds at least one array, all of one floating dtype and on one device."""
    if not xs:
        raise ValueError(f"{op}: expected at least one array, got none. Pass the arrays one after the other.")
    for index, x in enumerate(xs):
        check_array(op, f"xs[{index}]", x)
    check_alike(op, xs[0], **{f"xs[{index}]": x for index, x in enumerate(xs)})


def check_axis(op: str, x: Array, axis: Any) -> None:
    """`axis` is an axis of `x`, counted from the front or, if negative, from the back."""
    if not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{op}: expected axis as an int from {-x.ndim} to {x.ndim - 1} (shape {x.shape}), "
                         f"got {axis!r}. Axis 1 holds the channels.")


def check_gradient(op: str, gy: Any, like_shape: tuple[int, ...], dtype: Any) -> None:
    """`gy` has the shape and dtype of the forward output that it is the gradient of."""
    if getattr(gy, "shape", None) != tuple(like_shape):
        raise ValueError(f"{op}: expected gy of the forward output's shape {tuple(like_shape)}, "
                         f"got {getattr(gy, 'shape', type(gy).__name__)}. Pass the gradient of that output.")
    if gy.dtype != dtype:
        raise TypeError(f"{op}: expected gy of the forward output's dtype {dtype}, got {gy.dtype}. "
                        f"Convert it with gy.astype({dtype}).")


def wanted(op: str, needs: tuple[bool, ...] | None, count: int) -> tuple[bool, ...]:
    """`needs` made explicit: one bool for each differentiable array, all True when it is None."""
    if needs is None:
        return (True,) * count
    if len(needs) != count:
        raise ValueError(f"{op}: expected needs with {count} values, one for each differentiable array, "
                         f"got {len(needs)}. Pass a tuple of {count} bools.")
    return tuple(needs)


def _check_type(op: str, name: str, x: Any) -> None:
    if not hasattr(x, "__array_interface__") and not hasattr(x, "__cuda_array_interface__"):
        raise TypeError(f"{op}: expected {name} to be a NumPy or CuPy array, got {type(x).__name__}. "
                        f"Convert it, for example with numpy.asarray.")


def _axis_advice(got: int, names: list[str]) -> str:
    if got == len(names) - 1 and names[0] == "N":
        return " Add the batch axis: x[None]."
    return ""
