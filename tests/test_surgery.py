"""Surgery: a dense network equals its classifier crop by crop; transplanted weights land where they should."""

import numpy as np
import pytest

from minifcn import convolutionalize, init, models, transplant
from minifcn.graph import Graph
from minifcn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
    Sigmoid,
    Softmax,
)

F64 = {"dtype": np.float64, "bias_init": init.gaussian(1)}
CROP, STRIDE = (9, 11), 2  # of `small`, which pools once


def small(*head, channels=4):
    """A convolution, a pooling and a head: maps of 4x5 where no crop is given to it but 9x11."""
    net = Graph()
    x = net.add("conv", Conv2d(3, channels, 2, rng=1, **F64), "data")
    x = net.add("pool", MaxPool2d(2), x)
    for index, layer in enumerate(head):
        x = net.add(f"head{index}", layer, x)
    return net


def heads():
    yield Flatten(), Linear(80, 5, rng=2, **F64)
    yield (Flatten(), Dropout(0.5), Linear(80, 6, rng=2, **F64), ReLU(), Dropout(0.5), Linear(6, 5, rng=3, **F64),
           Softmax())
    yield Sigmoid(), Flatten(), ReLU(), Linear(80, 6, rng=2, bias=False, dtype=np.float64), PReLU(6, dtype=np.float64)
    yield AvgPool2d((4, 5)), Flatten(), Linear(4, 5, rng=2, **F64)
    yield AvgPool2d((4, 5), stride=1), Dropout(0.4), Flatten(), Linear(4, 5, rng=2, **F64)
    yield AdaptiveAvgPool2d(1), Flatten(), Linear(4, 5, rng=2, **F64)
    yield AdaptiveAvgPool2d((4, 5)), Flatten(), Linear(80, 5, rng=2, **F64)


@pytest.mark.parametrize("number", range(7))
def test_every_crop_of_a_larger_image(number, rng):
    """By brute force: cut out each crop and classify it."""
    net = small(*list(heads())[number]).eval()
    dense = convolutionalize(net, CROP)
    assert not any(isinstance(layer, (Flatten, Linear, AdaptiveAvgPool2d)) for layer in dense.layers())
    x = rng.standard_normal((2, 3, CROP[0] + 6, CROP[1] + 4))
    y = dense.forward(x)
    assert y.shape[2:] == (4, 3)
    for p, q in np.ndindex(y.shape[2:]):
        crop = x[:, :, STRIDE * p : STRIDE * p + CROP[0], STRIDE * q : STRIDE * q + CROP[1]]
        np.testing.assert_allclose(y[:, :, p, q], net.forward(crop), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "alexnet-torchvision", "googlenet-torchvision"])
def test_published_classifiers_on_one_crop(name, rng):
    net = models.build(name, num_classes=5, width=1 / 32, rng=0, dtype=np.float64).eval()
    size = models.MODELS[name].crops["paper"]
    dense = convolutionalize(net, size)
    x = rng.standard_normal((2, 3, size, size))
    y = dense.forward(x)
    assert y.shape == (2, 5, 1, 1)
    np.testing.assert_allclose(y[:, :, 0, 0], net.forward(x), rtol=0, atol=1e-12 * abs(y).max())


@pytest.mark.parametrize("name", ["alexnet-torchvision", "googlenet-torchvision"])
def test_without_padding_the_crop_beside_the_first_one_too(name, rng):
    """Running statistics that do something, as trained ones do."""
    net = models.build(name, num_classes=5, width=1 / 64, padding="valid", rng=0, dtype=np.float64).eval()
    for key, array in net.buffers().items():
        array[...] = rng.uniform(0.5, 1, array.shape) if key.endswith("var") else rng.normal(0, 0.1, array.shape)
    size = models.MODELS[name].crops["valid"]
    x = rng.standard_normal((1, 3, size, size + 32))
    y = convolutionalize(net, size).forward(x)
    assert y.shape == (1, 5, 1, 2)
    for q, crop in enumerate((x[:, :, :, :size], x[:, :, :, 32:])):
        np.testing.assert_allclose(y[:, :, 0, q], net.forward(crop), rtol=0, atol=1e-12 * abs(y).max())


def test_names_modes_multipliers_and_numbers_are_the_classifiers():
    net = models.build("alexnet", num_classes=5, width=1 / 32, rng=0)
    net["drop6"].eval()
    before = [layer.training for layer in net.layers()]
    dense = convolutionalize(net, 227)
    assert [layer.training for layer in net.layers()] == before
    assert [node.name for node in dense.nodes] == [node.name for node in net.nodes if node.name != "flatten"]
    assert dense.outputs == ("fc8",)
    assert dense.training
    assert dense["drop7"].training
    assert not dense["drop6"].training
    assert dense["fc6"].weight.data.shape == (128, 8, 6, 6)
    assert (dense["fc6"].bias.lr_mult, dense["fc6"].bias.decay_mult) == (2, 0)
    for name, array in dense.state().items():
        assert np.shares_memory(array, net.state()[name]), name  # nothing is copied
    assert list(dense.state()) == list(net.state())


def test_no_random_number_and_no_statistic_is_used_up():
    net = small(Flatten(), Dropout(0.5, rng=7), Linear(80, 5, rng=2, **F64))
    state = net["head1"].rng.bit_generator.state
    convolutionalize(net, CROP)
    assert net["head1"].rng.bit_generator.state == state


def test_gradients_of_the_dense_network_are_the_classifiers(rng):
    net = small(Flatten(), Linear(80, 5, rng=2, **F64))
    dense = convolutionalize(net, CROP)
    x, gy = rng.standard_normal((2, 3, *CROP)), rng.standard_normal((2, 5))
    net.forward(x)
    gx = net.backward(gy)
    expected = {name: p.grad for name, p in net.parameters().items()}
    for parameter in net.parameters().values():
        parameter.grad = None
    dense.forward(x)
    np.testing.assert_allclose(dense.backward(gy[:, :, None, None]), gx, rtol=1e-12)
    for name, p in dense.parameters().items():
        np.testing.assert_allclose(p.grad.reshape(expected[name].shape), expected[name], rtol=1e-12)


def rows_in():
    net = Graph(inputs=("data", "more"))
    net.add("fc", Linear(4, 2), "data")
    return net


def flattened_inside():
    inner = Graph(inputs=("x",))
    inner.add("flatten", Flatten(), "x")
    return small(inner, Linear(80, 5, **F64))


@pytest.mark.parametrize(("net", "size", "message"), [
    (flattened_inside, CROP, r"expected 'head1' \(Linear\) to read what Flatten made of a map, got rows"),
    (lambda: small(), CROP, "expected a classifier of one image with Flatten and Linear layers, got inputs data"),
    (rows_in, CROP, "got inputs data, more and layers of other kinds"),
    (lambda: small(Flatten(), Linear(80, 5, **F64)), (9, 13),
     "expected input_size as the classifier takes it, got 9x13: layer 'head1': linear: expected rows of 80 numbers"),
    (lambda: small(Flatten(), Linear(80, 5, **F64)), 1, "got 1x1: layer 'conv': conv2d: expected an input of at least"),
    (lambda: small(Flatten(), Linear(80, 5, **F64)), 0, "convolutionalize: expected input_size of at least 1, got 0"),
    (lambda: small(Flatten(), Softmax(), Linear(80, 5, **F64)), CROP,
     r"treat every number alike, or behind a Linear layer every channel, got 'head1' \(Softmax\)"),
    (lambda: small(AdaptiveAvgPool2d(2), Flatten(), Linear(16, 5, **F64)), CROP,
     "expected an adaptive pooling to one pixel, .* got 'head0' from 4x5 to 2x2, whose windows cannot slide"),
])
def test_what_cannot_be_made_dense(net, size, message):
    with pytest.raises(ValueError, match=f"convolutionalize: .*{message}|{message}"):
        convolutionalize(net(), size)


# Transplanting.

def filled(name, value, **options):
    net = models.build(name, **{"num_classes": 5, "width": 1 / 64, "rng": 0} | options)
    for number, array in enumerate(net.state().values()):
        array[...] = value + number + np.arange(array.size).reshape(array.shape) / array.size
    return net


def test_a_classifier_into_its_fully_convolutional_network():
    source, target = filled("alexnet", 10), models.build("fcn-alexnet", width=1 / 64, rng=0)
    upscore = target["upscore"].weight.data.copy()
    done = transplant(source, target)
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    assert done.copied == tuple(f"{name}.{array}" for name in layers for array in ("weight", "bias"))
    assert done.dropped == ("fc8.weight", "fc8.bias")
    assert done.untouched == ("score_fr.weight", "score_fr.bias", "upscore.weight")
    state = source.state()
    assert target["fc6"].weight.data.shape == (64, 4, 6, 6)
    for o, c, i, j in ((0, 0, 0, 0), (3, 1, 2, 5), (63, 3, 5, 4)):  # order channel, row, column
        assert target["fc6"].weight.data[o, c, i, j] == state["fc6.weight"][o, c * 36 + i * 6 + j]
    assert all(np.array_equal(array.ravel(), state[name].ravel())
               for name, array in target.state().items() if name in done.copied)
    assert not target["score_fr"].weight.data.any()
    np.testing.assert_array_equal(target["upscore"].weight.data, upscore)


@pytest.mark.parametrize(("classifier", "network", "scores"), [
    ("alexnet", "fcn-alexnet", "fc8"), ("vgg16", "fcn32s", "fc8"), ("googlenet", "fcn-googlenet", "loss3/classifier")])
def test_each_classifier_into_its_network(classifier, network, scores):
    """Everything but the scores has a counterpart, and of the network nothing but scores and upsampling is left."""
    done = transplant(filled(classifier, 1), models.build(network, width=1 / 64, rng=0))
    assert done.dropped == (f"{scores}.weight", f"{scores}.bias")
    assert done.untouched == ("score_fr.weight", "score_fr.bias", "upscore.weight")


def test_stages_of_the_paper():
    """32s into 16s into 8s: the trunk and score_fr go along, each new skip starts at zero."""
    nets = [filled("fcn32s", 10, padding="same")]
    for name in ("fcn16s", "fcn8s"):
        nets.append(models.build(name, num_classes=5, width=1 / 64, padding="same", rng=3))
        transplant(nets[-2], nets[-1])
    for key in ("conv1_1.weight", "fc7.bias", "score_fr.weight"):
        assert np.array_equal(nets[2].state()[key], nets[0].state()[key])
    assert not nets[2]["score_pool3"].weight.data.any()
    assert np.array_equal(nets[2]["score_pool4"].weight.data, nets[1]["score_pool4"].weight.data)


def test_arrays_by_name_old_shapes_and_another_dtype():
    target = models.build("fcn-alexnet", width=1 / 64, rng=0, num_classes=5)
    source = {"fc7.weight": np.arange(64 * 64, dtype=np.float64).reshape(1, 1, 64, 64),  # as Caffe once wrote them
              "fc7.bias": np.arange(64.0).reshape(1, 1, 1, 64)}
    assert transplant(source, target).copied == ("fc7.weight", "fc7.bias")
    assert target["fc7"].weight.data.dtype == np.float32
    np.testing.assert_array_equal(target["fc7"].weight.data[:, :, 0, 0], source["fc7.weight"][0, 0])
    np.testing.assert_array_equal(target["fc7"].bias.data, np.arange(64))


def test_suffix_and_skip():
    target = Graph()
    target.add("conv_color", Conv2d(3, 4, 2, **F64), "data")
    target.add("head0_color", Conv2d(4, 5, 1, **F64), "conv_color")
    done = transplant(small(Conv2d(4, 5, 1, rng=9, **F64)), target, suffix="_color", skip=["head0"])
    assert done.copied == ("conv_color.weight", "conv_color.bias")
    assert done.dropped == ("head0.weight", "head0.bias")
    np.testing.assert_array_equal(target["conv_color"].weight.data, small()["conv"].weight.data)


@pytest.mark.parametrize(("source", "options", "message"), [
    (lambda: filled("fcn-alexnet", 1, num_classes=3), {},
     r"score_fr.weight is expected to be \(5, 64, 1, 1\), found \(3, 64, 1, 1\); .*nothing was copied\)"),
    (lambda: {"fc6.weight": np.ones((4 * 36, 64)), "fc6.bias": np.ones(64)}, {},
     r"fc6.weight is expected to be \(64, 4, 6, 6\), found \(144, 64\)"),
    (lambda: {"fc6.weight": np.ones((64, 144))}, {}, "fc6.bias is missing in the source"),
    (lambda: {"fc6.weight": np.ones((64, 144)), "fc6.bias": np.ones(64), "fc6.mask": np.ones(1)}, {},
     "fc6.mask has no counterpart, though its layer has one"),
    (lambda: {"conv9.weight": np.ones(1)}, {}, "expected layers of the same names in both networks, got conv9.weight"),
    (lambda: filled("alexnet", 1), {"suffix": "_hha"}, "Rename one side, or set suffix"),
    (lambda: filled("alexnet", 1), {"skip": ["fc9"]}, r"expected layers of the source in skip \(conv1, .*got fc9"),
])
def test_what_cannot_be_transplanted_changes_nothing(source, options, message):
    target = models.build("fcn-alexnet", num_classes=5, width=1 / 64, rng=0)
    before = {name: array.copy() for name, array in target.state().items()}
    with pytest.raises(ValueError, match=message):
        transplant(source(), target, **options)
    assert all(np.array_equal(array, before[name]) for name, array in target.state().items())


def test_a_frozen_target():
    target = models.build("fcn-alexnet", num_classes=5, width=1 / 64, rng=0).freeze()
    with pytest.raises(RuntimeError, match=r"transplant: .* got 'conv1.weight', which is frozen. Call unfreeze"):
        transplant(filled("alexnet", 1), target)
