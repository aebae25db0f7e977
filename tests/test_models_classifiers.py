"""The classifiers against their papers: parameters, sizes, names, and what their crops may be."""

import math

import numpy as np
import pytest

import minifcn
from minifcn import init, models
from minifcn.layers import AvgPool2d, BatchNorm2d, Conv2d, Linear, MaxPool2d
from minifcn.learner import Learner
from minifcn.progress import Progress

CAFFES = ("alexnet", "vgg16", "googlenet")
NAMES = (*CAFFES, "alexnet-torchvision", "googlenet-torchvision")

# Height of the maps for a crop as published.
SIZES = {
    "alexnet": {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "conv5": 13, "pool5": 6},
    "vgg16": {"conv1_2": 224, "pool1": 112, "pool2": 56, "pool3": 28, "pool4": 14, "conv5_3": 14, "pool5": 7},
    "googlenet": {"conv1/7x7_s2": 112, "pool1/3x3_s2": 56, "conv2/3x3": 56, "pool2/3x3_s2": 28,
                  "inception_3b/output": 28, "pool3/3x3_s2": 14, "inception_4e/output": 14, "pool4/3x3_s2": 7,
                  "inception_5b/output": 7, "pool5/7x7_s1": 1},
}
SIZES |= {f"{name}-torchvision": SIZES[name] for name in ("alexnet", "googlenet")}


def tiny(name, **options):
    return models.build(name, **{"num_classes": 5, "width": 1 / 64, "rng": 0} | options)


def crop(name, padding="paper", **options):
    size = models.MODELS[name].crops[padding]
    return np.random.default_rng(0).standard_normal((1, 3, size, size), **options)


@pytest.mark.parametrize(("name", "parameters"), [("alexnet", 60_965_224), ("vgg16", 138_357_544),
                                                  ("googlenet", 6_998_552),
                                                  # As torchvision states them; the second without auxiliary heads.
                                                  ("alexnet-torchvision", 61_100_840),
                                                  ("googlenet-torchvision", 6_624_904)])
def test_published_numbers_of_parameters(name, parameters):
    with init.shapes_only():
        net = models.build(name)
    assert models.count_parameters(net) == {"trainable": parameters, "frozen": 0}


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes(name):
    found = {value: y.shape for value, y in tiny(name).eval().walk(crop(name, dtype=np.float32))}
    for value, size in SIZES[name].items():
        assert found[value][2:] == (size, size), value
    assert next(reversed(found.values())) == (1, 5)


def test_channels_of_the_inception_blocks():
    with init.shapes_only():
        net = models.build("googlenet")
    reads = {node.name: node.layer.in_channels for node in net.nodes if isinstance(node.layer, Conv2d)}
    inputs = [reads[f"inception_{block}/1x1"] for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")]
    assert inputs == [192, 256, 480, 512, 512, 512, 528, 832, 832]
    assert net["loss3/classifier"].in_features == 1024


def test_names_and_order_are_caffes():
    alexnet = [node.name for node in tiny("alexnet").nodes]
    assert " ".join(alexnet) == (
        "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 flatten "
        "fc6 relu6 drop6 fc7 relu7 drop7 fc8")
    assert [node.name for node in tiny("vgg16").nodes][-9:] == [
        "pool5", "flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"]
    googlenet = [node.name for node in tiny("googlenet").nodes]
    assert googlenet[:10] == ["conv1/7x7_s2", "conv1/relu_7x7", "pool1/3x3_s2", "pool1/norm1", "conv2/3x3_reduce",
                              "conv2/relu_3x3_reduce", "conv2/3x3", "conv2/relu_3x3", "conv2/norm2", "pool2/3x3_s2"]
    kinds = ("1x1 relu_1x1 3x3_reduce relu_3x3_reduce 3x3 relu_3x3 5x5_reduce relu_5x5_reduce 5x5 relu_5x5 pool "
             "pool_proj relu_pool_proj output")
    assert googlenet[10:24] == [f"inception_3a/{kind}" for kind in kinds.split()]
    assert googlenet[-5:] == ["inception_5b/output", "pool5/7x7_s1", "pool5/drop_7x7_s1", "flatten", "loss3/classifier"]
    assert [name for name in googlenet if name.startswith(("pool3", "pool4"))] == ["pool3/3x3_s2", "pool4/3x3_s2"]


def test_an_inception_block_reads_and_joins_in_caffes_order():
    inputs = {node.name: node.inputs for node in tiny("googlenet").nodes}
    assert inputs["inception_3a/output"] == tuple(f"inception_3a/relu_{way}" for way in ("1x1", "3x3", "5x5",
                                                                                         "pool_proj"))
    assert {inputs[f"inception_3b/{way}"] for way in ("1x1", "3x3_reduce", "5x5_reduce", "pool")} == {
        ("inception_3a/output",)}
    assert inputs["inception_4a/1x1"] == ("pool3/3x3_s2",)
    assert inputs["inception_5a/pool"] == ("pool4/3x3_s2",)


@pytest.mark.parametrize("name", CAFFES)
def test_multipliers_and_first_values(name):
    for layer in tiny(name).layers():
        if isinstance(layer, (Conv2d, Linear)):
            weight, bias = layer.weight, layer.bias
            assert (weight.lr_mult, weight.decay_mult, bias.lr_mult, bias.decay_mult) == (1, 1, 2, 0)
            assert weight.data.any()
            assert not bias.data.any()


def test_groups_of_alexnet():
    with init.shapes_only():
        net = models.build("alexnet")
    convs = [net[f"conv{number}"] for number in range(1, 6)]
    assert [conv.groups for conv in convs] == [1, 2, 1, 2, 2]
    assert [conv.weight.data.shape for conv in convs] == [
        (96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3)]
    for width in (1 / 64, 0.1, 0.3):
        narrow = tiny("alexnet", width=width)
        channels = [narrow[f"conv{number}"].out_channels for number in range(1, 6)]
        assert all(count % 2 == 0 and abs(count - width * conv.out_channels) <= 2
                   for count, conv in zip(channels, convs, strict=True))


def test_what_torchvisions_networks_have_of_their_own():
    alexnet = [node.name for node in tiny("alexnet-torchvision").nodes]
    assert " ".join(alexnet) == (
        "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 flatten "
        "drop6 fc6 relu6 drop7 fc7 relu7 fc8")
    with init.shapes_only():
        alexnet, googlenet = models.build("alexnet-torchvision"), models.build("googlenet-torchvision")
    assert [alexnet[f"conv{number}"].weight.data.shape for number in range(1, 6)] == [
        (64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)]
    assert [set(alexnet[f"conv{number}"].padding) for number in range(1, 6)] == [{2}, {2}, {1}, {1}, {1}]
    assert not any(alexnet[f"pool{number}"].ceil_mode for number in (1, 2, 5))
    norms = [node for node in googlenet.nodes if isinstance(node.layer, BatchNorm2d)]
    assert len(norms) == 57
    for node in norms:
        conv = googlenet[node.name.removesuffix("/bn")]
        assert (node.layer.num_features, node.layer.eps, conv.bias) == (conv.out_channels, 0.001, None)
        assert node.inputs == (node.name.removesuffix("/bn"),)
    assert googlenet["inception_3a/5x5"].weight.data.shape == (32, 16, 3, 3)
    assert [googlenet[name].kernel_size for name in ("pool1/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2")] == [
        (3, 3), (3, 3), (2, 2)]
    assert googlenet["pool5/drop_7x7_s1"].p == 0.2
    assert [node.name for node in googlenet.nodes][:7] == [
        "conv1/7x7_s2", "conv1/7x7_s2/bn", "conv1/relu_7x7", "pool1/3x3_s2", "conv2/3x3_reduce", "conv2/3x3_reduce/bn",
        "conv2/relu_3x3_reduce"]


# Without padding.

def seen(net, through):
    """Pixels along one axis that one score of a net without padding sees, by the windows on the way to it."""
    sees, step = 1, 1
    for node in net.nodes:
        if isinstance(node.layer, (Conv2d, MaxPool2d, AvgPool2d)) and through(node.name):
            assert not any(node.layer.padding)
            sees += (node.layer.kernel_size[0] - 1) * step
            step *= node.layer.stride[0]
    return sees, step


@pytest.mark.parametrize(("name", "sees"), [("alexnet", 355), ("vgg16", 404), ("googlenet", 907),
                                            ("alexnet-torchvision", 355), ("googlenet-torchvision", 571)])
def test_without_padding_a_crop_is_all_that_a_score_sees(name, sees):
    """The paper's receptive fields, table 1; the last map, 6 or 7 wide, counts as a window of its own.

    torchvision's AlexNet has the windows and strides of Caffe's. Its GoogLeNet, from the first layer on: 7, 11, 11, 19,
    27 every 8; two blocks of 3x3 59, pooled 75 every 16; five blocks 235, pooled by 2x2 251 every 32; two blocks 379;
    a mean of seven, 32 apart, 571.
    """
    net = tiny(name, padding="valid")
    found, step = seen(net, lambda node: "inception" not in node or "5x5" in node)
    last = {"alexnet": 6, "vgg16": 7, "googlenet": 1}[name.removesuffix("-torchvision")]
    assert (found + (last - 1) * step, step) == (sees, 32)
    assert models.MODELS[name].crops["valid"] == sees
    assert net.eval().forward(crop(name, "valid", dtype=np.float32)).shape == (1, 5)


@pytest.mark.parametrize("name", NAMES)
def test_both_paddings_have_the_same_weights(name):
    one, other = (tiny(name, padding=padding).state() for padding in ("paper", "valid"))
    assert list(one) == list(other)
    assert all(np.array_equal(one[key], other[key]) for key in one)


# Options.

@pytest.mark.parametrize(("name", "options", "message"), [
    ("alexnet", {"padding": "same"}, "alexnet: expected padding 'paper' or 'valid', got 'same'. Choose one"),
    ("vgg16", {"width": -1}, "vgg16: expected width above 0, got -1"),
    ("googlenet", {"width": math.inf}, "googlenet: expected width above 0, got inf"),
    ("alexnet-torchvision", {"padding": "same"}, "^alexnet-torchvision: expected padding 'paper' or 'valid'"),
    ("googlenet-torchvision", {"width": 0}, "googlenet-torchvision: expected width above 0, got 0"),
])
def test_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        tiny(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_crop_of_another_size_is_refused(name):
    size = models.MODELS[name].crops["paper"] - 60
    layer = "pool5/7x7_s1" if name.startswith("googlenet") else "fc6"
    with pytest.raises(ValueError, match=f"layer '{layer}': "):
        tiny(name).eval().forward(np.zeros((1, 3, size, size), np.float32))


def test_rng_dtype_and_architecture():
    one, same, other = (tiny("googlenet", rng=seed, dtype=np.float64).state() for seed in (3, 3, 4))
    assert all(np.array_equal(one[name], same[name]) and one[name].dtype == np.float64 for name in one)
    assert not np.array_equal(one["loss3/classifier.weight"], other["loss3/classifier.weight"])
    assert tiny("vgg16").architecture == {"model": "vgg16", "num_classes": 5, "width": 1 / 64}


# Whoever wants pixels refuses them.

REFUSED = (r"expected a model that scores every pixel \(fcn32s, .*\), got 'alexnet', which scores whole crops\. "
           r"Choose one of these; minifcn\.convolutionalize")


def test_training_refuses_a_classifier():
    with pytest.raises(ValueError, match=f"^train: {REFUSED}"):
        Learner(minifcn.Settings(model="alexnet", iterations=1, data="folder:no/such"), Progress())


def test_prediction_and_evaluation_refuse_a_classifier(tmp_path):
    net = tiny("alexnet")
    minifcn.save(tmp_path / "net.safetensors", net)
    for source in (net, tmp_path / "net.safetensors"):
        with pytest.raises(ValueError, match=f"^predict: {REFUSED}"):
            minifcn.predict(source, np.zeros((227, 227, 3), np.uint8))
        with pytest.raises(ValueError, match=f"^predict: {REFUSED}"):
            minifcn.evaluate(source, "street")


def test_a_checkpoint_comes_back(tmp_path):
    net = tiny("googlenet").eval()
    minifcn.save(tmp_path / "net.safetensors", net)
    loaded, _ = minifcn.load(tmp_path / "net.safetensors")
    x = crop("googlenet").astype(np.float32)
    np.testing.assert_array_equal(loaded.forward(x), net.forward(x))
