"""Whole networks: sampled probes, kinks under watch, and faults that only show where layers meet."""

import numpy as np
import pytest

from minifcn import gradcheck, init
from minifcn.gradcheck.network import Watched, check_model, check_network, randomise
from minifcn.graph import Graph
from minifcn.layers import (
    Add,
    BatchNorm2d,
    Conv2d,
    Dropout,
    LeakyReLU,
    MaxPool2d,
    MaxUnpool2d,
    PReLU,
    ReLU,
    SpatialDropout,
)
from minifcn.models import MODELS, build
from minifcn.testing import tie_free

F64 = {"dtype": np.float64, "rng": 3}
X = tie_free((2, 2, 7, 9))


def small_net():
    """Every kind of kink, batch norm after a bias, both dropouts, a value that is read twice, a Graph in the Graph."""
    inner = Graph(inputs=("x",))
    inner.add("conv", Conv2d(4, 4, 3, padding=1, **F64), "x")
    inner.add("leaky", LeakyReLU(0.1), "conv")
    net = Graph()
    net.add("conv1", Conv2d(2, 4, 3, padding=1, bias_init=init.gaussian(1), **F64), "data")
    net.add("norm1", BatchNorm2d(4, dtype=np.float64), "conv1")
    net.add("relu1", ReLU(), "norm1")
    net.add("pool1", MaxPool2d((3, 2), (2, 2), (1, 0), return_indices=True, ceil_mode=True), "relu1")
    net.add("inner", inner, "pool1")
    net.add("drop", Dropout(0.3, rng=1), "inner")
    net.add("unpool", MaxUnpool2d(), "drop", "pool1.record")
    net.add("drop2", SpatialDropout(0.3, rng=2), "unpool")
    net.add("sum", Add(), "drop2", "relu1")
    net.add("prelu", PReLU(4, dtype=np.float64), "sum")
    net.add("score", Conv2d(4, 3, 1, weight_init=init.zero, **F64), "prelu")
    randomise(net, np.random.default_rng(0))
    return net


def test_a_right_network_passes_and_is_left_alone():
    net = small_net()
    before = {name: array.copy() for name, array in net.state().items()}
    report = check_network(net, X, samples=8)
    report.raise_if_failed()
    assert {tensor.name for tensor in report.tensors} == {"x", *net.parameters(), "directions"}
    bias = next(tensor for tensor in report.tensors if tensor.name == "conv1.bias")
    assert bias.largest < report.floor  # batch norm takes it away again
    assert "conv1.bias" in report.message()
    assert "zero but for rounding" in report.message()
    assert all(np.array_equal(array, before[name]) for name, array in net.state().items())
    assert all("_forward" not in vars(layer) for layer in net.layers())
    assert all(not layer._caches for layer in net.layers())
    assert net["pool1"].return_indices is True


def test_every_element_of_a_small_network():
    assert check_network(small_net(), X, samples=None).passed


def test_patterns_tell_open_relus_and_winners():
    net = Graph()
    net.add("relu", ReLU(), "data")
    net.add("pool", MaxPool2d((1, 2)), "relu")
    watched = Watched(net)
    y = watched.forward(np.array([[[[1.0, 2.0, -1.0, 3.0]]]]), record=False)
    assert y.ravel().tolist() == [2, 3]
    is_open, winners = watched.patterns()
    assert is_open.ravel().tolist() == [True, True, False, True]
    assert winners.ravel().tolist() == [1, 3]
    assert net["pool"].return_indices is False


def test_where_every_sample_crosses_a_kink_it_looks_closer():
    net = Graph()
    net.add("relu", ReLU(), "data")
    x = np.full((1, 1, 2, 2), 3e-7)  # nearer to the kink than a probe of 1e-6 reaches, but not than a closer one
    report = check_network(net, x, samples=2)
    report.raise_if_failed()
    (found,) = (tensor for tensor in report.tensors if tensor.name == "x")
    assert (found.elements, found.kinks) == (2, 4)


@pytest.mark.parametrize("fault", ["relu", "pool", "sum"])
def test_faults_are_seen(fault, monkeypatch):
    if fault == "relu":  # lets the gradient through where it is closed
        monkeypatch.setattr(ReLU, "_backward", lambda self, cache, needs, gy: gy)
    if fault == "pool":  # loses half of it
        right = MaxPool2d._backward
        monkeypatch.setattr(MaxPool2d, "_backward", lambda self, *given: right(self, *given) / 2)
    if fault == "sum":  # forgets one of the two readers of a value
        monkeypatch.setattr("minifcn.graph._add", lambda gradients, name, gy: gradients.setdefault(name, gy))
    assert not check_network(small_net(), X, samples=4).passed


def test_a_published_model_passes():
    check_model("fcn8s", samples=1).raise_if_failed()


# Probes of each tensor where 20 would take minutes: batch norm and PReLU make hundreds of small tensors, and each of
# these layers costs as much to call as to compute. Besides, all their gradients are PyTorch's in tests/parity.
FEWER = dict.fromkeys(("googlenet-torchvision", "segnet", "bayesian-segnet", "enet", "enet-encoder"), 2)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in MODELS if name not in FEWER])
def test_all_published_models_pass(name):
    (result,) = gradcheck.run([name])
    assert result.passed, result.failure


@pytest.mark.full
@pytest.mark.parametrize(("name", "samples"), FEWER.items())
def test_the_dearest_models_pass_by_fewer_probes(name, samples):
    check_model(name, samples=samples).raise_if_failed()


def test_randomise_leaves_no_trained_number_at_zero_and_no_frozen_one_changed():
    net = build("fcn8s", num_classes=3, width=1 / 32, padding="same", rng=0)
    frozen = {name: p.data.copy() for name, p in net.parameters().items() if not p.trains}
    assert not all(p.data.all() for p in net.parameters().values() if p.trains)
    randomise(net, np.random.default_rng(0))
    assert all(p.data.all() and p.data.dtype == np.float32 for p in net.parameters().values() if p.trains)
    assert frozen
    assert all(np.array_equal(net.parameters()[name].data, data) for name, data in frozen.items())
