"""Coordinate maps against the published fractions and crops, and against where a ramp of numbers really ends up."""

from fractions import Fraction

import numpy as np
import pytest

from minifcn import Graph, models
from minifcn.coordinates import alignment, coordinate_map, crop_offset
from minifcn.init import constant
from minifcn.layers import Add, AvgPool2d, Conv2d, ConvTranspose2d, Crop, MaxPool2d, MaxUnpool2d, Pad, ReLU
from minifcn.wiring import Node


def tiny(name, padding="paper", **options):
    return models.build(name, num_classes=1, width=1 / 64, padding=padding, rng=0, dtype=np.float64, **options)


def chain(*layers, inputs="data"):
    g = Graph(inputs)
    value = g.inputs[0]
    for number, layer in enumerate(layers):
        value = g.add(f"n{number}", layer, value)
    return g


# As published: Caffe's coordinate maps of the FCN-8s and the crops in the authors' network files.

@pytest.mark.parametrize(("value", "scale", "shift"), [
    ("pool3", "1/8", "191/16"), ("score_pool3", "1/8", "191/16"),
    ("pool4", "1/16", "183/32"), ("score_pool4", "1/16", "183/32"),
    ("pool5", "1/32", "167/64"), ("score_fr", "1/32", "-25/64"),
    ("upscore2", "1/16", "23/32"), ("upscore_pool4", "1/8", "47/16"),
    ("upscore8", "1", "31"), ("score", "1", "0"),
])
def test_published_fractions(value, scale, shift):
    expected = Fraction(scale), Fraction(shift)
    assert coordinate_map(tiny("fcn8s"), value) == (expected, expected)


@pytest.mark.parametrize(("name", "value", "reference", "offset"), [
    ("fcn32s", "upscore", "data", 19),
    ("fcn16s", "score_pool4", "upscore2", 5), ("fcn16s", "upscore16", "data", 27),
    ("fcn8s", "score_pool4", "upscore2", 5), ("fcn8s", "score_pool3", "upscore_pool4", 9),
    ("fcn8s", "upscore8", "data", 31), ("fcn8s-atonce", "upscore8", "data", 31),
])
def test_published_crops(name, value, reference, offset):
    net = tiny(name)
    assert crop_offset(net, value, reference) == (offset, offset)
    crops = [node.layer.offset for node in net.nodes if isinstance(node.layer, Crop) and node.inputs[0] == value]
    assert crops == [(offset, offset)]


@pytest.mark.parametrize("size", [(32, 48), (23, 30)])  # the second: rows and columns that poolings leave over
def test_unpooled_values_lie_on_what_was_pooled(size, rng):
    """As an experiment: one bright pixel goes through two poolings and back to where it came from."""
    g = Graph()
    for name, layer, inputs in (
        ("pool1", MaxPool2d(2, ceil_mode=True, return_indices=True), ("data",)),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True, return_indices=True), ("pool1",)),
        ("up2", MaxUnpool2d(), ("pool2", "pool2.record")), ("up1", MaxUnpool2d(), ("up2", "pool1.record")),
    ):
        g.add(name, layer, *inputs)
    assert coordinate_map(g, "up1") == coordinate_map(g, "data")
    assert coordinate_map(g, "up2") == coordinate_map(g, "pool1") != coordinate_map(g, "data")
    x = rng.random((1, 1, *size))
    x[0, 0, 9, 14] = 5
    assert np.unravel_index(g.forward(x, record=False).argmax(), x.shape)[2:] == (9, 14)


def test_unpooling_by_indices_from_elsewhere_has_the_map_of_what_it_reads():
    g = Graph(("data", "places"))
    g.add("pool", MaxPool2d(2), "data")
    g.add("up", MaxUnpool2d((8, 8)), "pool", "places")
    assert coordinate_map(g, "up") == coordinate_map(g, "pool")


def test_alexnet_crop():
    """FCN-AlexNet: its upsampling has an odd kernel, and the crop is 18."""
    g = chain(Conv2d(3, 1, 11, stride=4, padding=100), MaxPool2d(3, stride=2), Conv2d(1, 1, 5, padding=2),
              MaxPool2d(3, stride=2), *(Conv2d(1, 1, 3, padding=1) for _ in range(3)), MaxPool2d(3, stride=2),
              Conv2d(1, 1, 6), ConvTranspose2d(1, 1, 63, stride=32))
    assert crop_offset(g, "n9", "data") == (18, 18)


# By experiment. A ramp holds at each pixel its own coordinate; a mean over a window holds its centre's.

def averaging(net):
    """The same geometry with nothing but means in it, which keep a ramp a ramp."""
    for number, (name, layer, inputs) in enumerate(net.nodes):
        if isinstance(layer, MaxPool2d):
            mean = AvgPool2d(layer.kernel_size, layer.stride, ceil_mode=True)
            net.nodes[number] = Node(name, mean, inputs)
        elif isinstance(layer, Conv2d):
            layer.weight.data[...] = 1 / layer.weight.data[0].size
            layer.bias.data[...] = 0
    return net.eval()


def ramps(h, w):
    """(2, 3, h, w): in the first picture each pixel holds its row, in the second its column."""
    return np.broadcast_to(np.indices((h, w))[:, None], (2, 3, h, w)).astype(np.float64)


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize(("name", "path"), [
    ("fcn32s", "score_fr"), ("fcn16s", "score_fr"), ("fcn16s", "score_pool4"),
    ("fcn8s", "score_fr"), ("fcn8s", "score_pool4"), ("fcn8s", "score_pool3"),
])
def test_scores_lie_where_their_pixels_lie(name, path, padding):
    """Whatever way a ramp takes through the network, in the middle of the picture it comes out as it went in.

    Which is what the crops are for, and true for one offset only. Two sizes show that it does not depend on the size.
    """
    net = averaging(tiny(name, padding))
    for score, layer, _ in net.nodes:
        if score in {"score_fr", "score_pool4", "score_pool3"} - {path}:
            layer.weight.data[...] = 0
    for h, w in ((530, 541), (555, 520)):
        x = ramps(h, w)
        middle = np.s_[:, :1, h // 2 - 5:h // 2 + 5, w // 2 - 6:w // 2 + 6]  # far from all padding
        np.testing.assert_allclose(net.forward(x)[middle], x[middle], rtol=1e-9)


@pytest.mark.parametrize("layer", [
    Conv2d(1, 1, (3, 4), stride=(2, 3), padding=((1, 0), (2, 1)), dilation=(1, 2), bias=False,
           weight_init=constant(1 / 12), dtype=np.float64),
    AvgPool2d((2, 3), stride=(3, 2), padding=(1, 0), ceil_mode=True),
    Pad((2, 0, 1, 3)), Crop((3, 1), (9, 8)), ReLU(),
], ids=lambda layer: type(layer).__name__)
def test_maps_of_single_layers(layer):
    x = ramps(17, 19)[:, :1]
    y = layer.forward(x)  # (2, 1, OH, OW)
    middle = np.s_[y.shape[2] // 2, y.shape[3] // 2]  # a pixel that no padding reaches
    for axis, (scale, shift) in enumerate(layer.coordinate_map()):
        came_from = y[axis, 0][middle]
        assert scale * Fraction(came_from).limit_denominator(100) + shift == middle[axis]


def test_map_of_a_transposed_convolution():
    """One pixel becomes a block, and the block's centre is where the pixel went."""
    layer = ConvTranspose2d(1, 1, (4, 3), stride=(2, 3), padding=((1, 0), (0, 2)), dilation=(1, 2), bias=False,
                            weight_init=constant(1.0), dtype=np.float64)
    x = np.zeros((1, 1, 6, 7))
    x[0, 0, 3, 4] = 1
    rows, columns = np.nonzero(layer.forward(x)[0, 0])
    for place, pixel, (scale, shift) in zip((rows, columns), (3, 4), layer.coordinate_map(), strict=True):
        assert scale * pixel + shift == Fraction(int(place.min() + place.max()), 2)


# Paths and errors.

def test_from_one_value_to_another():
    g = chain(Conv2d(1, 1, 3, stride=2), Conv2d(1, 1, (1, 5)), Crop((1, 0), (2, 2)))
    assert coordinate_map(g, "n2", "n0") == ((1, -1), (1, -2))
    assert coordinate_map(g, "n2", "n2") == ((1, 0), (1, 0))
    half = Fraction(1, 2)
    assert coordinate_map(g, "n2") == ((half, -half - 1), (half, -half - 2))
    assert alignment(g, "n1", "n2") == (1, 0)
    assert alignment(g, "n2", "n1") == (-1, 0)


def test_the_first_input_is_followed():
    g = chain(Conv2d(1, 1, 3, padding=1), Pad((5, 0, 5, 0)))
    g.add("sum", Add(), "n0", "n1")
    assert coordinate_map(g, "sum", "data") == ((1, 0), (1, 0))
    with pytest.raises(ValueError, match=r"a value that 'sum' is computed from \(sum, n0, data\), got 'n1'. Choose"):
        coordinate_map(g, "sum", "n1")
    with pytest.raises(ValueError, match=r"a value of this graph \(data, n0, n1, sum\), got 'nope'. Choose"):
        coordinate_map(g, "nope")


def test_what_cannot_be_aligned():
    g = chain(Conv2d(1, 1, 2), Conv2d(1, 1, 1, stride=2), inputs=("data", "other"))
    g.add("moved", Pad((0, 2, 0, 2)), "data")
    g.add("lower", Crop((0, 1), (3, 3)), "moved")
    with pytest.raises(ValueError, match=r"two values computed from the same one, got 'n0' and 'other'. Nothing says"):
        alignment(g, "n0", "other")
    with pytest.raises(ValueError, match=r"'n1' and 'data' at one resolution, got scales 1/2 and 1. Upsample"):
        alignment(g, "n1", "data")
    with pytest.raises(ValueError, match=r"'n0' to lie whole pixels from 'data', got -1/2. Change a padding"):
        alignment(g, "n0", "data")
    with pytest.raises(ValueError, match=r"'lower' to begin above and left of 'data', got an offset of \(0, -1\)"):
        crop_offset(g, "lower", "data")
    assert alignment(g, "lower", "data") == (0, -1)
