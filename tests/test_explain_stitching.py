"""Shift-and-stitch against the rarefied network, and the margin against a count of what really differs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn import fuse, init, use_winograd
from minifcn.explain.bands import forward_in_bands
from minifcn.explain.stitching import margin, pad_once, rarefied_scores, relative_difference, shift_and_stitch
from minifcn.graph import Graph
from minifcn.layers import Add, AvgPool2d, Concat, Conv2d, Crop, LocalResponseNorm, MaxPool2d, Pad, ReLU
from minifcn.models.vgg16 import add_trunk
from minifcn.rarefaction import rarefy, spread

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}


def conv(c, o, k, seed=0, dtype=np.float64, **options):
    return Conv2d(c, o, k, rng=seed, dtype=dtype, bias_init=init.gaussian(0.3), **options)


def chain(*layers):
    net = Graph()
    value = "data"
    for number, layer in enumerate(layers):
        value = net.add(f"layer{number}", layer, value)
    return net


def both(net, image):
    with use_winograd(False):
        return shift_and_stitch(net, image), rarefied_scores(net, image)


def by_hand(net, canvas, f):
    """The definition once more, pixel by pixel."""
    runs = {(y, x): net.eval()(canvas[:, :, y:, x:]) for y in range(f) for x in range(f)}
    h, w = (sum(run.shape[axis] for (y, x), run in runs.items() if (y, x)[3 - axis] == 0) for axis in (2, 3))
    stitched = np.full((*runs[0, 0].shape[:2], h, w), np.nan)
    for (y, x), run in runs.items():
        for p in range(run.shape[2]):
            for q in range(run.shape[3]):
                stitched[:, :, f * p + y, f * q + x] = run[:, :, p, q]
    return stitched


# What a shift is.

def test_by_hand(rng):
    net = chain(conv(1, 2, 2), MaxPool2d(2, ceil_mode=True), conv(2, 2, 2), MaxPool2d(3, 2))
    x = rng.standard_normal((1, 1, 25, 30))
    assert np.array_equal(shift_and_stitch(net, x), by_hand(net, x, 4))


def test_the_first_padding_is_on_the_canvas(rng):
    x = rng.standard_normal((1, 2, 12, 13))
    padded = chain(conv(2, 2, 3, padding=((5, 1), (0, 2))), MaxPool2d(2))
    bare = chain(conv(2, 2, 3), MaxPool2d(2))
    canvas = np.pad(x, ((0, 0), (0, 0), (5, 1), (0, 2)))
    assert np.array_equal(shift_and_stitch(padded, x), by_hand(bare, canvas, 2))
    assert pad_once(padded).padding == (5, 1, 0, 2)
    filled = chain(Pad((1, 1, 1, 1), value=3.0), MaxPool2d(2))
    canvas = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=3)
    assert np.array_equal(shift_and_stitch(filled, x), by_hand(chain(MaxPool2d(2)), canvas, 2))


def test_a_network_is_left_as_it_was(rng):
    net = chain(conv(1, 1, 3, padding=1), MaxPool2d(2)).train()
    shift_and_stitch(net, rng.standard_normal((1, 1, 9, 9)))
    assert net.training
    assert net["layer0"].training
    assert net["layer0"].padding == (1, 1, 1, 1)
    net.forward(np.ones((1, 1, 9, 9)), record=True)  # nothing was left open


# Equality.

def networks(stride, padded, dtype):
    """Strides by convolutions and poolings of all kinds. `padded`: inside, too."""
    p = int(padded)
    if stride == 2:
        return chain(conv(2, 4, 3, 1, dtype, stride=2, padding=1), ReLU(), conv(4, 3, 3, 2, dtype, dilation=2))
    if stride == 4:  # as AlexNet begins
        return chain(conv(2, 4, 5, 1, dtype, stride=2, padding=9), ReLU(), LocalResponseNorm(3),
                     conv(4, 4, 3, 2, dtype, padding=p, groups=2), MaxPool2d(3, 2, ceil_mode=True),
                     conv(4, 3, 3, 3, dtype, padding=p))
    if stride == 8:
        return chain(conv(2, 4, 3, 1, dtype, padding=4), MaxPool2d(2, ceil_mode=True),
                     conv(4, 4, 3, 2, dtype, padding=p), AvgPool2d(3, 2, padding=p, ceil_mode=True),
                     conv(4, 4, 2, 3, dtype, stride=2), conv(4, 3, 2, 3, dtype))
    net = Graph()
    if padded:
        value = add_trunk(net, first_padding=70, width=1 / 32, rng=1, dtype=dtype)
        net.add("score", conv(16, 3, 3, 2, dtype), value)
        return net
    layers = []
    for block in range(5):
        layers += [conv(2 if block == 0 else 3, 3, 2, block, dtype, padding=20 * (block == 0)), ReLU(),
                   MaxPool2d(2, ceil_mode=True)]
    return chain(*layers, conv(3, 3, 2, 9, dtype))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("stride", [2, 4, 8, 32])
@pytest.mark.parametrize("padded", [False, True])
def test_stitched_is_rarefied(stride, padded, dtype, rng):
    net = networks(stride, padded, dtype)
    channels = next(iter(net.parameters().values())).data.shape[1]
    image = rng.standard_normal((1, channels, 45, 61)).astype(dtype)
    assert spread(net).spacing == (stride, stride)
    stitched, dense = both(net, image)
    rows, columns = margin(net)
    assert stitched.dtype == dense.dtype == dtype
    assert relative_difference(stitched[:, :, rows:, columns:], dense[:, :, rows:, columns:]) <= TOLERANCE[dtype]
    assert dense[:, :, rows:, columns:].size
    if not padded or stride == 2:
        assert (rows, columns) == (0, 0)
    else:
        deep = rows if stride == 32 else stride  # many maxima may hide a difference: there somewhere in the margin
        for inside in (np.s_[:, :, rows - deep : rows, columns:], np.s_[:, :, rows:, columns - deep : columns]):
            assert relative_difference(stitched[inside], dense[inside]) > 1e-3


def test_with_winograd(rng):
    net, image = networks(8, True, np.float32), rng.standard_normal((1, 2, 45, 61)).astype(np.float32)
    with use_winograd(True):
        stitched, dense = shift_and_stitch(net, image), rarefied_scores(net, image)
    rows, columns = margin(net)
    assert relative_difference(stitched[:, :, rows:, columns:], dense[:, :, rows:, columns:]) <= 1e-4


# The margin.

def test_the_margin_of_vgg():
    net = Graph()
    add_trunk(net, first_padding=100, width=1 / 64)
    assert margin(net) == (96, 96)


def test_the_margin_of_alexnet():
    """conv2 pads by 2, conv3 to conv5 by 1, at strides 8 and 16: 2, 1, 2, 3, 4 and behind pool5 2 coarse rows."""
    net = chain(conv(3, 2, 11, stride=4, padding=100), MaxPool2d(3, 2, ceil_mode=True), conv(2, 2, 5, padding=2),
                MaxPool2d(3, 2, ceil_mode=True), *[conv(2, 2, 3, padding=1)] * 3, MaxPool2d(3, 2, ceil_mode=True))
    assert margin(net) == (64, 64)


def test_a_fused_network_is_taken_apart(rng):
    net, image = networks(4, True, np.float64), rng.standard_normal((1, 2, 33, 34))
    assert margin(fuse(net)) == margin(net) == (8, 8)
    np.testing.assert_allclose(shift_and_stitch(fuse(net), image), shift_and_stitch(net, image), rtol=0, atol=1e-12)


def test_padding_behind_all_strides_adds_nothing(rng):
    """There a shifted run and the rarefied network have their zeros in the same places."""
    net = chain(conv(1, 2, 3), MaxPool2d(2), conv(2, 2, 3, padding=1), conv(2, 2, 5, padding=2))
    assert margin(net) == (0, 0)
    stitched, dense = both(net, rng.standard_normal((1, 1, 21, 24)))
    np.testing.assert_allclose(stitched, dense, rtol=0, atol=1e-12)


def test_a_crop_takes_the_margin_away():
    net = chain(conv(1, 1, 3), MaxPool2d(2), conv(1, 1, 3, padding=1), MaxPool2d(2), conv(1, 1, 3, padding=2))
    net.add("cut", Crop((2, 1)), "layer4", "layer3")
    assert margin(net) == (4, 8)  # m: 0, 0, 1, 1, 3 and 1 row, 2 columns


# Any network at all.

@st.composite
def graphs(draw):
    """Random chains with a branch now and then, in which every window has more than one tap."""
    net, value, channels, strides = Graph(), "data", 2, 0
    for number in range(draw(st.integers(2, 6))):
        seed, kernel = draw(st.integers(0, 99)), draw(st.integers(2, 3))
        step = draw(st.sampled_from([1, 2, 2, 3])) if strides < 3 else 1
        strides += step > 1
        padding = draw(st.sampled_from([0, 0, 1]))
        kind = draw(st.sampled_from(["conv", "conv", "max", "mean", "branch"]))
        name = f"{kind}{number}"
        if kind == "conv":
            dilation = draw(st.sampled_from([1, 1, 2]))
            layer = conv(channels, 3, kernel, seed, stride=step, padding=padding, dilation=dilation)
            channels = 3
        elif kind == "max":
            layer = MaxPool2d(kernel, step, padding=padding, ceil_mode=draw(st.booleans()))
        elif kind == "mean":
            layer = AvgPool2d(kernel, step, padding, draw(st.booleans()), draw(st.booleans()))
        else:
            strides -= step > 1
            net.add(f"side{number}", conv(channels, channels, 3, seed, padding=1), value)
            net.add(f"{name}_sum", Add(), f"side{number}", value)
            value, channels = net.add(name, Concat(), f"{name}_sum", value), 2 * channels
            continue
        value = net.add(name, layer, value)
    return net.eval()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graphs(), st.integers(25, 40), st.integers(25, 40), st.integers(0, 99))
def test_random_graphs(net, h, w, seed):
    fy, fx = spread(net).spacing
    image = np.random.default_rng(seed).standard_normal((1, 2, h + 4 * fy, w + 4 * fx))
    stitched, dense = both(net, image)
    rows, columns = margin(net)
    np.testing.assert_allclose(
        stitched[:, :, rows:, columns:], dense[:, :, rows:, columns:], rtol=0, atol=1e-12 * np.abs(dense).max()
    )
    np.testing.assert_allclose(rarefy(net)(image)[:, :, ::fy, ::fx], net(image), rtol=0, atol=1e-11)
    assert (rows, columns) == tuple(f * differing_rows(pad_once(net).body, f, axis) for axis, f in enumerate((fy, fx)))


def differing_rows(net, f, axis, rows=40):
    """How many coarse rows differ, found by trying: a row that reads padding where the rarefied one has a row, or reads
    a row that differs, differs. Rows of a value are looked at one by one, for each shift."""
    return max(_differing(net, shift, f, axis, rows) for shift in range(f))


def _differing(net, shift, f, axis, rows):
    spoiled, spacing = {"data": set()}, {"data": 1}
    for node in net.nodes:
        layer, d = node.layer, spacing[node.inputs[0]]
        below = set().union(*(spoiled[name] for name in node.inputs))
        if not hasattr(layer, "kernel_size"):
            spoiled[node.name], spacing[node.name] = below, d
            continue
        step, before = layer.stride[axis], layer.padding[2 * axis]
        taps = [t * getattr(layer, "dilation", (1, 1))[axis] for t in range(layer.kernel_size[axis])]
        spoiled[node.name] = {
            r for r in range(rows)
            if any(row in below or (row < 0 <= row * d + shift) for row in (r * step - before + tap for tap in taps))
        }
        spacing[node.name] = d * step
    return max(spoiled[net.outputs[0]], default=-1) + 1


# In bands.

@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_bands_change_nothing(rows, rng):
    net = chain(conv(1, 2, 3, padding=1), MaxPool2d(2, ceil_mode=True), conv(2, 3, 4), ReLU(), conv(3, 2, 1))
    image = rng.standard_normal((1, 1, 30, 33))
    np.testing.assert_allclose(rarefied_scores(net, image, rows=rows), rarefied_scores(net, image), rtol=1e-12)


def test_bands_of_what_is_plain_and_of_what_is_not(rng):
    x = rng.standard_normal((1, 1, 9, 10))
    for net in (chain(conv(1, 1, 3), conv(1, 1, 2, dilation=2)), chain(conv(1, 1, 3, padding=1)), branch()):
        np.testing.assert_allclose(forward_in_bands(net, x, 2), net(x), rtol=1e-12)
    with pytest.raises(ValueError, match="expected at least one row a band, got 0"):
        forward_in_bands(branch(), x, 0)


def branch():
    net = Graph()
    net.add("a", conv(1, 1, 2), "data")
    net.add("b", conv(1, 1, 2, 5), "data")
    net.add("c", Add(), "a", "b")
    net.add("d", conv(1, 1, 2), "c")
    return net


# Bad use.

def test_an_image_that_is_too_small():
    net = chain(conv(1, 1, 5), MaxPool2d(2), conv(1, 1, (3, 5)))
    with pytest.raises(ValueError, match=r"expected an image of at least 10x14, the receptive field .* got 9x20"):
        shift_and_stitch(net, np.zeros((1, 1, 9, 20)))
    for run in (shift_and_stitch, rarefied_scores):  # fewer pixels than shifts, but one
        assert run(net, np.zeros((1, 1, 10, 14))).shape == (1, 1, 1, 1)


def test_several_outputs_or_inputs():
    net = chain(ReLU(), ReLU())
    net.outputs = ("layer0", "layer1")
    with pytest.raises(ValueError, match="expected a network of one input and one output, got data -> layer0, layer1"):
        shift_and_stitch(net, np.zeros((1, 1, 4, 4)))
    with pytest.raises(ValueError, match="image with 4 axes"):
        shift_and_stitch(chain(ReLU()), np.zeros((4, 4)))


def test_relative_difference():
    assert relative_difference(np.array([1.0, 2.5]), np.array([1.0, 2.0])) == 0.25
    assert relative_difference(np.array([1.0]), np.array([0.0])) == 1.0
    assert relative_difference(np.array([]), np.array([])) == 0.0
