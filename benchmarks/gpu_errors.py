"""How far a result is from what it should be: ||found - exact|| / ||exact||, result by result; the worst counts.

Exact is PyTorch's in double precision. The norms are worked out on the device, as the results lie there.
"""

from typing import Any

import numpy as np
import torch

from . import accuracy, peers
from .cases import EXACT, Case
from .clock import Leg
from .gpu_card import Card

GRADIENTS = 1e-4  # what a network's gradient may be off by: rounding moves a maximum to its neighbour here and there
TIMES = 3.0  # and how many times PyTorch's own error
FLOOR = 1e-3  # of the largest gradient of a network: some are zero by construction, as a bias's before batch norm


def measure_errors(card: Card, case: Case, winograd: bool) -> dict[str, Any]:
    """Ours, PyTorch's in float32, and what is allowed."""
    makers = case.compared or {"ours": case.ours, **case.peers}
    floor = FLOOR if case.compared else 0.0
    exact = [part.clone() for part in tensors(_result(makers[EXACT]()))]
    card.spoil([(tuple(part.shape), np.float32) for part in exact])
    ours = relative(tensors(_result(makers["ours"]())), exact, floor)
    peer = relative(tensors(_result(peers.with_tf32(makers["default"](), False))), exact, floor)
    limit = max(TIMES * peer, GRADIENTS) if case.compared else accuracy.allowed(winograd, peer)
    return {"error": ours, "peer_error": peer, "allowed_error": limit}


def tensors(result: Any) -> list[torch.Tensor]:
    """All arrays in a result of either library, in order."""
    if isinstance(result, (tuple, list)):
        return [part for one in result for part in tensors(one)]
    if result is None:
        return []
    return [result.detach() if isinstance(result, torch.Tensor) else peers.tensor(result)]


def relative(found: list[torch.Tensor], exact: list[torch.Tensor], floor: float = 0.0) -> float:
    """The worst of the results' relative errors. With `floor` all but the first, a loss, are held to the largest too.

    NaN where one is NaN. Raises ValueError where numbers or shapes of the results differ.
    """
    if [part.shape for part in found] != [part.shape for part in exact]:
        raise ValueError(f"benchmark: expected results of the shapes {[tuple(part.shape) for part in exact]}, got "
                         f"{[tuple(part.shape) for part in found]}. Look at the row's two sides.")
    sizes = [float(torch.linalg.vector_norm(part.double())) for part in exact]
    least = floor * max(sizes[1:], default=0.0)
    errors = []
    for a, b, size in zip(found, exact, sizes, strict=True):
        difference = float(torch.linalg.vector_norm(a.double() - b.double()))
        errors.append(difference / (max(size, least) or 1.0))
    return float(np.max(errors))


def _result(leg: Leg) -> Any:
    return leg.run(leg.before(0))
