"""One network, shifted and rarefied: do they agree, where, and what does each cost?"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Graph
from ..kernels import use_winograd
from ..ops.check import Array
from ..prediction import evaluation_mode
from ..progress import Progress
from ..rarefaction import rarefy
from .stitching import margin, prepared, rarefied_scores, relative_difference, shift_and_stitch
from .stitching_cost import flops, peak_bytes

TOLERANCES = {("float64", False): 1e-12, ("float32", False): 1e-5, ("float64", True): 1e-12, ("float32", True): 1e-4}


@dataclass(frozen=True)
class Agreement:
    """What `compare` found. Pairs are (rows, columns); differences are relative to the largest score.

    Attributes:
        model: what the network is called.
        stride, size, margin: of the network, of the image, and where the scores differ.
        dtype, winograd: how it was computed.
        outside, inside: the largest difference outside the margin and in it.
        tolerance: what `outside` may be.
        seconds, gflop, mebibytes: of (all shifted runs, the rarefied network); memory is that of the maps alive at one
            time, None where it was not looked at.
        stitched, dense: the scores, (N, K, H', W').
    """

    model: str
    stride: tuple[int, int]
    size: tuple[int, int]
    margin: tuple[int, int]
    dtype: str
    winograd: bool
    outside: float
    inside: float
    tolerance: float
    seconds: tuple[float, float]
    gflop: tuple[float, float]
    mebibytes: tuple[float, float] | None
    stitched: Array
    dense: Array

    @property
    def equal(self) -> bool:
        return self.outside <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """For `minifcn stitch --json`."""
        shown: dict[str, Any] = {
            "model": self.model, "stride": _plain(self.stride), "dtype": self.dtype, "winograd": self.winograd,
            "size": list(self.size), "margin": _plain(self.margin), "max_relative_difference": self.outside,
            "difference_in_margin": self.inside, "tolerance": self.tolerance, "equal": self.equal,
        }
        for name, pair in (("seconds", self.seconds), ("gflop", self.gflop), ("mebibytes", self.mebibytes)):
            if pair is not None:
                shown |= {f"{name}_shifted": round(pair[0], 6), f"{name}_rarefied": round(pair[1], 6)}
        return shown


def compare(
    model: str, net: Graph, image: Array, *, winograd: bool = False, rows: int | None = None,
    progress: Progress | None = None,
) -> Agreement:
    """Run a network both ways.

    Args:
        model: a name for it.
        net, image: as `minifcn.explain.stitching.shift_and_stitch` takes them.
        winograd: whether convolutions may go by Winograd, which rounds more.
        rows: run the rarefied network in bands of so many rows, and nothing but what is timed: for what is large.
        progress: told of each shifted run.

    Raises ValueError if the image is so small that nothing lies outside the margin, and as `shift_and_stitch` does.
    """
    body, canvas, result = prepared(net, image)
    top, left = margin(net)
    if top >= result.size[0] or left >= result.size[1]:
        missing = max(0, top + 1 - result.size[0]), max(0, left + 1 - result.size[1])
        least = f"{image.shape[2] + missing[0]}x{image.shape[3] + missing[1]}"
        raise ValueError(f"stitch: expected an image of at least {least}, so that scores lie outside the "
                         f"margin of {top} rows and {left} columns, got {image.shape[2]}x{image.shape[3]}. Enlarge it.")
    with use_winograd(winograd):
        mebibytes = None if rows else _mebibytes(body, canvas)  # the first run compiles, and is not timed
        began = time.perf_counter()
        stitched = shift_and_stitch(net, image, progress)
        between = time.perf_counter()
        dense = rarefied_scores(net, image, rows, progress)
        seconds = between - began, time.perf_counter() - between
    shifted, rarefied = flops(body, canvas.shape[2:], result)
    dtype = str(dense.dtype)
    return Agreement(
        model, result.stride, image.shape[2:], (top, left), dtype, winograd,
        outside=relative_difference(stitched[:, :, top:, left:], dense[:, :, top:, left:]),
        inside=_largest_inside(stitched, dense, top, left),
        tolerance=TOLERANCES[dtype, winograd],
        seconds=seconds, gflop=(shifted / 1e9, rarefied / 1e9), mebibytes=mebibytes, stitched=stitched, dense=dense,
    )


def _mebibytes(body: Graph, canvas: Array) -> tuple[float, float]:
    with evaluation_mode(body):
        return peak_bytes(body, canvas) / 2**20, peak_bytes(rarefy(body), canvas) / 2**20


def _largest_inside(stitched: Array, dense: Array, top: int, left: int) -> float:
    """The largest difference in the margin, relative to the largest score anywhere."""
    difference = np.abs(stitched - dense)
    difference[:, :, top:, left:] = 0
    return relative_difference(difference, np.zeros(1)) / (float(np.abs(dense).max()) or 1.0)


def _plain(pair: tuple[int, int]) -> int | list[int]:
    """One number where rows and columns agree, as they do in all published networks."""
    return pair[0] if pair[0] == pair[1] else list(pair)
