"""A large map in bands: the end of a network a few rows at a time, for memory.

A rarefied classifier has its 4,096 channels at every pixel: 4 GB for an image of 500x500. But where a network pads
nothing and has no strides, rows [i, j) of its output depend on rows [i, j + e - 1) of its input only, e being the
extent of its windows. So everything up to the last padding runs whole, and the rest in bands, with the same numbers.
"""

from typing import Any

from ..cutting import after, up_to
from ..graph import Graph
from ..kernels import array_module
from ..ops.check import Array
from ..ops.geometry import extent
from ..progress import Progress
from ..rarefaction import PIXELWISE, WINDOWS


def forward_in_bands(graph: Graph, x: Array, rows: int, progress: Progress | None = None) -> Array:
    """`graph.forward(x, record=False)` for a graph of one input and one output, `rows` rows of the output at a time.

    Only what lies behind the last layer that pads, strides or joins runs in bands; it may be nothing. Raises ValueError
    for fewer than one row. `progress` is told of each band.
    """
    if rows < 1:
        raise ValueError(f"forward_in_bands: expected at least one row a band, got {rows}. 16 is a good number.")
    value, reach = _last_whole_value(graph)
    whole = up_to(graph, value).forward(x, record=False) if value not in graph.inputs else x  # (N, C, H + reach, W)
    if value in graph.outputs:
        return whole
    head, height = after(graph, value), whole.shape[2] - reach
    tops = range(0, max(1, height), rows)  # a map that is too small is left to the layers to complain about
    bands = []
    if progress is not None:
        progress.start("bands", len(tops))
    for top in tops:
        bands.append(head.forward(whole[:, :, top : min(top + rows, height) + reach].copy(), record=False))
        if progress is not None:
            progress.update(len(bands))
    return array_module(whole).concatenate(bands, axis=2)  # (N, K, height, W')


def _last_whole_value(graph: Graph) -> tuple[str, int]:
    """Where the bands may begin: a value that a plain chain leads from to the output, and how many rows it takes up."""
    nodes = {node.name: node for node in graph.needed_nodes()}
    value, reach = graph.outputs[0], 0
    while value in nodes and _fits(nodes[value].layer):
        layer: Any = nodes[value].layer
        if type(layer) in WINDOWS:
            reach += extent(layer.kernel_size[0], layer.dilation[0]) - 1
        value = nodes[value].inputs[0]
    return value, reach


def _fits(layer: Any) -> bool:
    """Whether a layer computes each row from the rows at and below it alone, none of them padding."""
    if type(layer) in PIXELWISE:
        return True
    plain = type(layer) in WINDOWS and hasattr(layer, "dilation") and not getattr(layer, "ceil_mode", False)
    return plain and layer.stride == (1, 1) and not any(layer.padding)
