"""How far a result is from what it should be: the same computed in double precision.

The error is the largest difference over the largest number of the exact result, result by result (the gradients of
input, weight and bias are three), and the worst of them counts. Relative to the *largest* number, because a sum of
thousands of products that happens to be near zero has no better absolute error than its neighbours.
"""

from typing import Any

import numpy as np

from .clock import Leg

WINOGRAD = 1e-5  # what an algorithm with fewer multiplications may lose
NOISE = 5e-7  # about four roundings of float32: below it, who is nearer is luck
LUCK = 1.5  # the largest of many rounding errors varies by as much between two right orders of summation


def error(leg: Leg, exact: list[np.ndarray]) -> float:
    """The worst relative error of the leg's first result."""
    found = arrays(leg.run(leg.before(0)))
    return float(np.max([_relative(a, b) for a, b in zip(found, exact, strict=True)]))  # a NaN stays one


def exact_result(leg: Leg) -> list[np.ndarray]:
    return [array.copy() for array in arrays(leg.run(leg.before(0)))]


def arrays(result: Any) -> list[np.ndarray]:
    """All arrays in a result of either library, in order."""
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in arrays(part)]
    if result is None:
        return []
    return [np.asarray(result.detach().numpy() if hasattr(result, "detach") else result)]


def allowed(winograd: bool, peer: float) -> float:
    """Winograd may lose some digits, everything else is to be no worse than PyTorch."""
    return WINOGRAD if winograd else max(LUCK * peer, NOISE)


def _relative(found: np.ndarray, exact: np.ndarray) -> float:
    assert found.shape == exact.shape, f"{found.shape} is not {exact.shape}"
    largest = float(np.abs(exact).max(initial=0.0))
    return float(np.abs(found - exact.astype(np.float64)).max(initial=0.0)) / (largest or 1.0)
