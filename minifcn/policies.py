"""Learning-rate policies, by Caffe's formulas and names.

A policy is called with the number of iterations made before this one, so the first asks for policy(0).
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Fixed:
    """The same learning rate at every iteration."""

    lr: float

    def __post_init__(self) -> None:
        _check_positive(self)

    def __call__(self, iteration: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step:
    """lr * gamma^floor(iteration / step_size): a jump down every `step_size` iterations."""

    lr: float
    gamma: float
    step_size: int

    def __post_init__(self) -> None:
        _check_positive(self)

    def __call__(self, iteration: int) -> float:
        return self.lr * self.gamma ** (iteration // self.step_size)


@dataclass(frozen=True)
class Poly:
    """lr * (1 - iteration / max_iterations)^power: a smooth way down to 0, where it stays."""

    lr: float
    power: float
    max_iterations: int

    def __post_init__(self) -> None:
        _check_positive(self)

    def __call__(self, iteration: int) -> float:
        return self.lr * max(0.0, 1 - iteration / self.max_iterations) ** self.power


def _check_positive(policy: Fixed | Step | Poly) -> None:
    for name, value in vars(policy).items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{type(policy).__name__}: expected {name} above 0, got {value}. Choose another value.")
