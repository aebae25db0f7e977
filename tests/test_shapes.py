"""Shapes by arithmetic, against what really comes out of every layer and every network."""

import numpy as np
import pytest

from minifcn import Graph, init, layers, models
from minifcn.gradcheck.cases import ROWS
from minifcn.layers import Conv2d, MaxPool2d, MaxUnpool2d, PoolRecord, ReLU
from minifcn.shapes import input_channels, output_shapes, shapes_of

LOSSES = {"SoftmaxCrossEntropy"}  # not part of a network


def shape_of(value):
    """Of an array; of a record of pooled places, what was pooled."""
    return (*value.indices.shape[:2], *value.size) if isinstance(value, PoolRecord) else value.shape


@pytest.mark.parametrize("name", sorted(ROWS.keys() - LOSSES))
def test_every_layer(name):
    """In every configuration that the gradient check knows: anisotropic, padded, dilated, with remainders."""
    for layer, inputs in ROWS[name]():
        layer.eval()
        ys = layer.forward(*inputs)
        found = output_shapes(layer, *map(shape_of, inputs))
        assert found == tuple(map(shape_of, ys if isinstance(ys, tuple) else (ys,))), layer


def test_no_layer_is_left_out():
    kinds = {name for name in layers.__all__ if name not in {"Layer", "Parameter", "PoolRecord"}}
    assert kinds - LOSSES == ROWS.keys() - LOSSES  # and these the test above has been through


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model(name):
    model = models.MODELS[name]
    net = models.build(name, num_classes=2, width=1 / 64).eval()
    sizes = [(37, 50), (64, 33)] if model.least == 1 else [(model.least, model.size)]
    for size in [(model.crops["paper"],) * 2] if model.crops else sizes:
        shapes = shapes_of(net, size, batch=2)
        xs = [np.zeros(shapes[value], np.float32) for value in net.inputs]
        seen = {value: shape_of(y) for value, y in net.walk(*xs)}
        assert seen == {value: shape for value, shape in shapes.items() if value not in net.inputs}


def test_at_full_width_nothing_is_computed():
    with init.shapes_only():
        net = models.build("fcn32s")
    shapes = shapes_of(net, (5000, 5000))  # its activations would take 100 GiB
    assert shapes["fc6"] == (1, 4096, 157, 157)
    assert shapes["score"] == (1, 21, 5000, 5000)


def test_graphs_nest_and_places_are_recorded():
    inner = Graph(("image", "other"))
    inner.add("conv", Conv2d(4, 6, 3), "other")
    inner.outputs = ("conv", "image")
    g = Graph()
    g.add("conv1", Conv2d(5, 4, 1), "data")
    g.add("pool", MaxPool2d(2, return_indices=True, ceil_mode=True), "conv1")
    g.add("inner", inner, "pool", "conv1")
    g.add("up", MaxUnpool2d(), "pool", "pool.record")
    g.outputs = ("inner", "inner.image", "up")
    shapes = shapes_of(g, (7, 9), batch=3)
    ys = g.forward(np.zeros((3, 5, 7, 9), np.float32), record=False)
    assert [shapes[name] for name in g.outputs] == [y.shape for y in ys]
    assert shapes["pool.record"] == (3, 4, 7, 9)


@pytest.mark.parametrize(("layer", "channels"), [
    (Conv2d(4, 2, 1), 4), (layers.ConvTranspose2d(5, 2, 2), 5), (layers.BatchNorm2d(7), 7), (ReLU(), 3),
])
def test_channels_of_an_input(layer, channels):
    g = Graph(("other", "data"))
    g.add("elsewhere", Conv2d(9, 1, 1), "other")
    g.add("before", layers.Pad((1, 1, 1, 1)), "data")
    g.add("layer", layer, "before")
    assert (input_channels(g, "data"), input_channels(g, "other")) == (channels, 9)
    nested = Graph()
    nested.add("g", g, "data", "data")
    assert input_channels(nested, "data") == 9


class Own(layers.Layer):
    """A learner's."""


@pytest.mark.parametrize(("layer", "inputs", "message"), [
    (Conv2d(3, 2, 5), ("data",), r"layer 'it': conv2d: expected an input of at least 5x5 .* got 4x6\. Use a larger"),
    (Conv2d(2, 2, 1), ("data", ), None),
    (layers.Crop(3, 2), ("data",), r"layer 'it': crop: expected a rectangle inside the image of 4x6, got offset"),
    (layers.Add(), ("data", "half"), r"layer 'it': add: expected arrays of equal shapes, got \(1, 3, 4, 6\) and \(1, "),
    (layers.Concat(), ("data", "half"), r"layer 'it': concat: expected arrays of equal shapes apart from axis 1"),
    (layers.Linear(12, 2), ("data",), r"layer 'it': linear: expected rows of 12 numbers, got an input of shape \(1, 3"),
    (layers.ConvTranspose2d(2, 2, 2), ("half",), r"layer 'it': ConvTranspose2d: expected an input of 2 channels"),
    (Own(), ("data",), r"layer 'it': output_shapes: expected a layer whose output shape is known, got Own\. Say what"),
])
def test_what_does_not_fit(layer, inputs, message):
    g = Graph()
    if message is None:  # the channels are those that the first layer wants, so that it always fits
        g.add("it", layer, "data")
        assert shapes_of(g, (4, 6))["it"] == (1, 2, 4, 6)
        return
    g.add("first", Conv2d(3, 3, 1), "data")
    g.add("half", MaxPool2d(2), "first")
    g.add("it", layer, *inputs)
    with pytest.raises(ValueError, match=message):
        shapes_of(g, (4, 6))


def test_rows_of_numbers_are_no_maps():
    with pytest.raises(ValueError, match=r"expected maps \(N, C, H, W\), got shape \(1, 2\)\. Put such layers before"):
        output_shapes(MaxPool2d(2), (1, 2))
