"""Where is this pixel in that map? Coordinate maps between the values of a Graph, and the crop offsets they imply.

Every layer sends the coordinate r of an input row to scale*r + shift of its output: a convolution of stride s,
padding p and extent e to (r + p - (e - 1)/2)/s, a transposed one to s*r + (e - 1)/2 - p, a crop at offset o to r - o,
and a ReLU leaves it alone. Following a chain of layers composes their maps. Two maps of one scale differ by a number of
rows, and that number is where one has to be cropped so that it lies on the other: FCN's famous 19, 31, 5, 9 and 27.

Source: the FCN reference code's way of deriving its crops (Caffe's coordinate map); Long, Shelhamer, Darrell 2015.
Fractions keep the arithmetic exact.
"""

from .graph import Graph
from .layers import MaxUnpool2d
from .layers.base import IDENTITY, Affine
from .wiring import Node

Maps = tuple[Affine, Affine]  # rows, columns


def coordinate_map(graph: Graph, value: str, ancestor: str = "data") -> Maps:
    """(scale, shift) for rows and for columns, from coordinates in `ancestor` to coordinates in `value`.

    Where a layer reads several values the first one is followed: a crop follows what it cuts, not its reference; an
    unpooling follows what was pooled.
    Raises ValueError if there is no such value, or if `ancestor` is not on that path.
    """
    maps = _maps_to(graph, value)
    if ancestor not in maps:
        raise ValueError(f"coordinate_map: expected a value that {value!r} is computed from ({', '.join(maps)}), "
                         f"got {ancestor!r}. Choose one of these.")
    return maps[ancestor]


def alignment(graph: Graph, value: str, reference: str) -> tuple[int, int]:
    """How many rows and columns `value` reaches beyond `reference` at the top and left; negative where it falls short.

    Raises ValueError if the two have no common ancestor, other strides, or lie a fraction of a pixel apart.
    """
    of_value, of_reference = _maps_to(graph, value), _maps_to(graph, reference)
    common = next((name for name in of_value if name in of_reference), None)
    if common is None:
        raise ValueError(f"alignment: expected two values computed from the same one, got {value!r} and {reference!r}. "
                         f"Nothing says where the one lies in the other.")
    rows, columns = (
        _distance(value, reference, of_value[common][axis], of_reference[common][axis]) for axis in (0, 1)
    )
    return rows, columns


def crop_offset(graph: Graph, value: str, reference: str) -> tuple[int, int]:
    """The (row, column) at which `value` must be cropped to lie on `reference`.

    Raises ValueError as `alignment` does, and if `value` begins below or right of `reference`.
    """
    offset = alignment(graph, value, reference)
    if min(offset) < 0:
        raise ValueError(f"crop_offset: expected {value!r} to begin above and left of {reference!r}, got an offset of "
                         f"{offset}. Crop {reference!r} to {value!r} instead, or pad {value!r}.")
    return offset


def _maps_to(graph: Graph, value: str) -> dict[str, Maps]:
    """For `value` and each value before it, as `placed_on` goes: the map from there to `value`, nearest first."""
    if value not in graph.known_values():
        raise ValueError(f"coordinate_map: expected a value of this graph ({', '.join(graph.known_values())}), "
                         f"got {value!r}. Choose one of these.")
    nodes = producers(graph)
    maps: Maps = (IDENTITY, IDENTITY)
    found = {value: maps}
    while value in nodes:
        value, below = placed_on(nodes[value], nodes)
        maps = (compose(maps[0], below[0]), compose(maps[1], below[1]))
        found[value] = maps
    return found


def producers(graph: Graph) -> dict[str, Node]:
    """For each value that is computed: the node that does it."""
    return {name: node for node in graph.nodes for name in node.values}


def placed_on(node: Node, nodes: dict[str, Node]) -> tuple[str, Maps]:
    """The value whose pixels say where those of `node` are, and the map from there.

    That is what the node reads first. But an unpooling puts values back where a pooling found them, so it lies on what
    that pooling read, pixel on pixel, wherever the values themselves have been in between.

    Args:
        nodes: the `producers` of its graph.

    Raises ValueError for a layer that has no map for all images alike.
    """
    if isinstance(node.layer, MaxUnpool2d) and node.inputs[1] in nodes:
        return nodes[node.inputs[1]].inputs[0], (IDENTITY, IDENTITY)
    return node.inputs[0], node.layer.coordinate_map()


def compose(after: Affine, before: Affine) -> Affine:
    """after(before(r)) = a2*(a1*r + b1) + b2."""
    return after[0] * before[0], after[0] * before[1] + after[1]


def _distance(value: str, reference: str, of_value: Affine, of_reference: Affine) -> int:
    """Coordinates agree where value's row is reference's row + distance."""
    if of_value[0] != of_reference[0]:
        raise ValueError(f"alignment: expected {value!r} and {reference!r} at one resolution, got scales {of_value[0]} "
                         f"and {of_reference[0]}. Upsample or downsample one of them first.")
    distance = of_value[1] - of_reference[1]
    if distance.denominator != 1:
        raise ValueError(f"alignment: expected {value!r} to lie whole pixels from {reference!r}, got {distance}. "
                         f"Change a padding or a kernel size by one.")
    return int(distance)
