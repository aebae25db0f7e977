"""The Graph at work: forward in order, backward in reverse, held to the same network written out by hand with ops."""

import numpy as np
import pytest

from minifcn import Graph, Parameter, ops
from minifcn.layers import Add, Concat, Conv2d, Layer, MaxPool2d, MaxUnpool2d, ReLU, Scale


class Spy(Layer):
    """Passes everything through and counts how often it is run and backed out."""

    def __init__(self):
        super().__init__()
        self.forwards = self.backwards = 0

    def _forward(self, x):
        self.forwards += 1
        return x + 0, None

    def _backward(self, cache, needs, gy):
        self.backwards += 1
        return gy + 0


def conv(i, o, k=1, **options):
    """A convolution with a bias that is not zero."""
    return Conv2d(i, o, k, dtype=np.float64, **{"rng": 10 * i + o, "bias_init": lambda s, r, d: r.normal(size=s)}
                  | options)


def diamond():
    """data -> conv1 -> relu1 -> conv2, conv3 -> add; both the sum and relu1 are outputs."""
    g = Graph()
    g.add("conv1", conv(2, 3, 3, padding=(0, 1), stride=(2, 1)), "data")
    g.add("relu1", ReLU(), "conv1")
    g.add("conv2", conv(3, 4), "relu1")
    g.add("conv3", conv(3, 4, (1, 3), padding=(0, 1)), "relu1")
    g.add("add", Add(), "conv2", "conv3")
    g.outputs = ("add", "relu1")
    return g


def by_hand(g, x, gsum, grelu):
    """The diamond's outputs and all its gradients, composed from ops."""
    p = {name: parameter.data for name, parameter in g.parameters().items()}
    a, cache1 = ops.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=(0, 1), stride=(2, 1))
    r, cache_r = ops.relu(a)
    y2, cache2 = ops.conv2d(r, p["conv2.weight"], p["conv2.bias"])
    y3, cache3 = ops.conv2d(r, p["conv3.weight"], p["conv3.bias"], padding=(0, 1))
    gr2, gw2, gb2 = ops.conv2d_backward(gsum, cache2)
    gr3, gw3, gb3 = ops.conv2d_backward(gsum, cache3)
    gx, gw1, gb1 = ops.conv2d_backward(ops.relu_backward(gr2 + gr3 + grelu, cache_r), cache1)
    return (y2 + y3, r), gx, dict(zip(p, (gw1, gb1, gw2, gb2, gw3, gb3), strict=True))


def test_forward_and_backward_are_the_composition(rng):
    g, x = diamond(), rng.normal(size=(2, 2, 5, 4))
    y, relu = g.forward(x)
    gsum, grelu = rng.normal(size=y.shape), rng.normal(size=relu.shape)
    gx = g.backward(gsum, grelu)
    (sum_by_hand, relu_by_hand), gx_by_hand, gradients = by_hand(g, x, gsum, grelu)
    np.testing.assert_allclose(y, sum_by_hand, rtol=1e-13)
    np.testing.assert_allclose(relu, relu_by_hand, rtol=1e-13)
    np.testing.assert_allclose(gx, gx_by_hand, rtol=1e-12)
    assert list(gradients) == list(g.parameters())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(g.parameters()[name].grad, gradient, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("dead", ["add", "relu1"])
def test_an_output_that_the_loss_does_not_see_has_none_as_gradient(rng, dead):
    g, x = diamond(), rng.normal(size=(2, 2, 5, 4))
    y, relu = g.forward(x)
    gsum, grelu = rng.normal(size=y.shape), rng.normal(size=relu.shape)
    if dead == "add":
        gx = g.backward(None, grelu)
        expected, used = by_hand(g, x, 0 * gsum, grelu)[1:], {"conv1.weight", "conv1.bias"}
    else:
        gx = g.backward(gsum, None)
        expected, used = by_hand(g, x, gsum, 0 * grelu)[1:], set(g.parameters())
    np.testing.assert_allclose(gx, expected[0], rtol=1e-12)
    assert {name for name, p in g.parameters().items() if p.grad is not None} == used
    assert not g._has_open_caches()


def test_a_value_read_twice_by_one_node(rng):
    g = Graph()
    g.add("double", Add(), "data", "data")
    x, gy = rng.normal(size=(1, 2, 3, 4)), rng.normal(size=(1, 2, 3, 4))
    np.testing.assert_array_equal(g.forward(x), x + x)
    given = gy.copy()
    np.testing.assert_array_equal(g.backward(gy), 2 * given)
    np.testing.assert_array_equal(gy, given)  # summed, but not in place


def test_gradients_of_an_input_that_is_also_an_output(rng):
    g = Graph(inputs=("a", "b"))
    g.add("sum", Add(), "a", "b")
    g.outputs = ("sum", "a")
    a, b, gsum, ga = (rng.normal(size=(1, 1, 2, 3)) for _ in range(4))
    y, same = g.forward(a, b)
    assert same is a
    np.testing.assert_array_equal(y, a + b)
    gx_a, gx_b = g.backward(gsum, ga)
    np.testing.assert_array_equal(gx_a, gsum + ga)
    np.testing.assert_array_equal(gx_b, gsum)


# What nobody needs is not computed.

def test_backward_stops_where_nothing_below_trains(rng):
    spies = [Spy() for _ in range(4)]
    g = Graph()
    g.add("spy0", spies[0], "data")
    g.add("frozen", conv(2, 3), "spy0")
    g.add("spy1", spies[1], "frozen")
    g.add("conv", conv(3, 2), "spy1")
    g.add("spy2", spies[2], "conv")
    g.add("side", spies[3], "data")  # a branch without anything that trains
    g.add("sum", Add(), "spy2", "side")
    for p in g["frozen"].parameters().values():
        p.lr_mult = 0.0
    x = rng.normal(size=(1, 2, 3, 4))
    gy = rng.normal(size=g.forward(x).shape)
    assert g.backward(gy, needs=(False,)) is None
    assert [spy.backwards for spy in spies] == [0, 0, 1, 0]
    assert g["conv"].weight.grad is not None
    assert g["frozen"].weight.grad is None
    assert not g._has_open_caches()

    g.forward(x)
    gx = g.backward(gy)  # the image's gradient wanted: now everything is backed out
    assert [spy.backwards for spy in spies] == [1, 1, 2, 1]
    assert gx.shape == x.shape
    assert g["frozen"].weight.grad is None


def test_backward_stops_even_above_a_layer_that_gives_more_than_it_is_asked_for(rng):
    spy, g = Spy(), Graph()
    stubborn = Spy()  # pays no heed to `needs`
    stubborn.weight = Parameter(np.zeros(1))
    g.add("spy", spy, "data")
    g.add("stubborn", stubborn, "spy")
    assert g.backward(g.forward(rng.normal(size=(1, 1, 2, 3))), needs=(False,)) is None
    assert (stubborn.backwards, spy.backwards) == (1, 0)
    assert not g._has_open_caches()


def test_needs_picks_the_inputs(rng):
    g = Graph(inputs=("a", "b"))
    g.add("cat", Concat(), "a", "b")
    xs = rng.normal(size=(1, 2, 2, 3)), rng.normal(size=(1, 1, 2, 3))
    gy = rng.normal(size=g.forward(*xs).shape)
    ga, gb = g.backward(gy, needs=(False, True))
    assert ga is None
    np.testing.assert_array_equal(gb, gy[:, 2:])
    g.forward(*xs)
    with pytest.raises(ValueError, match=r"Graph.backward: expected needs with 2 values.* got 1. Pass"):
        g.backward(gy, needs=(False,))
    g.backward(gy)  # the mistake cost nothing


def test_nodes_behind_the_outputs_are_not_run(rng):
    g, spy = diamond(), Spy()
    g.add("late", spy, "add")
    g.outputs = "conv2"
    g["conv3"]._forward = None  # would raise
    x = rng.normal(size=(1, 2, 5, 4))
    y = g.forward(x)
    assert y.shape == (1, 4, 2, 4)
    assert [name for name, _ in g.walk(x)] == ["conv1", "relu1", "conv2"]
    assert g.backward(y).shape == x.shape
    assert g["conv3"].weight.grad is None
    assert (spy.forwards, spy.backwards) == (0, 0)


# Pooling and its record, nested graphs.

def test_pooling_gives_its_record_to_unpooling(rng):
    g = Graph()
    g.add("pool1", MaxPool2d(2, return_indices=True, ceil_mode=True), "data")
    g.add("scale", Scale(3.0), "pool1")
    g.add("unpool1", MaxUnpool2d(), "scale", "pool1.record")
    x, gy = rng.normal(size=(2, 1, 5, 3)), rng.normal(size=(2, 1, 5, 3))
    maxima = np.zeros_like(x)  # 3 where x is the largest of its window, by brute force
    for n, top, left in np.ndindex(2, 3, 2):
        window = x[n, 0, 2 * top:2 * top + 2, 2 * left:2 * left + 2]
        row, column = np.unravel_index(window.argmax(), window.shape)
        maxima[n, 0, 2 * top + row, 2 * left + column] = 3
    np.testing.assert_allclose(g.forward(x), maxima * x)
    np.testing.assert_allclose(g.backward(gy), maxima * gy)
    assert [name for name, _ in g.walk(x)] == ["pool1", "pool1.record", "scale", "unpool1"]


def test_nested_graphs_are_layers(rng):
    inner, outer = diamond(), Graph()
    outer.add("scale", Scale(2.0), "data")
    outer.add("inner", inner, "scale")
    outer.add("late", conv(3, 4), "inner.relu1")
    outer.add("sum", Add(), "inner", "late")
    x = rng.normal(size=(2, 2, 5, 4))
    y = outer.forward(x)
    gy = rng.normal(size=y.shape)
    gx = outer.backward(gy)

    late, cache = ops.conv2d(by_hand(inner, 2 * x, gy, 0)[0][1], *(p.data for p in outer["late"].parameters().values()))
    grelu, _, _ = ops.conv2d_backward(gy, cache)
    (total, _), gx_by_hand, gradients = by_hand(inner, 2 * x, gy, grelu)
    np.testing.assert_allclose(y, total + late, rtol=1e-13)
    np.testing.assert_allclose(gx, 2 * gx_by_hand, rtol=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(outer.parameters()[f"inner.{name}"].grad, gradient, rtol=1e-12)


@pytest.mark.parametrize("nested", [False, True])
def test_one_layer_or_graph_placed_twice(rng, nested):
    shared = conv(2, 2)
    if nested:
        layer = Graph(inputs="x")
        layer.add("conv", shared, "x")
    else:
        layer = shared
    g = Graph()
    g.add("first", layer, "data")
    g.add("relu", ReLU(), "first")
    g.add("second", layer, "relu")
    x = rng.normal(size=(1, 2, 3, 4))
    gy = rng.normal(size=g.forward(x).shape)
    g.backward(gy)
    weight, bias = shared.weight.data, shared.bias.data
    y, cache1 = ops.conv2d(x, weight, bias)
    r, cache_r = ops.relu(y)
    _, cache2 = ops.conv2d(r, weight, bias)
    gr, gweight2, gbias2 = ops.conv2d_backward(gy, cache2)
    _, gweight1, gbias1 = ops.conv2d_backward(ops.relu_backward(gr, cache_r), cache1)
    np.testing.assert_allclose(shared.weight.grad, gweight1 + gweight2, rtol=1e-12)
    np.testing.assert_allclose(shared.bias.grad, gbias1 + gbias2, rtol=1e-12)
    prefix = "first.conv" if nested else "first"
    assert list(g.parameters()) == [f"{prefix}.weight", f"{prefix}.bias"]
