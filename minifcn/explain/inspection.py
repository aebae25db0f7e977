"""A network as a table: what each layer makes, what it costs and what it sees, without computing a single pixel.

    table = inspect(build("fcn8s"), (500, 500))
    table.rows[0].shape, table.trainable, table.flops

FLOPs are multiply-adds times two, see `minifcn.explain.costs`; receptive fields are those of
`minifcn.explain.receptive_field`; stride and offset come from the layers' coordinate maps: pixel (i, j) of a value lies
at offset + stride * (i, j) of the image.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from ..coordinates import Maps, compose, placed_on, producers
from ..graph import Graph
from ..layers.base import IDENTITY
from ..models import count_parameters
from ..shapes import Shape, shapes_of
from ..wiring import Node
from .costs import multiply_adds
from .receptive_field import receptive_fields

Both = tuple[Fraction, Fraction]  # rows, columns


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        name, kind: as the network calls it, and its class.
        shape: of its output, (N, C, H, W).
        trainable, frozen: its parameters.
        flops: of one forward pass.
        activation_bytes: of its output, and of the places that a pooling records, in the weights' dtype.
        input: which of the network's inputs the next three refer to.
        receptive_field: rows and columns of the input that one pixel of the output sees at most.
        stride: rows and columns of the input from one pixel to the next; None where that depends on the image.
        offset: where in the input the centre of pixel (0, 0) lies; likewise.
    """

    name: str
    kind: str
    shape: Shape
    trainable: int
    frozen: int
    flops: int
    activation_bytes: int
    input: str
    receptive_field: tuple[int, int]
    stride: Both | None
    offset: Both | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: fractions as numbers."""
        numbers = {key: value and [float(part) for part in value] for key, value in
                   (("stride", self.stride), ("offset", self.offset))}
        return vars(self) | numbers


@dataclass(frozen=True)
class Inspection:
    """The rows, and their totals. A parameter that several layers share counts once in the totals."""

    rows: list[Row]
    trainable: int
    frozen: int

    @property
    def flops(self) -> int:
        return sum(row.flops for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Of all outputs together: what training would keep if every layer kept its own."""
        return sum(row.activation_bytes for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        totals = {"trainable": self.trainable, "frozen": self.frozen, "flops": self.flops,
                  "activation_bytes": self.activation_bytes}
        return {"layers": [row.as_dict() for row in self.rows], "totals": totals}


def inspect(graph: Graph, size: tuple[int, int], batch: int = 1) -> Inspection:
    """The table of a network for images of (H, W).

    Built inside `minifcn.init.shapes_only`, the network takes no memory for its weights. Raises ValueError for an image
    that the network cannot take, naming the layer.
    """
    shapes, fields = shapes_of(graph, size, batch), receptive_fields(graph, size)
    parameters = list(graph.parameters().values())
    itemsize = parameters[0].data.itemsize if parameters else np.dtype(np.float32).itemsize
    maps: dict[str, Maps | None] = dict.fromkeys(graph.inputs, (IDENTITY, IDENTITY))
    nodes, rows = producers(graph), []
    for node in graph.nodes:
        maps |= dict.fromkeys(node.values, _map_of(node, nodes, maps))
        seen, field = next(iter(fields[node.name].items()))
        own = node.layer.parameters().values()
        records = [shapes[node.name]] * (len(node.values) - 1)  # one place for each maximum
        rows.append(Row(
            node.name, type(node.layer).__name__, shapes[node.name],
            sum(p.data.size for p in own if p.trains), sum(p.data.size for p in own if not p.trains),
            2 * multiply_adds(node.layer, *(shapes[name] for name in node.inputs)),
            prod(shapes[node.name]) * itemsize + sum(prod(record) * np.dtype(np.int32).itemsize for record in records),
            seen, field, *_stride_and_offset(maps[node.name]),
        ))
    counts = count_parameters(graph)
    return Inspection(rows, counts["trainable"], counts["frozen"])


def _map_of(node: Node, nodes: dict[str, Node], maps: dict[str, Maps | None]) -> Maps | None:
    """The coordinate map from the input to a node; None behind a layer that has none for all images alike."""
    try:
        value, own = placed_on(node, nodes)
    except ValueError:
        return None
    before = maps[value]
    return before and (compose(own[0], before[0]), compose(own[1], before[1]))


def _stride_and_offset(maps: Maps | None) -> tuple[Both | None, Both | None]:
    """From scale*r + shift, which sends the input to the value, back: the pixel q lies at (q - shift)/scale."""
    if maps is None:
        return None, None
    (row_scale, row_shift), (column_scale, column_shift) = maps
    return (1 / row_scale, 1 / column_scale), (-row_shift / row_scale, -column_shift / column_scale)
