"""Why 19? How each crop offset of a network follows from its layers, step by step, and what a centre crop would do.

    for rows, columns in derive_crops(build("fcn32s"), (500, 500)):
        print(told(rows, columns))

Number the rows of every map from 0. Each layer sends row r of its input to row scale*r + shift of its output; from the
value that two maps have in common these steps add up, for the one map and for the other, and where both have the same
scale the difference of their shifts is the offset. See `minifcn.coordinates`, which does the same without words.

Source: Long, Shelhamer, Darrell 2015; the offsets in the authors' network files.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..coordinates import compose, coordinate_map
from ..graph import Graph
from ..layers import AvgPool2d, Conv2d, ConvTranspose2d, Crop, Layer, MaxPool2d, Pad
from ..layers.base import IDENTITY, Affine
from ..ops.geometry import extent
from ..shapes import Shape, shapes_of
from ..wiring import Node

OTHER_SIZES = 64  # sizes from the user's own upwards at which the surplus is looked at; twice the coarsest stride


@dataclass(frozen=True)
class Step:
    """One layer on the way from the common value: what it does to a row, and where row r has come to behind it."""

    layer: str
    what: str  # its geometry in words
    own: Affine
    total: Affine
    size: int  # rows of its output


@dataclass(frozen=True)
class Derivation:
    """One crop along one axis.

    Attributes:
        crop, value, reference, common: the Crop layer, what it cuts, what it cuts it to, and what both are made from.
        axis: "rows" or "columns".
        value_steps, reference_steps: the layers from `common` to each of the two that move coordinates.
        offset: where the network crops.
        size, wanted: of `value` and of `reference`.
        stride: pixels of the image from one pixel of the cropped map to the next.
        surplus: the least and the greatest that `value` has too much, at this size of the image and larger ones.
    """

    crop: str
    value: str
    reference: str
    common: str
    axis: str
    value_steps: tuple[Step, ...]
    reference_steps: tuple[Step, ...]
    offset: int
    size: int
    wanted: int
    stride: Fraction
    surplus: tuple[int, int]

    @property
    def derived(self) -> Fraction:
        """The offset that follows from the steps: how far `value` reaches beyond `reference` at the top or left."""
        return _end(self.value_steps)[1] - _end(self.reference_steps)[1]

    @property
    def centre(self) -> int:
        """Where a centre crop would begin."""
        return (self.size - self.wanted) // 2

    @property
    def shift(self) -> Fraction:
        """By how many pixels of the image a centre crop would move the scores up or left; below 0 down or right."""
        return (self.centre - self.offset) * self.stride

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        steps = {key: [_plain(step) for step in getattr(self, key)] for key in ("value_steps", "reference_steps")}
        more = {"centre_offset": self.centre, "centre_shift": float(self.shift), "stride": float(self.stride)}
        return vars(self) | steps | more


def derive_crops(graph: Graph, size: tuple[int, int]) -> list[tuple[Derivation, Derivation]]:
    """For each crop of a network to another map, its rows and its columns.

    Args:
        graph: any network whose crops follow layers with coordinate maps.
        size: (H, W) of the image.

    Crops to a fixed size are passed over: nothing follows from them. Raises ValueError for an image that the network
    cannot take, or a path through a layer without a coordinate map.
    """
    shapes, surpluses = shapes_of(graph, size), _surpluses(graph, size)
    derivations = []
    for node in graph.nodes:
        if isinstance(node.layer, Crop) and len(node.inputs) == 2:
            rows, columns = (_derive(graph, shapes, node, axis, surpluses[node.name][axis]) for axis in (0, 1))
            derivations.append((rows, columns))
    return derivations


def _derive(graph: Graph, shapes: dict[str, Shape], node: Node, axis: int, surplus: tuple[int, int]) -> Derivation:
    value, reference = node.inputs
    to_value, to_reference = _lineage(graph, value), _lineage(graph, reference)
    common = next((name for name in to_value if name in to_reference), None)
    if common is None:
        raise ValueError(f"explain crop: expected {value!r} and {reference!r} to be computed from the same value, got "
                         f"two that have none in common. Nothing says where the one lies in the other.")
    layer: Any = node.layer
    scale, _ = coordinate_map(graph, reference, to_reference[-1])[axis]
    return Derivation(
        node.name, value, reference, common, ("rows", "columns")[axis],
        _walk(graph, shapes, _between(to_value, common), axis),
        _walk(graph, shapes, _between(to_reference, common), axis),
        layer.offset[axis], shapes[value][2 + axis], shapes[reference][2 + axis], 1 / scale, surplus,
    )


def _lineage(graph: Graph, value: str) -> list[str]:
    """The value, what it is computed from, and so on to an input; of several inputs the first is followed."""
    nodes = {name: node for node in graph.nodes for name in node.values}
    names = [value]
    while names[-1] in nodes:
        names.append(nodes[names[-1]].inputs[0])
    return names


def _between(lineage: list[str], common: str) -> list[str]:
    """From just behind the common value to the value itself."""
    return lineage[: lineage.index(common)][::-1]


def _walk(graph: Graph, shapes: dict[str, Shape], names: list[str], axis: int) -> tuple[Step, ...]:
    """The steps through these values, without the layers that leave coordinates alone."""
    layers = {name: node.layer for node in graph.nodes for name in node.values}
    total, steps = IDENTITY, []
    for name in names:
        own = layers[name].coordinate_map()[axis] if name in layers else IDENTITY
        if own != IDENTITY:
            total = compose(own, total)
            steps.append(Step(name, described(layers[name], axis), own, total, shapes[name][2 + axis]))
    return tuple(steps)


def _end(steps: tuple[Step, ...]) -> Affine:
    return steps[-1].total if steps else IDENTITY


def _surpluses(graph: Graph, size: tuple[int, int]) -> dict[str, list[tuple[int, int]]]:
    """For each crop and axis, how much too large the map is, from the least to the greatest of OTHER_SIZES sizes."""
    found: dict[str, list[list[int]]] = {}
    for more in range(OTHER_SIZES):
        try:
            shapes = shapes_of(graph, (size[0] + more, size[1] + more))
        except ValueError:  # a network that takes multiples of something only
            continue
        for node in graph.nodes:
            if isinstance(node.layer, Crop) and len(node.inputs) == 2:
                value, reference = (shapes[name] for name in node.inputs)
                for axis, sizes in enumerate(found.setdefault(node.name, [[], []])):
                    sizes.append(value[2 + axis] - reference[2 + axis])
    return {name: [(min(sizes), max(sizes)) for sizes in axes] for name, axes in found.items()}


def described(layer: Layer, axis: int) -> str:
    """The geometry of a layer along an axis, in words: "window 3, padding 100"."""
    if isinstance(layer, Crop):
        return f"crop at {layer.offset[axis]}"
    if isinstance(layer, Pad):
        return f"pad {layer.padding[2 * axis]} before"
    if not isinstance(layer, (Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d)):
        return type(layer).__name__
    reach = extent(layer.kernel_size[axis], getattr(layer, "dilation", (1, 1))[axis])
    words = [f"{'block' if isinstance(layer, ConvTranspose2d) else 'window'} {reach}"]
    if layer.stride[axis] != 1:
        words.append(f"stride {layer.stride[axis]}")
    if layer.padding[2 * axis]:
        words.append(f"padding {layer.padding[2 * axis]}")
    return ", ".join(words)


def formula(affine: Affine) -> str:
    """scale*r + shift the way one writes it: "r/32 - 25/64"."""
    scale, shift = affine
    front = {Fraction(1): "r"}.get(scale, f"r/{scale.denominator}" if scale.numerator == 1 else f"{scale}*r")
    return front if not shift else f"{front} {'+' if shift > 0 else '-'} {abs(shift)}"


def _plain(step: Step) -> dict[str, Any]:
    own, total = (formula(affine) for affine in (step.own, step.total))
    return vars(step) | {"own": own, "total": total}
