"""What a Graph is made of: how it is built and read, its parameters and modes, and how numbers get into it."""

import numpy as np
import pytest

from minifcn import Graph
from minifcn.layers import Add, BatchNorm2d, Conv2d, Dropout, Layer, MaxPool2d, ReLU


def small(dtype=np.float64):
    """conv -> norm -> a nested graph with another of each, and dropout."""
    inner = Graph()
    inner.add("conv", Conv2d(3, 3, 1, bias=False, rng=1, dtype=dtype), "data")
    inner.add("norm", BatchNorm2d(3, dtype=dtype), "conv")
    g = Graph()
    g.add("conv", Conv2d(2, 3, (1, 2), rng=2, dtype=dtype), "data")
    g.add("norm", BatchNorm2d(3, dtype=dtype), "conv")
    g.add("inner", inner, "norm")
    g.add("drop", Dropout(0.5, rng=3), "inner")
    return g


PARAMETERS = ["conv.weight", "conv.bias", "norm.weight", "norm.bias", "inner.conv.weight", "inner.norm.weight",
              "inner.norm.bias"]
BUFFERS = ["norm.running_mean", "norm.running_var", "inner.norm.running_mean", "inner.norm.running_var"]


def snapshot(g):
    return {name: array.copy() for name, array in g.state().items()}


def assert_same(state, other):
    assert list(state) == list(other)
    for name, array in state.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
        assert array.dtype == other[name].dtype


# Building and reading.

@pytest.mark.parametrize(("name", "inputs", "message"), [
    ("conv", ("data",), r"Graph.add: expected a new name without a dot, got 'conv'. Choose another"),
    ("data", ("conv",), r"a new name without a dot, got 'data'"),
    ("a.b", ("data",), r"a new name without a dot, got 'a.b'"),
    ("", ("data",), r"a new name without a dot, got ''"),
    ("late", ("conv", "nope"), r"inputs of 'late' among data, conv, norm, inner, drop, got 'nope'. Add the node"),
    ("late", (), r"the names of what 'late' reads, got none. Name at least one"),
])
def test_add_refuses(name, inputs, message):
    g = small()
    with pytest.raises(ValueError, match=message):
        g.add(name, ReLU(), *inputs)
    assert [node.name for node in g.nodes] == ["conv", "norm", "inner", "drop"]


def test_names():
    g = Graph(inputs="image")
    assert g.inputs == ("image",)
    assert g.add("pool", MaxPool2d(2, return_indices=True), "image") == "pool"
    assert g.known_values() == ("image", "pool", "pool.record")
    assert g.outputs == ("pool",)
    g.add("relu", ReLU(), "pool")
    assert g.outputs == ("relu",)  # the last node, unless said otherwise
    g.outputs = ["pool.record", "relu"]
    assert g.outputs == ("pool.record", "relu")
    assert isinstance(g["relu"], ReLU)
    with pytest.raises(ValueError, match=r"Graph.outputs: expected names among image, pool, .*, got 'nope'. Choose"):
        g.outputs = ("relu", "nope")
    with pytest.raises(KeyError, match=r"expected one of pool, relu, got 'nope'"):
        g["nope"]
    assert repr(g).splitlines()[2] == "  relu  ReLU()  <- pool"


def test_wrong_numbers_of_arrays(rng):
    g, x = Graph(inputs=("a", "b")), rng.normal(size=(1, 1, 2, 3))
    with pytest.raises(ValueError, match=r"Graph.forward: expected at least one node, got none. Add layers"):
        g.forward(x, x)
    g.add("sum", Add(), "a", "b")
    with pytest.raises(ValueError, match=r"Graph.forward: expected 2 arrays \(a, b\), got 1. Pass one for each"):
        g.forward(x)
    g.forward(x, x)
    with pytest.raises(ValueError, match=r"Graph.backward: expected 1 gradients \(sum\), got 2. Pass one for each"):
        g.backward(x, x)


def test_an_error_names_the_layer(rng):
    class Picky(Layer):
        def _forward(self, x):
            raise np.exceptions.DTypePromotionError("no common type")  # a TypeError of NumPy's own

    g = Graph()
    g.add("inner", small(), "data")
    with pytest.raises(ValueError, match=r"layer 'inner': layer 'conv': conv2d: expected .* 2 .*channels.*got .*5"):
        g.forward(rng.normal(size=(1, 5, 3, 4)))
    with pytest.raises(TypeError, match=r"layer 'inner': layer 'conv': conv2d: expected x .*float.*got int64"):
        g.forward(np.ones((1, 2, 3, 4), np.int64))
    picky = Graph()
    picky.add("picky", Picky(), "data")
    with pytest.raises(TypeError, match="layer 'picky': no common type"):
        picky.forward(rng.normal(size=(1, 2, 3, 4)))


def test_walk_yields_every_value_in_order(rng):
    g, x = small().eval(), rng.normal(size=(1, 2, 3, 4))
    steps = list(g.walk(x))
    assert [name for name, _ in steps] == ["conv", "norm", "inner", "drop"]
    np.testing.assert_array_equal(steps[-1][1], g.forward(x))
    np.testing.assert_array_equal(steps[0][1], g["conv"].forward(x))


# Parameters, buffers, and the modes.

def test_dotted_names_in_order():
    g = small()
    assert list(g.parameters()) == PARAMETERS
    assert list(g.buffers()) == BUFFERS
    assert list(g.state()) == PARAMETERS + BUFFERS
    assert g.state()["inner.conv.weight"] is g["inner"]["conv"].weight.data
    assert not g.architecture


def test_modes_reach_every_layer():
    g = small()
    layers = [g, *(node.layer for node in g.nodes), *(node.layer for node in g["inner"].nodes)]
    assert all(layer.training for layer in layers)
    assert g.eval() is g
    assert not any(layer.training for layer in layers)
    assert g.train() is g
    assert all(layer.training for layer in layers)


def test_reseeding_repeats_the_masks(rng):
    x = rng.normal(size=(1, 2, 6, 7))

    def masks(g, seed):
        g.reseed(np.random.SeedSequence(seed))
        return [np.array(g.forward(x, record=False)) == 0 for _ in range(2)]

    g = Graph()
    g.add("one", Dropout(0.5), "data")
    g.add("two", Dropout(0.5), "data")
    g.add("three", Dropout(0.5), "one")
    g.outputs = ("one", "two", "three")
    first, again, other = (np.array(masks(g, seed)) for seed in (5, 5, 6))  # (2 forwards, 3 outputs, N, C, H, W)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()  # within one seed the numbers go on
    assert (first[0, 0] != first[0, 1]).any()  # and each layer has its own


def test_frozen_weights_cannot_be_written(rng):
    g = small()
    assert g.freeze() is g
    for name in ("conv.bias", "inner.conv.weight"):
        with pytest.raises(ValueError, match="read-only"):
            g.parameters()[name].data[...] = 0
    x = rng.normal(size=(1, 2, 3, 4))
    assert g.eval().forward(x).shape == (1, 3, 3, 3)
    g.unfreeze().parameters()["inner.conv.weight"].data[...] = 0
    assert not g.forward(x).any()


# Numbers from elsewhere.

def test_load_copies_into_the_arrays(rng):
    g, other = small(), small()
    for array in other.state().values():
        array[...] = rng.normal(size=array.shape)
    weight, saved = g["conv"].weight.data, snapshot(other)
    g.load(other.state())
    assert g["conv"].weight.data is weight
    assert_same(g.state(), saved)
    other["conv"].weight.data[...] = 0
    assert_same(g.state(), saved)


@pytest.mark.parametrize(("change", "message"), [
    ({"conv.weight": None}, r"conv.weight is missing \(1 faults\). Build the network"),
    ({"inner.norm.running_var": None}, "inner.norm.running_var is missing"),
    ({"conv9.weight": np.ones(1)}, "conv9.weight is unknown"),
    ({"conv.bias": np.ones((3, 1))}, r"conv.bias is \(3, 1\) float64 instead of \(3,\) float64"),
    ({"norm.bias": np.ones(3, np.float32)}, r"norm.bias is \(3,\) float32 instead of \(3,\) float64"),
    ({f"x{k}": np.ones(1) for k in range(7)}, r"x0 is unknown; .*x4 is unknown \.\.\. \(7 faults\)"),
])
def test_load_changes_nothing_when_something_does_not_fit(rng, change, message):
    g = small()
    state = {name: rng.normal(size=array.shape) for name, array in g.state().items()} | change
    before = snapshot(g)
    with pytest.raises(ValueError, match=message):
        g.load({name: array for name, array in state.items() if array is not None})
    assert_same(g.state(), before)


def test_conversion_to_another_dtype(rng):
    g = small()
    x = rng.normal(size=(1, 2, 3, 4))
    y = g.eval().forward(x, record=True)
    g.backward(y)
    wanted = {name: array.astype(np.float32) for name, array in g.state().items()}
    assert g.to(dtype=np.float32) is g
    assert_same(g.state(), wanted)
    assert all(p.grad is None for p in g.parameters().values())
    single = g.forward(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, y, rtol=1e-4, atol=1e-5)
    assert g.to(device="cpu")["conv"].weight.data.dtype == np.float32
