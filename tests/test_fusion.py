"""Fused and unfused are the same network: the same bits forward and backward, the same Parameters under their names."""

import numpy as np
import pytest

import minifcn
from minifcn import Graph, models, optim
from minifcn.layers import (
    Add,
    BatchNorm2d,
    BatchNormReLU,
    Concat,
    Conv2d,
    ConvReLU,
    Dropout,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    SoftmaxCrossEntropy,
)


@pytest.fixture(autouse=True)
def array_kernels():
    with minifcn.use_kernels("array"):
        yield


def conv(i, o, k=3, rng=0, **options):
    return Conv2d(i, o, k, padding=k // 2, rng=rng, bias_init=minifcn.init.gaussian(0.1), **options)


def network(dtype=np.float32):
    """All that may be fused and some that may not: skips, a nested Graph, dropout, poolings; two outputs."""
    inner = Graph()
    inner.add("conv", conv(6, 6, rng=1, dtype=dtype), "data")
    inner.add("norm", BatchNorm2d(6, dtype=dtype), "conv")
    inner.add("relu", ReLU(), "norm")
    inner.add("drop", Dropout(0.4, rng=5), "relu")
    g = Graph()
    g.add("conv1", conv(3, 6, rng=2, dtype=dtype), "data")
    g.add("side", conv(3, 6, 1, rng=3, dtype=dtype), "data")
    g.add("side2", conv(3, 6, 3, rng=4, dtype=dtype), "data")
    g.add("relu1", ReLU(), "conv1")
    g.add("sum", Add(), "relu1", "side", "side2")
    g.add("pool", MaxPool2d(2), "sum")
    g.add("inner", inner, "pool")
    g.add("drop", Dropout(0.3, rng=6), "inner")
    g.add("conv2", conv(6, 4, rng=7, dtype=dtype), "drop")
    g.add("relu2", ReLU(), "conv2")  # reads what is an output too
    g.add("norm3", BatchNorm2d(4, dtype=dtype), "relu2")
    g.add("relu3", ReLU(), "norm3")
    g.outputs = ("relu3", "conv2")
    return g


def names(g):
    return [node.name for node in g.nodes]


def run(g, x, gys, seed=3):
    """Outputs, the image's gradient, all gradients, and the running statistics after it."""
    g.reseed(np.random.SeedSequence(seed))
    ys = g.forward(x, record=True)
    gx = g.backward(*gys)
    gradients = {name: p.grad for name, p in g.parameters().items()}
    for p in g.parameters().values():
        p.grad = None
    return ys, gx, gradients, {name: array.copy() for name, array in g.buffers().items()}


def assert_same(one, other):
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = one.values(), other.values()
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# The same bits.

@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_gradients_and_statistics_bit_for_bit(rng, dtype, training):
    plain, fused = network(dtype).train(training), minifcn.fuse(network(dtype)).train(training)
    assert len(fused.nodes) < len(plain.nodes)
    x = rng.normal(size=(2, 3, 8, 10)).astype(dtype)
    gys = [rng.normal(size=(2, 4, 4, 5)).astype(dtype) for _ in range(2)]
    for expected, found in zip(run(plain, x, gys), run(fused, x, gys), strict=True):
        assert_same(expected, found)


def test_five_training_steps_bit_for_bit(rng):
    trained = []
    x, target = rng.normal(size=(2, 3, 24, 20)).astype(np.float32), rng.integers(0, 4, (2, 24, 20))
    for fuse in (True, False):
        net = models.build("fcn8s", num_classes=4, width=1 / 32, padding="same", rng=0)
        runner = minifcn.fuse(net) if fuse else net
        optimizer, loss = optim.Adam(runner.parameters(), 0.01), SoftmaxCrossEntropy()
        losses = []
        for step in range(5):
            runner.reseed(np.random.SeedSequence([1, step]))
            losses.append(float(loss.forward(runner.forward(x), target)))
            runner.backward(loss.backward()[0], needs=(False,))
            optimizer.step()
            optimizer.zero_grad()
        assert len(set(losses)) == 5
        trained.append((losses, net.state(), optimizer.state()))
    assert trained[0][0] == trained[1][0]
    assert_same(trained[0][1], trained[1][1])
    assert_same(trained[0][2], trained[1][2])


def test_close_on_the_compiled_kernels(rng):
    x = rng.normal(size=(2, 3, 8, 10)).astype(np.float32)
    gys = [rng.normal(size=(2, 4, 4, 5)).astype(np.float32) for _ in range(2)]
    with minifcn.use_kernels("cpu"):
        expected, found = run(network(), x, gys), run(minifcn.fuse(network()), x, gys)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-3, atol=1e-3 * np.abs(expected[1]).max())
    for name, gradient in expected[2].items():
        np.testing.assert_allclose(found[2][name], gradient, rtol=1e-3, atol=1e-3 * np.abs(gradient).max() + 1e-5)


# What is fused.

def test_structure():
    g = network()
    fused = minifcn.fuse(g)
    assert names(fused) == ["relu1", "side", "side2", "sum", "pool", "inner", "drop", "conv2", "relu2", "relu3"]
    assert fused.outputs == ("relu3", "conv2")
    assert isinstance(fused["relu1"], ConvReLU)
    assert isinstance(fused["relu3"], BatchNormReLU)
    assert isinstance(fused["relu2"], ReLU)  # conv2 is an output
    assert names(fused["inner"]) == ["conv", "relu", "drop"]
    assert isinstance(fused["inner"]["relu"], BatchNormReLU)
    assert names(g["inner"]) == ["conv", "norm", "relu", "drop"]  # the original is as it was
    assert minifcn.fuse(fused) is fused
    assert minifcn.fuse(Graph()).outputs == ()


# With a ReLU behind: thirteen of VGG-16, five of AlexNet, three and nine times six of GoogLeNet; fc6 and fc7 where they
# are convolutions.
CONVOLUTIONS = {"vgg16": 13, "alexnet": 5, "fcn-alexnet": 7, "googlenet": 57, "fcn-googlenet": 57,
                **{name: 0 for name in models.MODELS if "segnet" in name},  # batch norm is between, and takes it in
                "alexnet-torchvision": 5, "googlenet-torchvision": 0,
                "enet": 0, "enet-encoder": 0, "unet-bn": 0,  # there, too
                "nyud-fcn32s-color-hha": 30, "unet": 18}  # and 15 in all other networks that stand on VGG-16
# ReLUs that stand behind something else: fully connected layers, and the sums of ENet's decoder.
LEFT = {**{name: ["relu6", "relu7"] for name in ("alexnet", "vgg16", "alexnet-torchvision")},
        "enet": ["bottleneck4_0", "bottleneck4_1", "bottleneck4_2", "bottleneck5_0", "bottleneck5_1"]}


def test_every_model_is_fused():
    for name in models.MODELS:
        net = models.build(name, num_classes=3, width=1 / 64)
        fused = minifcn.fuse(net)
        joined = sum(isinstance(node.layer, ConvReLU) for node in fused.nodes)
        left = [node.name for node in fused.nodes if type(node.layer) is ReLU]
        assert joined == CONVOLUTIONS.get(name, 15)
        assert left == LEFT.get(name, [])
        assert fused.outputs == net.outputs
        assert fused.architecture == net.architecture


class OwnConv(Conv2d):
    """A learner's."""


class OwnReLU(ReLU):
    """A learner's."""


@pytest.mark.parametrize(("first", "second"), [
    (OwnConv, ReLU), (Conv2d, OwnReLU), (Conv2d, LeakyReLU), (Conv2d, lambda: Conv2d(4, 4, 1)),
])
def test_other_types_are_left_alone(first, second):
    g = Graph()
    g.add("first", first(3, 4, 3), "data")
    g.add("second", second(), "first")
    assert [node.layer for node in minifcn.fuse(g).nodes] == [node.layer for node in g.nodes]


def test_a_learners_graph_is_left_alone():
    class Own(Graph):
        pass

    g, inner = Own(), Own()
    inner.add("conv", conv(3, 4), "data")
    inner.add("relu", ReLU(), "conv")
    g.add("inner", inner, "data")
    assert minifcn.fuse(g) is g
    outer = Graph()
    outer.add("inner", inner, "data")
    assert minifcn.fuse(outer)["inner"] is inner


@pytest.mark.parametrize("how", ["two readers", "read twice by one", "an output"])
def test_a_value_that_somebody_else_reads_is_kept(how):
    g = Graph()
    g.add("conv", conv(3, 4), "data")
    g.add("relu", ReLU(), "conv")
    if how == "two readers":
        g.add("cat", Concat(), "conv", "relu")
    elif how == "read twice by one":
        g.add("late", Add(), "conv", "conv")
    else:
        g.outputs = ("conv", "relu")
    assert "conv" in names(minifcn.fuse(g))


@pytest.mark.parametrize("how", ["layer", "parameter", "graph", "in a graph"])
def test_what_is_applied_several_times_is_left_alone(rng, how):
    g, shared = Graph(), conv(3, 3, dtype=np.float64)
    inner = Graph()
    inner.add("conv", shared, "data")
    inner.add("relu", ReLU(), "conv")
    other = conv(3, 3, rng=9, dtype=np.float64)
    other.weight = shared.weight
    first, second = {"layer": (shared, shared), "parameter": (shared, other), "graph": (inner, inner),
                     "in a graph": (shared, inner)}[how]
    g.add("first", first, "data")
    g.add("relu1", ReLU(), "first")
    g.add("second", second, "relu1")
    g.add("relu2", ReLU(), "second")
    fused = minifcn.fuse(g)
    assert names(fused) == names(g)
    if how == "graph":
        assert fused["first"] is fused["second"]
        assert names(fused["first"]) == ["conv", "relu"]
    x = rng.normal(size=(1, 3, 5, 6))
    gy = rng.normal(size=(1, 3, 5, 6))
    for expected, found in zip(run(g, x, [gy]), run(fused, x, [gy]), strict=True):
        assert_same(expected, found)


def test_one_relu_used_everywhere_is_no_obstacle(rng):
    g, relu = Graph(), ReLU()
    x = g.add("conv1", conv(3, 3, rng=1), "data")
    x = g.add("relu1", relu, x)
    x = g.add("conv2", conv(3, 3, rng=2), x)
    g.add("relu2", relu, x)
    assert names(minifcn.fuse(g)) == ["relu1", "relu2"]
    x, gy = (rng.normal(size=(1, 3, 5, 6)).astype(np.float32) for _ in range(2))
    for expected, found in zip(run(g, x, [gy]), run(minifcn.fuse(g), x, [gy]), strict=True):
        assert_same(expected, found)


def test_the_last_node_may_stand_before_others(rng):
    """Nodes between the two, and an output that is only the last node by default."""
    g = Graph()
    g.add("conv", conv(3, 4), "data")
    g.add("other", conv(3, 4, 1), "data")
    g.add("pool", MaxPool2d(2), "other")
    g.add("relu", ReLU(), "conv")
    fused = minifcn.fuse(g)
    assert names(fused) == ["relu", "other", "pool"]
    assert fused.outputs == g.outputs == ("relu",)
    x = rng.normal(size=(1, 3, 4, 6)).astype(np.float32)
    np.testing.assert_array_equal(fused.forward(x, record=False), g.forward(x, record=False))


# Everything in common.

def test_names_order_and_arrays_are_the_originals(rng):
    g = network()
    fused = minifcn.fuse(g)
    assert list(fused.parameters()) == list(g.parameters())
    assert list(fused.state()) == list(g.state())
    assert all(p is g.parameters()[name] for name, p in fused.parameters().items())
    assert all(array is g.state()[name] for name, array in fused.state().items())
    fused.load({name: np.full_like(array, 2) for name, array in g.state().items()})
    assert (g["inner"]["norm"].running_var == 2).all()
    assert (g["conv1"].weight.data == 2).all()


def test_modes_are_those_of_the_shared_layers(rng):
    g = network()
    fused = minifcn.fuse(g)
    assert fused.training
    assert fused.eval() is fused
    layers = [g["conv1"], g["inner"]["norm"], g["inner"]["drop"], g["norm3"], g["drop"]]
    assert not any(layer.training for layer in layers)
    assert not any(layer.training for layer in (fused, *fused.layers()))
    g.train()
    g["inner"]["norm"].eval()  # a batch norm that is frozen stays it, whoever runs
    before = g["inner"]["norm"].running_mean.copy()
    fused.forward(rng.normal(size=(2, 3, 8, 10)).astype(np.float32), record=False)
    np.testing.assert_array_equal(g["inner"]["norm"].running_mean, before)
    assert g["norm3"].running_mean.any()
    assert not minifcn.fuse(network().eval()).training


def test_open_forwards_are_noticed_and_discarded(rng):
    fused = minifcn.fuse(network())
    x = rng.normal(size=(2, 3, 8, 10)).astype(np.float32)
    fused.forward(x)
    with pytest.raises(RuntimeError, match=r"Graph.forward: expected every recorded forward to be backed out"):
        fused.forward(x)
    fused.discard()
    assert not fused._has_open_caches()
    ys = fused.forward(x)
    fused.backward(*ys)
    assert not fused._has_open_caches()


def test_the_same_random_numbers_from_the_same_seed(rng):
    x = rng.normal(size=(2, 3, 8, 10)).astype(np.float32)
    results = []
    for g in (network(), minifcn.fuse(network())):
        for seed in (1, 1, 2):
            g.reseed(np.random.SeedSequence(seed))
            results.append(g.forward(x, record=False)[1])  # conv2, behind both dropouts
    same, other = [results[0], results[1], results[3], results[4]], [results[2], results[5]]
    assert all(np.array_equal(y, same[0]) for y in same)
    np.testing.assert_array_equal(*other)
    assert (same[0] != other[0]).any()


def test_conversion_of_one_is_conversion_of_both(rng):
    g = network()
    fused = minifcn.fuse(g)
    assert fused.to(dtype=np.float64) is fused
    assert {array.dtype for array in g.state().values()} == {np.dtype(np.float64)}
    x = rng.normal(size=(2, 3, 8, 10))
    np.testing.assert_array_equal(fused.eval().forward(x)[0], g.eval().forward(x)[0])


def test_a_fused_network_is_saved_as_the_original(rng, tmp_path):
    net = models.build("fcn8s", num_classes=3, width=1 / 64, padding="same", rng=0)
    minifcn.save(tmp_path / "plain", net)
    minifcn.save(tmp_path / "fused", minifcn.fuse(net))
    (plain, meta), (fused, same_meta) = minifcn.load(tmp_path / "plain"), minifcn.load(tmp_path / "fused")
    assert meta == same_meta
    assert plain.architecture == fused.architecture
    assert list(plain.state()) == list(fused.state())
    assert all(np.array_equal(array, fused.state()[name]) for name, array in plain.state().items())
