"""Published weights in networks here: by name, as the paper's surgery does, all or nothing."""

import numpy as np
import pytest

import minifcn
from minifcn.data import DESCRIPTIONS
from minifcn.graph import Graph
from minifcn.layers import Conv2d
from minifcn.models import build
from minifcn.prediction import Predictor
from minifcn.preprocessing import IMAGENET_MEAN, Preprocessing
from minifcn.published import convert, load_published

SMALL = {"width": 1 / 64}


def network(model, seed, **options):
    """A narrow network whose every number is random, scores and biases too."""
    net, rng = build(model, **SMALL, **options, rng=seed), np.random.default_rng(seed)
    for parameter in net.parameters().values():
        if parameter.trains and not parameter.data.any():
            parameter.data[...] = rng.normal(0, 0.1, parameter.data.shape)
    return net


def blobs(net):
    """{layer: [weight, bias]} of a network, as a .caffemodel has them."""
    layers = {}
    for name, array in net.state().items():
        layers.setdefault(name.rpartition(".")[0], []).append(array)
    return layers


def copies(net):
    return {name: array.copy() for name, array in net.state().items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("layout", ["layers", "layer"])
@pytest.mark.parametrize("model", ["fcn8s", "fcn-alexnet", "fcn-googlenet", "fcn8s-atonce"])
def test_the_authors_own_network(tmp_path, write_caffemodel, model, layout):
    source, target = network(model, 1, num_classes=5), build(model, num_classes=5, **SMALL)
    layers = blobs(source)
    if model == "fcn8s-atonce":
        layers["scale_pool4"] = [np.full(1, 0.01, np.float32)]  # fixed here, a layer with a number in Caffe
    done = load_published(target, write_caffemodel(tmp_path / "net.caffemodel", layers, layout))
    assert_same(target.state(), source.state())
    assert set(done.copied) == set(source.state())
    assert done.untouched == ()
    assert done.dropped == (("scale_pool4.weight",) if model == "fcn8s-atonce" else ())
    assert done.preprocessing == Preprocessing((), (1.0,), None, "BGR")
    x = np.random.default_rng(2).normal(size=(1, 3, 40, 33)).astype(np.float32)
    np.testing.assert_array_equal(target.eval().forward(x), source.eval().forward(x))


@pytest.mark.parametrize("layout", ["layers", "layer"])
def test_a_classifier_starts_an_fcn(tmp_path, write_caffemodel, layout):
    """VGG-16's fc6, 49 times 8 numbers in a row, becomes a 7x7 convolution; fc8 has no place; scores stay at zero."""
    classifier, net = network("vgg16", 1), build("fcn16s", num_classes=5, **SMALL)
    start = copies(net)
    done = load_published(net, write_caffemodel(tmp_path / "vgg.caffemodel", blobs(classifier), layout))
    given, found = classifier.state(), net.state()
    o, c = found["fc6.weight"].shape[:2]
    np.testing.assert_array_equal(found["fc6.weight"], given["fc6.weight"].reshape(o, c, 7, 7))
    np.testing.assert_array_equal(found["fc7.weight"][:, :, 0, 0], given["fc7.weight"])
    np.testing.assert_array_equal(found["conv5_3.weight"], given["conv5_3.weight"])
    np.testing.assert_array_equal(found["conv1_1.bias"], given["conv1_1.bias"])
    assert done.dropped == ("fc8.weight", "fc8.bias")
    for name in done.untouched:
        assert name.startswith(("score_", "upscore"))
        np.testing.assert_array_equal(found[name], start[name])
    assert not found["score_fr.weight"].any()


def test_from_one_fcn_to_the_next(tmp_path):
    """FCN-32s to FCN-16s to FCN-8s, from the file or the folder of a run, and with it how pictures are prepared."""
    coarse, finer = network("fcn32s", 1, num_classes=5), build("fcn16s", num_classes=5, **SMALL)
    run = tmp_path / "run"
    run.mkdir()
    minifcn.save(run / "best.safetensors", coarse, mean=[1, 2, 3], scale=[4, 5, 6], channel_order="BGR")
    for path in (run, run / "best.safetensors"):
        net = build("fcn16s", num_classes=5, **SMALL)
        done = load_published(net, path)
        np.testing.assert_array_equal(net["score_fr"].weight.data, coarse["score_fr"].weight.data)
        assert not net["score_pool4"].weight.data.any()
        assert done.preprocessing == Preprocessing((3, 2, 1), (6, 5, 4), None, "BGR")
        assert done.dropped == ("upscore.weight",)
    assert not finer["score_fr"].weight.data.any()


@pytest.mark.parametrize("model", ["segnet", "bayesian-segnet"])
def test_a_classifier_starts_an_encoder(tmp_path, write_caffemodel, model):
    """VGG-16's convolutions, all of them; batch norms and decoder stay as they were."""
    classifier, net = network("vgg16", 1), build(model, **SMALL)
    start, given = copies(net), classifier.state()
    done = load_published(net, write_caffemodel(tmp_path / "vgg.caffemodel", blobs(classifier)))
    assert set(done.copied) == {name for name in given if name.startswith("conv")}
    assert {name.split(".")[0] for name in done.dropped} == {"fc6", "fc7", "fc8"}
    assert_same(net.state(), {name: given[name] if name in done.copied else start[name] for name in start})


def faults(layers):
    """Each fault: what is done to the layers of a whole fcn8s, and what is said."""
    fc6, conv = layers["fc6"], layers["conv3_2"]
    without = {name: arrays for name, arrays in layers.items() if name not in ("conv3_2", "fc7")}
    first = {name: layers[name] for name in ("conv1_1", "conv1_2")}
    return [
        (without, r"the layers conv3_2 \(4, 4, 3, 3\), fc7 .* in .*net.caffemodel, got conv1_1, .*2 of the network's "
                  r"layers are missing; nothing was loaded"),
        (first, r"the layers conv2_1 .*, conv2_2 .*, conv3_1 .*, conv3_2 .*, \.\.\. in .*Is the file whole"),
        (layers | {"conv3_2": [conv[0][:, :, :1], conv[1]]},
         r"conv3_2.weight is expected to be \(4, 4, 3, 3\), found \(4, 4, 1, 3\)"),
        (layers | {"fc6": [fc6[0].reshape(-1, fc6[0].shape[0]), fc6[1]]}, r"fc6.weight is expected to be .*, found"),
        (layers | {"fc6": fc6[:1]}, r"fc6.bias is missing"),
        (layers | {"conv3_2": [*conv, conv[1]]}, r"conv3_2.blob2 has no counterpart, though its layer has one"),
        ({"conv1": conv}, r"the layers conv1_1 \(1, 3, 3, 3\), .* in .*net.caffemodel, got conv1, ..."),
    ]


@pytest.mark.parametrize("number", range(7))
def test_nothing_is_half_loaded(tmp_path, write_caffemodel, number):
    layers, message = faults(blobs(network("fcn8s", 1, num_classes=5)))[number]
    net = network("fcn8s", 2, num_classes=5)
    before = copies(net)
    with pytest.raises(ValueError, match=rf"^load_published: expected (?s:.*){message}"):
        load_published(net, write_caffemodel(tmp_path / "net.caffemodel", layers))
    assert_same(net.state(), before)


def test_other_classes_start_anew(tmp_path, write_caffemodel):
    path = write_caffemodel(tmp_path / "net.caffemodel", blobs(network("fcn32s", 1, num_classes=21)))
    net = build("fcn32s", num_classes=5, **SMALL)
    with pytest.raises(ValueError, match=r"score_fr.weight is expected to be \(5, 64, 1, 1\), found \(21, 64, 1, 1\)"):
        load_published(net, path)
    done = load_published(net, path, new=["score_fr", "upscore"])
    assert set(done.untouched) == {"score_fr.weight", "score_fr.bias", "upscore.weight"} == set(done.dropped)
    assert done.copied
    with pytest.raises(ValueError, match=r"layers of the network to start anew \(conv1_1, .*\), got fc8. Correct the"):
        load_published(net, path, new=["fc8"])
    trained = network("fcn32s", 2, num_classes=5)  # a score that is not zero is not given up unasked
    classifier = write_caffemodel(tmp_path / "vgg.caffemodel", blobs(network("vgg16", 1)))
    with pytest.raises(ValueError, match=r"expected the layers score_fr \(5, 64, 1, 1\) in .*vgg.caffemodel"):
        load_published(trained, classifier)
    assert load_published(trained, classifier, new=["score_fr"]).untouched[:1] == ("score_fr.weight",)


def test_the_width_is_named(tmp_path, write_caffemodel):
    path = write_caffemodel(tmp_path / "net.caffemodel", blobs(network("fcn32s", 1)))
    with pytest.raises(ValueError, match=r"The network has width 0.03125; published weights fit width 1"):
        load_published(build("fcn32s", width=1 / 32), path)


def test_files_of_no_kind(tmp_path):
    net = build("fcn32s", **SMALL)
    (tmp_path / "net.h5").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"expected a .caffemodel, .safetensors or .pth file, got .*net.h5"):
        load_published(net, tmp_path / "net.h5")
    for name in ("no.caffemodel", "no.safetensors", "no.pth", "no"):
        with pytest.raises(FileNotFoundError, match=name):
            load_published(net, tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"expected best.safetensors or last.safetensors in"):
        load_published(net, tmp_path)


def test_converted_and_then_predicted(tmp_path, write_caffemodel, rng):
    """As Caffe would: blue first, the data set's published mean subtracted, nothing scaled."""
    source = network("fcn32s", 1, num_classes=40)
    path = write_caffemodel(tmp_path / "net.caffemodel", blobs(source))
    done = convert(path, tmp_path / "net.safetensors", "fcn32s", data="nyud", **SMALL)
    assert done.preprocessing == Preprocessing((92.318, 97.203, 116.190), (1.0,), None, "BGR")
    net, meta = minifcn.load(tmp_path / "net.safetensors")
    assert_same(net.state(), source.state())
    assert tuple(meta["classes"]) == DESCRIPTIONS["nyud"].classes
    assert meta["source"] == "net.caffemodel"
    image = rng.integers(0, 256, (30, 41, 3)).astype(np.uint8)
    x = image[:, :, ::-1].astype(np.float32) - np.float32((116.190, 97.203, 92.318))  # as in nyud_layers.py
    expected, red_first = (source.eval().forward(seen.transpose(2, 0, 1)[None])[0] for seen in (x, x[:, :, ::-1]))
    found = Predictor.open(tmp_path / "net.safetensors").scores(image)
    assert abs(found - expected).max() < 1e-4 * abs(expected).max()  # fused, perhaps by Winograd
    assert abs(found - red_first).max() > 1e-3 * abs(expected).max()


def test_converted_without_names_and_with_unknown_ones(tmp_path, write_caffemodel):
    path = write_caffemodel(tmp_path / "net.caffemodel", blobs(network("vgg16", 1)))
    assert convert(path, tmp_path / "net.safetensors", "vgg16", **SMALL).preprocessing.mean == IMAGENET_MEAN
    assert "classes" not in minifcn.load(tmp_path / "net.safetensors")[1]
    with pytest.raises(ValueError, match=r"convert: expected one of camvid, voc, .*, got 'coco'"):
        convert(path, tmp_path / "other.safetensors", "vgg16", data="coco", **SMALL)
    assert not (tmp_path / "other.safetensors").exists()


def test_a_graph_of_ones_own(tmp_path, write_caffemodel, rng):
    """Any Graph with the file's names will do."""
    weight, bias = rng.normal(size=(4, 3, 5, 5)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    net = Graph()
    net.add("conv1/7x7_s2", Conv2d(3, 4, 5, dtype=np.float64), "data")
    load_published(net, write_caffemodel(tmp_path / "a.caffemodel", {"conv1/7x7_s2": [weight, bias]}, "layers"))
    np.testing.assert_array_equal(net["conv1/7x7_s2"].weight.data, weight.astype(np.float64))
    np.testing.assert_array_equal(net["conv1/7x7_s2"].bias.data, bias)
