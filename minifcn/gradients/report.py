"""What a gradient check found: which tensor, which element, got and expected, and a guess at the mistake."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class TensorCheck:
    """One tensor's analytic gradient (got) against its numerical one (expected)."""

    name: str
    error: float  # max|got - expected| / max(max|expected|, floor); inf where there is nothing to compare
    index: tuple[int, ...]  # the element that differs most
    got: float  # there
    expected: float  # there
    largest: float  # max|expected|
    elements: int  # probed
    kinks: int = 0  # probes that crossed a kink: given up, or another one drawn
    hint: str = ""  # what is wrong, if that can be told


@dataclass(frozen=True)
class GradientReport:
    """The outcome of `check_gradients`; it is true in an `if` or `assert` when the check passed.

    Attributes:
        subject: what was checked.
        tensors: one TensorCheck for each differentiable input and each parameter that trains, then the random
            directions if any were taken.
        floor: 1e-6 times the largest gradient of all. Errors are relative to the tensor's largest gradient, or to the
            floor where that is smaller: some gradients are zero by construction, like that of a convolution's bias
            before batch norm, and have nothing but rounding to compare.
        tolerance: the largest relative error that passes.
    """

    subject: str
    tensors: tuple[TensorCheck, ...]
    floor: float
    tolerance: float

    @property
    def worst(self) -> TensorCheck:
        """The tensor with the largest relative error."""
        return max(self.tensors, key=lambda tensor: tensor.error)

    @property
    def worst_relative_error(self) -> float:
        return self.worst.error

    @property
    def passed(self) -> bool:
        return self.worst.error <= self.tolerance

    def __bool__(self) -> bool:
        return self.passed

    def message(self) -> str:
        """The whole report as text, a line for each tensor and two more for each one that failed."""
        verdict = "passed" if self.passed else "FAILED"
        lines = [f"gradients of {self.subject}: {verdict}, worst relative error {self.worst.error:.1e} "
                 f"(tolerance {self.tolerance:.0e}, floor {self.floor:.1e})"]
        width = max(len(tensor.name) for tensor in self.tensors)
        for tensor in self.tensors:
            failed = tensor.error > self.tolerance
            line = f"  {tensor.name:{width}}  {'FAILED' if failed else 'passed'}  {tensor.error:.1e}"
            line += f"  {tensor.elements} probed"
            line += f", {tensor.kinks} across a kink not counted" if tensor.kinks else ""
            if not failed and tensor.largest < self.floor:
                line += ", zero but for rounding (below the floor)"
            lines.append(line)
            if failed and not math.isnan(tensor.expected):
                lines.append(f"  {'':{width}}  {tensor.name}{list(tensor.index)}: "
                             f"got {tensor.got:.10g}, expected {tensor.expected:.10g} (central difference)")
            if failed and tensor.hint:
                lines.append(f"  {'':{width}}  {tensor.hint}")
        return "\n".join(lines)

    def raise_if_failed(self) -> None:
        """Raises AssertionError with `message()` unless the check passed."""
        if not self.passed:
            raise AssertionError(self.message())


@dataclass(frozen=True)
class AdjointReport:
    """The outcome of `check_adjoint`: the two inner products, which should agree. True when they do."""

    left: float  # <A x, y>
    right: float  # <x, A' y>
    error: float  # |left - right| / (|A x| |y|), Euclidean norms
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    def __bool__(self) -> bool:
        return self.passed

    def message(self) -> str:
        return (f"adjoint: {'passed' if self.passed else 'FAILED'}, <Ax, y> = {self.left:.15g}, "
                f"<x, A'y> = {self.right:.15g}, relative difference {self.error:.1e} (tolerance {self.tolerance:.0e})")

    def raise_if_failed(self) -> None:
        """Raises AssertionError with `message()` unless the check passed."""
        if not self.passed:
            raise AssertionError(self.message())


def diagnose(got: Array, expected: Array, allowed: float) -> str:
    """The likely mistake behind a wrong gradient, both arrays whole: of one shape, and differing by over `allowed`."""

    def equal(a: Array, b: Array) -> bool:
        return bool(np.max(np.abs(a - b)) <= allowed)

    if not got.any():
        return "Every element is 0: this gradient is never computed, or lost on the way."
    factor = float((got * expected).sum() / max(float((expected * expected).sum()), 1e-300))
    if equal(got, -expected):
        return "Every element has the wrong sign."
    if factor and equal(got / factor, expected):
        return f"Every element is {factor:.6g} times the right one: look for a factor, a mean in place of a sum."
    axes = tuple(range(expected.ndim))
    for order in itertools.permutations(axes) if expected.ndim <= 4 else ():
        moved = expected.transpose(order)
        if order != axes and moved.shape == got.shape and equal(got, moved):
            return f"It is the right gradient with its axes in the order {order}: look for a transpose."
    for some in itertools.chain.from_iterable(itertools.combinations(axes, k + 1) for k in range(len(axes))):
        if equal(got, np.flip(expected, some)):
            return f"It is the right gradient flipped along axes {some}: look for a kernel that is turned around."
    right = int((np.abs(got - expected) <= allowed).sum())
    if right == 0:
        return f"All {got.size} elements are wrong."
    return (f"{right} of {got.size} elements are right. Where windows overlap, or a value is used more than once, "
            f"its gradients add.")
