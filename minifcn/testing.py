"""Is this backward pass right? Checks against central differences, and against the adjoint identity.

    report = check_gradients(Conv2d(2, 3, 3, dtype=np.float64), tie_free((2, 2, 5, 6)))
    print(report.message())
    report.raise_if_failed()

Use them on the library's layers, on your own (any object with `forward` and `backward`), and on pairs of functions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .gradients.comparison import compare
from .gradients.report import AdjointReport, GradientReport, TensorCheck
from .gradients.subjects import FunctionSubject, LayerSubject, Subject, on_host

__all__ = ["AdjointReport", "GradientReport", "TensorCheck", "check_adjoint", "check_gradients", "check_op_gradients",
           "tie_free"]

Array = np.ndarray


def tie_free(
    shape: Sequence[int], rng: int | np.random.Generator = 0, dtype: Any = np.float64, spacing: float | None = None,
) -> Array:
    """Distinct numbers in random order, `spacing` apart and half of that away from 0.

    So no probe by less than spacing/2 makes another number a window's maximum or turns a ReLU on or off. By default
    the numbers spread over (-1, 1). Raises ValueError if they would lie closer than 1e-5.
    """
    size = math.prod(shape)
    spacing = 2 / max(size, 1) if spacing is None else spacing
    if spacing < 1e-5:
        raise ValueError(f"tie_free: expected a spacing of at least 1e-5, ten times the usual probe, got {spacing:.1e} "
                         f"for {size} numbers. Pass a larger spacing or a smaller shape.")
    values = (np.arange(size) - size // 2 + 0.5) * spacing  # half-integers times spacing: never 0
    return np.random.default_rng(rng).permutation(values).reshape(shape).astype(dtype)


def check_gradients(
    layer: Any, *xs: Any, eps: float = 1e-6, tolerance: float = 1e-6, rng: int | np.random.Generator = 0,
    samples: int | None = None, names: Sequence[str] | None = None, patterns: Callable[[], Any] | None = None,
) -> GradientReport:
    """Compare a backward pass with central differences, for every float input and every parameter that trains.

    Args:
        layer: an object with forward(*xs) and backward(*gys), which may have parameters() and buffers(); or a function
            of xs that returns y and a function backward(*gys). Each y that holds floats gets a random gy, others None.
        xs: inputs in float64; those that are no floats (labels, indices, records) are passed on and not differentiated.
        eps: how far a probe moves. Keep inputs of ReLU and max-pooling further than that from ties: see `tie_free`.
        tolerance: the largest relative error that passes.
        rng: int or Generator for gy, the choice of elements, and the masks of random layers.
        samples: probe only so many elements of each tensor, and three random directions through all of them.
        names: what to call the inputs in the report; by default x, or x0, x1, ...
        patterns: called after each forward, tells on which side of every kink the layer was (arrays, nested in any
            way). A probe that changes them is drawn again.

    The layer's parameters, gradients and running statistics are left as they were. Random layers are seeded alike
    before each forward, so that their masks stand still. Two backward passes must add up in the parameters' `grad`.

    Raises TypeError for inputs or parameters in another float dtype, ValueError if backward returns another number of
    gradients than there are inputs.
    """
    rng = np.random.default_rng(rng)
    names = names or (["x"] if len(xs) == 1 else [f"x{i}" for i in range(len(xs))])
    subject: Subject
    if hasattr(layer, "forward"):
        subject = LayerSubject(layer, xs, names, patterns, seed=int(rng.integers(2**32)))
    else:
        subject = FunctionSubject(layer, xs, names, patterns)
    for name, array in subject.tensors.items():
        if array.dtype != np.float64:
            raise TypeError(f"check_gradients: expected {name} in float64, got {array.dtype}, whose rounding drowns a "
                            f"probe of {eps:g}. Convert inputs with astype(numpy.float64); "
                            f"give layers dtype=numpy.float64.")
    if not subject.tensors:
        raise TypeError("check_gradients: expected an input or a parameter of floats, got none. "
                        "Pass the inputs as arrays in float64.")
    try:
        return compare(subject, eps, tolerance, rng, samples)
    finally:
        subject.restore()


def check_op_gradients(
    forward: Callable[..., tuple[Any, Any]], backward: Callable[..., Any], arrays: Sequence[Any], **settings: Any,
) -> GradientReport:
    """`check_gradients` for a pair of functions: forward(*arrays) -> (y, cache), backward(gy, cache) -> gradients.

    Options of the op are bound beforehand: check_op_gradients(partial(conv2d, stride=2), conv2d_backward, (x, weight,
    None)). `settings` are those of `check_gradients`.
    """

    def apply(*xs: Any) -> tuple[Any, Callable[..., Any]]:
        y, cache = forward(*xs)
        return y, lambda *gys: backward(*[gy for gy in gys if gy is not None], cache)

    apply.__name__ = getattr(forward, "__name__", getattr(getattr(forward, "func", None), "__name__", "op"))
    return check_gradients(apply, *arrays, **settings)


def check_adjoint(
    forward: Callable[[Array], Array], adjoint: Callable[[Array], Array], x_shape: Sequence[int],
    y_shape: Sequence[int], rng: int | np.random.Generator = 0, tolerance: float = 1e-12,
) -> AdjointReport:
    """Whether `adjoint` is the transpose of the linear map `forward`: <A x, y> = <x, A' y> for random x and y.

    For a linear op the backward pass must be exactly that, and this needs no probe and no small step.
    Raises ValueError if either map returns another shape than it should.
    """
    rng = np.random.default_rng(rng)
    x, y = rng.standard_normal(x_shape), rng.standard_normal(y_shape)
    ax, ay = on_host(forward(x)), on_host(adjoint(y))
    for name, found, expected in (("forward(x)", ax, y), ("adjoint(y)", ay, x)):
        if found.shape != expected.shape:
            raise ValueError(f"check_adjoint: expected {name} of shape {expected.shape}, got {found.shape}. "
                             f"Pass x_shape and y_shape as the input and output of forward.")
    left, right = float((ax * y).sum()), float((x * ay).sum())
    scale = float(np.linalg.norm(ax) * np.linalg.norm(y))
    return AdjointReport(left, right, abs(left - right) / scale if scale else math.inf, tolerance)
