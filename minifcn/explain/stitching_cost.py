"""What shift-and-stitch costs, and the rarefied network: floating-point operations and memory.

A layer behind strides of d computes every d-th row. Over the f shifts of a network of stride f it computes each row of
the rarefied map f/d times, and each pixel (f/d)**2 times: the first layers, where d is small, nearly f*f times. The
rarefied network computes each once, so it is the quicker one, by most where most work is done early.
"""

import importlib
import importlib.util
import sys
from collections import Counter

from ..graph import Graph
from ..layers import Conv2d
from ..ops.check import Array
from ..rarefaction import spreads
from .stitching import Dense


def flops(body: Graph, canvas: tuple[int, int], result: Dense) -> tuple[int, int]:
    """(shifted, rarefied): the FLOPs of all convolutions, for one image; a multiply-add is two.

    Args:
        body: the network without its first padding.
        canvas: (H, W) of the padded image.
        result: the stride and size that `minifcn.explain.stitching.prepared` gives.
    """
    shifted = rarefied = 0
    for layer, (spacing, growth) in spreads(body):
        if isinstance(layer, Conv2d):
            rows, columns = (canvas[axis] + growth[axis] for axis in (0, 1))
            each = 2 * layer.weight.data.size  # a pixel of all its channels
            rarefied += each * rows * columns
            shifted += each * _coarse(rows, spacing[0], result, 0) * _coarse(columns, spacing[1], result, 1)
    return shifted, rarefied


def _coarse(rows: int, spacing: int, result: Dense, axis: int) -> int:
    """How many rows all shifted runs have together of a map that has `rows` in the rarefied network."""
    shifts = range(min(result.stride[axis], result.size[axis]))
    return sum(max(0, -(-(rows - y) // spacing)) for y in shifts)


def peak_bytes(graph: Graph, x: Array) -> int:
    """The most memory that the maps of one forward pass take at one time, its input and output among them.

    Runs the network once. Inner maps of nested Graphs, and what kernels need for themselves, are not counted.
    """
    readers = Counter(value for node in graph.needed_nodes() for value in node.inputs)
    alive, peak = dict.fromkeys(graph.inputs, x.nbytes), x.nbytes
    computed_by = {value: node for node in graph.needed_nodes() for value in node.values}
    for name, y in graph.walk(x):
        alive[name] = getattr(y, "nbytes", 0)
        peak = max(peak, sum(alive.values()))
        node = computed_by[name]
        if name == node.values[-1]:
            for value in node.inputs:
                readers[value] -= 1
                if not readers[value]:
                    alive.pop(value, None)
    return peak


def peak_rss() -> float | None:
    """The most memory that this process has held so far, in GiB; None where the system does not say."""
    if importlib.util.find_spec("resource") is None:  # Windows
        return None
    resource = importlib.import_module("resource")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 3)
