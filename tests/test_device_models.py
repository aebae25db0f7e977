"""Every network of the registry on a GPU, the stand-in for one: scores and gradients are NumPy's bit for bit."""

import numpy as np
import pytest

from minifcn import models
from minifcn.arrays import to_device
from minifcn.enlarging import size_taken
from minifcn.fusion import fuse
from minifcn.gradcheck.network import randomise
from minifcn.models import MODELS, build, same_padding

SIZE = (33, 41)


def network(name):
    net = build(name, num_classes=3, width=1 / 64, rng=0, **same_padding(name))
    randomise(net, np.random.default_rng(1))
    return net


def inputs(name, net):
    model, rng = MODELS[name], np.random.default_rng(2)
    size = (min(model.crops.values()),) * 2 if model.crops else size_taken(net, SIZE)  # a classifier has its own
    return [rng.normal(size=(2, channels, *size)).astype(np.float32) for channels in model.channels]


def results(net, runner, xs, gy_of):
    net.reseed(np.random.SeedSequence(3))
    y = runner.forward(*xs, record=True)
    ys = y if isinstance(y, tuple) else (y,)
    runner.backward(*(gy_of(k, y) for k, y in enumerate(ys)), needs=(False,) * len(net.inputs))
    return [*ys, *(p.grad for p in net.parameters().values()), *net.state().values()]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_a_network_computes_what_it_does_on_numpy(name, fused, cupy):
    net = network(name)
    xs = inputs(name, net)
    gys = [np.random.default_rng(4 + k).normal(size=y.shape).astype(np.float32)
           for k, y in enumerate(as_tuple(net.eval().forward(*xs)))]
    net.train()
    wanted = results(net, fuse(net) if fused else net, xs, lambda k, y: gys[k])
    twin = network(name).to(device="cuda")
    there, gys_there = [to_device(x, "cuda") for x in xs], [to_device(gy, "cuda") for gy in gys]
    before = len(cupy.stand_in.copies)
    got = results(twin, fuse(twin) if fused else twin, there, lambda k, y: gys_there[k])
    copies = [(copy.way, copy.where) for copy in cupy.stand_in.copies[before:]]
    assert set(copies) <= {("in", "_drop"), ("out", "_check_bounds")}
    for array, expected in zip(got, wanted, strict=True):
        assert (array is None) == (expected is None)
        if array is not None:
            np.testing.assert_array_equal(array.get(), expected)


def as_tuple(y):
    return y if isinstance(y, tuple) else (y,)


def test_all_networks_are_here():
    assert set(models.names_of("segmentation")) < set(MODELS)
