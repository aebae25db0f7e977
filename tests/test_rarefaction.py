"""Rarefied networks: every f-th of their pixels is the network's own, and what cannot be rarefied is named."""

from fractions import Fraction

import numpy as np
import pytest

import minifcn
from minifcn import fuse, init, models, rarefy
from minifcn.coordinates import coordinate_map
from minifcn.cutting import after, scores_of, up_to
from minifcn.graph import Graph
from minifcn.layers import (
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    MaxUnpool2d,
    Pad,
    ReLU,
    ResizeBilinear,
    Softmax,
)
from minifcn.layers._dilated_avg_pool import DilatedAvgPool2d
from minifcn.ops.geometry import Padding
from minifcn.rarefaction import spread
from minifcn.shapes import follow
from minifcn.testing import check_gradients


def chain(*layers):
    net = Graph()
    value = "data"
    for number, layer in enumerate(layers):
        value = net.add(f"layer{number}", layer, value)
    return net.eval()


def conv(c, o, k, **options):
    return Conv2d(c, o, k, rng=c + o, dtype=np.float64, bias_init=init.gaussian(0.3), **options)


def image(h, w, channels=2):
    return np.random.default_rng(1).standard_normal((2, channels, h, w))


# The definition in its smallest form: f'(i, j) = f(i/s, j/s) where s divides both.

def test_a_rarefied_filter_is_the_old_one_with_zeros_between(rng):
    x = rng.standard_normal((1, 1, 12, 13))
    first, second = conv(1, 1, 1, stride=(2, 3)), conv(1, 1, 2)
    dense = rarefy(chain(first, second))
    spaced = np.zeros((3, 4))
    spaced[::2, ::3] = second.weight.data[0, 0]
    y = x * first.weight.data + first.bias.data
    expected = [[(y[0, 0, i : i + 3, j : j + 4] * spaced).sum() for j in range(10)] for i in range(10)]
    np.testing.assert_allclose(dense(x)[0, 0], np.array(expected) + second.bias.data, rtol=1e-12)


POOL = MaxPool2d(2)
LATTICES = {
    "convolutions": [conv(2, 3, 3, stride=2, padding=1), ReLU(), conv(3, 3, 3, stride=(3, 2), dilation=(1, 2))],
    "groups": [conv(2, 4, 3, stride=2, groups=2), conv(4, 4, 2, groups=4, padding=((1, 0), (0, 2)))],
    "pool 2": [conv(2, 3, 3), MaxPool2d(2), conv(3, 3, 3, padding=1)],
    "ceil": [conv(2, 3, 3), MaxPool2d(2, ceil_mode=True), conv(3, 3, 2), MaxPool2d(2, ceil_mode=True), conv(3, 2, 1)],
    "overlapping": [conv(2, 3, 3, stride=2), MaxPool2d(3, 2, ceil_mode=True), conv(3, 3, 3), MaxPool2d(3, 2)],
    "steps over pixels": [MaxPool2d(2, 3, ceil_mode=True), conv(2, 2, 2), MaxPool2d(1, 2, ceil_mode=True)],
    "padded pools": [MaxPool2d(3, 2, padding=1, ceil_mode=True), MaxPool2d((2, 3), 2, padding=(1, 0)), conv(2, 2, 2)],
    "dilated pool": [MaxPool2d(2, 2, dilation=2, padding=1, ceil_mode=True), MaxPool2d(2, 1, dilation=2)],
    "mean": [AvgPool2d(2), conv(2, 3, 2), AvgPool2d(3, 2, padding=1, ceil_mode=True), AvgPool2d(2, 1)],
    "mean without padding": [AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False)] * 2,
    "pads": [Pad((1, 2, 0, 3)), conv(2, 2, 3, stride=2), Pad((0, 1, 2, 0), value=0.7), conv(2, 2, 2)],
    "mirrored before any stride": [Pad((1, 2, 2, 1), mode="reflect"), conv(2, 2, 3, stride=3)],
    "by pixel": [POOL, BatchNorm2d(2, dtype=np.float64), LeakyReLU(), LocalResponseNorm(3), Dropout(), Softmax()],
}


@pytest.mark.parametrize("size", [(23, 26), (28, 31)])
@pytest.mark.parametrize("name", LATTICES)
def test_every_fth_pixel_is_the_networks_own(name, size):
    net, x = chain(*LATTICES[name]), image(*size)
    dense = rarefy(net)
    (fy, fx), growth = spread(net)
    y = dense(x)
    assert y.shape[2:] == (size[0] + growth[0], size[1] + growth[1])
    np.testing.assert_allclose(y[:, :, ::fy, ::fx], net(x), rtol=0, atol=1e-12)
    for layer in dense.layers():
        assert getattr(layer, "stride", (1, 1)) == (1, 1)


@pytest.mark.parametrize("name", LATTICES)
def test_other_tools_read_a_rarefied_network(name):
    """Its shapes, and where its pixels lie: at the places of the network's, and one by one between them."""
    net = chain(*LATTICES[name])
    dense = rarefy(net)
    x = image(23, 26)
    assert follow(dense, [x.shape])[dense.outputs[0]] == dense(x).shape
    before, after = coordinate_map(net, net.outputs[0]), coordinate_map(dense, dense.outputs[0])
    strides = spread(net).spacing
    assert [scale for scale, _ in before] == [Fraction(1, f) for f in strides]
    assert list(after) == [(1, f * shift) for f, (_, shift) in zip(strides, before, strict=True)]


def branching():
    """A residual block and an inception block, one of them a Graph of its own."""
    block = Graph()
    block.add("a", conv(3, 3, 3, padding=1), "data")
    block.add("b", MaxPool2d(3, 1, padding=1), "data")
    block.add("join", Concat(), "a", "b")
    net = Graph()
    net.add("down", conv(2, 3, 3, stride=2, padding=1), "data")
    net.add("left", conv(3, 3, 3, stride=2, padding=1), "down")
    net.add("right", conv(3, 3, 1, stride=2), "down")
    net.add("sum", Add(), "left", "right")
    net.add("block", block, "sum")
    net.add("wide", conv(6, 2, 3, padding=2), "block")
    net.add("cut", Crop(1), "wide", "block")
    return net.eval()


def test_branches_and_graphs_inside_graphs():
    net, x = branching(), image(21, 30)
    np.testing.assert_allclose(rarefy(net)(x)[:, :, ::4, ::4], net(x), rtol=0, atol=1e-12)
    assert spread(net) == ((4, 4), (0, 0))


@pytest.mark.parametrize("make", [branching, lambda: chain(*LATTICES["ceil"])])
def test_parameters_are_shared(make):
    net = make()
    dense = rarefy(net)
    assert list(dense.parameters()) == list(net.parameters())
    assert all(dense.parameters()[name] is p for name, p in net.parameters().items())
    assert rarefy(fuse(net)).parameters().keys() == net.parameters().keys()
    strides = [layer.stride for layer in net.layers() if isinstance(layer, Conv2d)]
    assert strides == [layer.stride for layer in make().layers() if isinstance(layer, Conv2d)]  # net is as it was


def test_a_rarefied_network_learns():
    """Its gradients are right, and they arrive in the Parameters of the network that it came from."""
    net = chain(conv(2, 2, 3, stride=2), MaxPool2d(2, ceil_mode=True), AvgPool2d(3, 2, padding=1), conv(2, 2, 2))
    dense = rarefy(net)
    assert check_gradients(dense, minifcn.tie_free((1, 2, 14, 15))).passed
    dense.discard()
    dense.backward(np.ones_like(dense.forward(image(14, 15), record=True)))
    assert np.abs(net.parameters()["layer0.weight"].grad).max() > 0


@pytest.mark.parametrize("include", [True, False])
def test_gradient_of_the_spaced_mean(include):
    layer = DilatedAvgPool2d((2, 3), (2, 1), Padding(1, 1, 1, 0), (1, 1), include)
    assert check_gradients(layer, np.random.default_rng(0).standard_normal((2, 3, 6, 5))).passed


def test_published_networks_up_to_their_scores():
    net = models.build("fcn8s", num_classes=3, width=1 / 32, padding="same")
    trunk = scores_of(net)
    assert trunk.outputs == ("score_fr",)
    assert spread(trunk).spacing == (32, 32)
    with pytest.raises(ValueError, match=r"rarefy: expected strided .*, got layer 'upscore2', ConvTranspose2d\(.*"
                                         r"puts new pixels .*up_to\(graph, 'score_fr'\)"):
        rarefy(net)


# What cannot be.

REFUSED = {
    "transposed": ([POOL, ConvTranspose2d(2, 2, 2, stride=2)], "layer1", "puts new pixels"),
    "resizing": ([POOL, ResizeBilinear((9, 9))], "layer1", "another size"),
    "adaptive": ([AdaptiveAvgPool2d(1)], "layer0", "windows that depend on the size"),
    "linear": ([Linear(2, 2)], "layer0", "reads a whole map"),
    "flattened": ([POOL, Flatten()], "layer1", "reads a whole map"),
    "fixed crop": ([Crop(0, size=(4, 4))], "layer0", "fixed size"),
    "mirrors": ([POOL, Pad((1, 1, 1, 1), mode="reflect")], "layer1", "mirrors rows"),
    "softmax along rows": ([Softmax(axis=2)], "layer0", "goes along rows"),
    "of the user's own": ([type("Mine", (ReLU,), {})()], "layer0", "of which nothing is known"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_and_reason(name):
    layers, layer, reason = REFUSED[name]
    with pytest.raises(ValueError, match=f"rarefy: expected .* got layer '{layer}'.*{reason}.*Take the part before it"):
        rarefy(chain(*layers))


def test_maps_of_different_strides_do_not_add():
    net = Graph()
    net.add("pool", POOL, "data")
    net.add("sum", Add(), "pool", "data")
    with pytest.raises(ValueError, match=r"'sum'.*maps of different strides: 'pool' \(2, 2\), 'data' \(1, 1\)"):
        rarefy(net)


def test_maps_of_different_size_do_not_add():
    """Sizes that agree by luck: an even image halves alike with and without rounding up."""
    net = Graph()
    net.add("down", MaxPool2d(2), "data")
    net.add("up", MaxPool2d(2, ceil_mode=True), "data")
    net.add("sum", Add(), "down", "up")
    assert net(image(6, 6)).shape == (2, 2, 3, 3)
    with pytest.raises(ValueError, match=r"'sum'.*same size for some images only.*'down' \(-1, -1\), 'up' \(0, 0\)"):
        rarefy(net)


def test_unpooling():
    net = Graph()
    net.add("pool", MaxPool2d(2, return_indices=True), "data")
    net.add("up", MaxUnpool2d(), "pool", "pool.record")
    with pytest.raises(ValueError, match=r"'up'.*places of one certain pooling"):
        rarefy(net)
    net.outputs = ("pool", "pool.record")
    with pytest.raises(ValueError, match=r"got 'pool\.record', the places of maxima"):
        rarefy(net)
    net.outputs = ("pool",)
    pooled, record = rarefy(net)["pool"](image(4, 5))
    assert pooled.shape == record.indices.shape == (2, 2, 3, 4)


def test_one_output_is_asked_for():
    net = chain(ReLU(), ReLU())
    net.outputs = ("layer0", "layer1")
    with pytest.raises(ValueError, match=r"spread: expected a graph of one output, got 2 \(layer0, layer1\)"):
        spread(net)


# Cutting.

def test_two_parts_make_the_whole():
    net, x = branching(), image(13, 17)
    before, behind = up_to(net, "sum"), after(net, "sum")
    assert behind.inputs == ("sum",)
    assert np.array_equal(behind(before(x)), net(x))
    assert {*before.parameters(), *behind.parameters()} == set(net.parameters())


def test_a_cut_keeps_only_what_is_needed():
    net = Graph(inputs=("image", "depth"))
    net.add("a", ReLU(), "image")
    net.add("b", ReLU(), "depth")
    net.add("both", Add(), "a", "b")
    assert up_to(net, "b").inputs == ("depth",)
    assert [node.name for node in up_to(net, "a", "b").nodes] == ["a", "b"]
    with pytest.raises(ValueError, match=r"after: .* got 'a': the outputs need depth too"):
        after(net, "a")
    with pytest.raises(ValueError, match="after: expected a value of this graph"):
        after(net, "c")
    with pytest.raises(ValueError, match="expected names among"):
        up_to(net, "c")


def test_a_network_without_upsampling_is_all_trunk():
    net = chain(POOL)
    assert scores_of(net) is net
