"""PyTorch's side of a row, the way its own experts would write it.

* Forward passes run in inference mode, where nothing is recorded for a gradient.
* A backward pass is measured alone: the forward pass that it belongs to is recorded before, outside the measurement.
* Layouts: "default" is NCHW, "channels_last" keeps the channels of a pixel side by side, which suits many of its
  convolutions better. Inputs and weights are converted beforehand, because in a network they would stay converted.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from .clock import Leg

LAYOUTS = ("default", "channels_last")


@contextlib.contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Let PyTorch run on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def use_tf32(on: bool) -> None:
    """Whether PyTorch's convolutions and matrix products on a GPU may round float32 to the 10 bits of TF32."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = on


def with_tf32(leg: Leg, on: bool) -> Leg:
    """The same leg with that setting. All calls of a turn are prepared, then all are run: so it holds for all."""
    def before(call: int) -> Any:
        use_tf32(on)
        return leg.before(call)

    return Leg(leg.run, before)


def tensor(array: np.ndarray, layout: str = "default", dtype: torch.dtype | None = None) -> torch.Tensor:
    """A tensor, in the same memory where that is possible. Integers become int64, as PyTorch wants them."""
    x = torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.as_tensor(array, device="cuda")
    if not x.is_floating_point():
        return x.long()
    x = x if dtype is None else x.to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if layout == "channels_last" and x.ndim == 4 else x


def forward_leg(
    function: Callable, inputs: Sequence[tuple], parameters: tuple, layout: str, dtype: torch.dtype | None = None,
) -> Leg:
    """function(*inputs[i], *parameters) on the inputs in turn."""
    xs, own = _converted(inputs, layout, dtype), tuple(tensor(p, layout, dtype) for p in parameters)

    def run(x: tuple) -> Any:
        with torch.inference_mode():
            return function(*x, *own)

    return Leg(run, lambda call: xs[call % len(xs)])


def backward_leg(
    function: Callable, inputs: Sequence[tuple], parameters: tuple, gys: Sequence, needs: tuple[bool, ...],
    layout: str, dtype: torch.dtype | None = None,
) -> Leg:
    """The gradients of a recorded function; `needs` has one bool for the first input and one for each parameter."""
    xs, own = _converted(inputs, layout, dtype), [tensor(p, layout, dtype) for p in parameters]
    gradients = [tensor(gy, layout, dtype) for gy in gys]
    for parameter, need in zip(own, needs[1:], strict=True):
        parameter.requires_grad_(need)

    def record(call: int) -> tuple:
        x, *rest = xs[call % len(xs)]
        x = x.detach().requires_grad_(needs[0])
        y = function(x, *rest, *own)
        return y, [t for t, need in zip((x, *own), needs, strict=True) if need], gradients[call % len(gradients)]

    return Leg(lambda recorded: torch.autograd.grad(*recorded), record)


def both_leg(function: Callable, inputs: Sequence[tuple], layout: str, dtype: torch.dtype | None = None) -> Leg:
    """A loss and its gradient with respect to the first input, together."""
    xs = _converted(inputs, layout, dtype)

    def fresh(call: int) -> list:
        x, *rest = xs[call % len(xs)]
        return [x.detach().requires_grad_(), *rest]

    def run(x: list) -> tuple:
        loss = function(*x)
        return loss, *torch.autograd.grad(loss, x[0])

    return Leg(run, fresh)


def _converted(inputs: Sequence[tuple], layout: str, dtype: torch.dtype | None) -> list[tuple]:
    return [tuple(tensor(array, layout, dtype) for array in arrays) for arrays in inputs]
