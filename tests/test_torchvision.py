"""torchvision's names and files; that the numbers compute the same is shown in tests/parity."""

import pickle
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from minifcn.models import build
from minifcn.preprocessing import Preprocessing
from minifcn.published import convert, load_published
from minifcn.surgery import convolutionalize
from minifcn.weights import load

VGG16 = {"features.0": "conv1_1", "features.2": "conv1_2", "features.5": "conv2_1", "features.7": "conv2_2",
         "features.10": "conv3_1", "features.12": "conv3_2", "features.14": "conv3_3", "features.17": "conv4_1",
         "features.19": "conv4_2", "features.21": "conv4_3", "features.24": "conv5_1", "features.26": "conv5_2",
         "features.28": "conv5_3", "classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
ALEXNET = {"features.0": "conv1", "features.3": "conv2", "features.6": "conv3", "features.8": "conv4",
           "features.10": "conv5", "classifier.1": "fc6", "classifier.4": "fc7", "classifier.6": "fc8"}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def googlenet_names():
    names = {"conv1": "conv1/7x7_s2", "conv2": "conv2/3x3_reduce", "conv3": "conv2/3x3"}
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for branch, way in (("1", "1x1"), ("2.0", "3x3_reduce"), ("2.1", "3x3"), ("3.0", "5x5_reduce"), ("3.1", "5x5"),
                            ("4.1", "pool_proj")):
            names[f"inception{block}.branch{branch}"] = f"inception_{block}/{way}"
    parts = {f"{theirs}.conv": ours for theirs, ours in names.items()}
    parts |= {f"{theirs}.bn": f"{ours}/bn" for theirs, ours in names.items()}
    return parts | {"fc": "loss3/classifier"}


# Model here -> torchvision's names of its layers and the names here, mean and deviation for pixels of 0..1.
NETWORKS = {"vgg16": (VGG16, *IMAGENET), "alexnet-torchvision": (ALEXNET, *IMAGENET),
            "googlenet-torchvision": (googlenet_names(), (0.5,) * 3, (0.5,) * 3)}


def state_dict(model, rng):
    """torchvision's state_dict of a model, 1/64 as wide, as NumPy arrays."""
    own, theirs = build(model, width=1 / 64).state(), {ours: name for name, ours in NETWORKS[model][0].items()}
    arrays = {}
    for name, array in own.items():
        layer, _, kind = name.rpartition(".")
        arrays[f"{theirs[layer]}.{kind}"] = rng.normal(size=array.shape).astype(np.float32)
    return arrays


def saved(path, model, rng):
    """The same as a file of all that torchvision writes: counters of batches and auxiliary heads too."""
    arrays = state_dict(model, rng)
    if model == "googlenet-torchvision":
        arrays |= {f"{name}.num_batches_tracked": np.array(7) for name in NETWORKS[model][0] if name.endswith("bn")}
        arrays |= {"aux1.conv.conv.weight": np.ones((2, 8, 1, 1), np.float32), "aux2.fc2.bias": np.ones(5, np.float32)}
        arrays["aux1.conv.bn.num_batches_tracked"] = np.array(7)
    save_file(arrays, path)
    return arrays


@pytest.fixture
def vgg(rng):
    return state_dict("vgg16", rng)


@pytest.mark.parametrize("model", NETWORKS)
def test_names_and_preprocessing(tmp_path, rng, model):
    given, net = saved(tmp_path / "net.safetensors", model, rng), build(model, width=1 / 64)
    done = load_published(net, tmp_path / "net.safetensors")
    names, mean, deviation = NETWORKS[model]
    for theirs, ours in names.items():
        for kind, array in own_arrays(net[ours]).items():
            np.testing.assert_array_equal(array, given[f"{theirs}.{kind}"], err_msg=f"{ours}.{kind}")
    assert done.untouched == done.dropped == ()
    assert done.preprocessing.channel_order == "RGB"
    pixel = np.array([10, 100, 200])
    expected = (pixel / 255 - mean) / deviation
    np.testing.assert_allclose((pixel - done.preprocessing.mean) * done.preprocessing.scale, expected)


def own_arrays(layer):
    return {name: parameter.data for name, parameter in layer.parameters().items()} | layer.buffers()


def test_it_starts_an_fcn(tmp_path, vgg):
    save_file(vgg, tmp_path / "vgg16.safetensors")
    net = build("fcn32s", num_classes=3, width=1 / 64)
    done = load_published(net, tmp_path / "vgg16.safetensors")
    np.testing.assert_array_equal(net["fc6"].weight.data.ravel(), vgg["classifier.0.weight"].ravel())
    assert set(done.dropped) == {"fc8.weight", "fc8.bias"}


@pytest.mark.parametrize(("net", "given", "message"), [
    ("alexnet", "alexnet-torchvision", "fit alexnet, got torchvision's AlexNet in .*: 64, 192, 384, 256, 256 channels "
     ".* no groups, .* Build alexnet-torchvision for it; for Caffe's AlexNet use bvlc_reference_caffenet.caffemodel"),
    ("fcn-alexnet", "alexnet-torchvision", "fit fcn-alexnet, got torchvision's AlexNet .* Build alexnet-torchvision"),
    ("googlenet", "googlenet-torchvision", "fit googlenet, got torchvision's GoogLeNet in .*: batch normalisation "
     ".* 3x3 .* Build googlenet-torchvision for it; for Caffe's GoogLeNet use bvlc_googlenet.caffemodel"),
    ("fcn-googlenet", "googlenet-torchvision", "fit fcn-googlenet, got torchvision's GoogLeNet"),
    ("fcn32s", "googlenet-torchvision", "fit fcn32s, got torchvision's GoogLeNet"),
    ("googlenet-torchvision", "alexnet-torchvision", "fit googlenet-torchvision, got torchvision's AlexNet"),
])
def test_networks_of_the_same_name_are_told_apart(tmp_path, rng, net, given, message):
    saved(tmp_path / "net.safetensors", given, rng)
    net = build(net, width=1 / 64)
    before = {name: array.copy() for name, array in net.state().items()}
    with pytest.raises(ValueError, match=f"load_published: expected weights that {message}"):
        load_published(net, tmp_path / "net.safetensors")
    assert all(np.array_equal(array, before[name]) for name, array in net.state().items())


@pytest.mark.parametrize("model", ["alexnet-torchvision", "googlenet-torchvision"])
def test_a_dense_network_takes_its_classifiers_weights(tmp_path, rng, model):
    """It does not say what it is, but its shapes do: those of Caffe's AlexNet fit nothing here."""
    saved(tmp_path / "net.safetensors", model, rng)
    classifier = build(model, width=1 / 64, rng=1)
    load_published(classifier, tmp_path / "net.safetensors")
    dense = convolutionalize(build(model, width=1 / 64, rng=2), 224)
    load_published(dense, tmp_path / "net.safetensors")
    for name, array in classifier.state().items():
        np.testing.assert_array_equal(dense.state()[name].ravel(), array.ravel(), err_msg=name)
    if model == "alexnet-torchvision":
        with pytest.raises(ValueError, match=r"conv2.weight is expected to be \(4, 1, 5, 5\), found \(4, 2, 5, 5\)"):
            load_published(convolutionalize(build("alexnet", width=1 / 64), 227), tmp_path / "net.safetensors")


def test_conversion_keeps_running_statistics_and_preprocessing(tmp_path, rng):
    given = saved(tmp_path / "net.safetensors", "googlenet-torchvision", rng)
    convert(tmp_path / "net.safetensors", tmp_path / "out.safetensors", "googlenet-torchvision", width=1 / 64)
    net, meta = load(tmp_path / "out.safetensors")
    np.testing.assert_array_equal(net["conv2/3x3/bn"].running_var, given["conv3.bn.running_var"])
    np.testing.assert_array_equal(net["conv2/3x3/bn"].running_mean, given["conv3.bn.running_mean"])
    found = Preprocessing.from_meta(meta)
    assert (found.mean, found.channel_order) == ((127.5,) * 3, "RGB")
    np.testing.assert_allclose(found.scale, (1 / 127.5,) * 3)


@pytest.mark.parametrize(("names", "message"), [
    (["features.0", "features.3", "features.6", "classifier.1"],
     r"those of AlexNet without features.8 \(conv4\), features.10 \(conv5\), classifier.4 \(fc7\)\. Use"),
    (["conv1.conv", "inception3a.branch1.conv"],
     r"those of GoogLeNet without conv1.bn \(conv1/7x7_s2/bn\), conv2.conv \(conv2/3x3_reduce\), conv2.bn"),
    (["features.0", "features.2"], r"those of VGG-16 without features.5 \(conv2_1\), features.7 \(conv2_2\)"),
    (["conv1", "bn1", "layer1.0.conv1", "layer1.0.conv2"], r"bn1, conv1, layer1.0.conv1\. Use torchvision's vgg16,"),
    ([], r"none\. Use"),
])
def test_other_networks(tmp_path, names, message):
    save_file({f"{name}.weight": np.zeros((2, 2), np.float32) for name in names}, tmp_path / "net.safetensors")
    net = build("vgg16", width=1 / 64)
    with pytest.raises(ValueError, match=rf"torchvision: expected .* VGG-16 .* in .*net.safetensors, got {message}"):
        load_published(net, tmp_path / "net.safetensors")


def test_more_layers_than_vgg16(tmp_path, vgg):
    save_file(vgg | {"features.30.weight": np.zeros(1, np.float32)}, tmp_path / "vgg19.safetensors")
    with pytest.raises(ValueError, match=r"without batch normalisation.* got those of VGG-16 and features.30"):
        load_published(build("vgg16", width=1 / 64), tmp_path / "vgg19.safetensors")


def test_cut_short(tmp_path, vgg):
    path = tmp_path / "vgg16.safetensors"
    save_file(vgg, path)
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"expected a whole .safetensors file in .*vgg16.safetensors, got"):
            load_published(build("vgg16", width=1 / 64), path)


def test_pth(tmp_path, vgg):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in vgg.items()}
    for dtype, tolerance in ((torch.float32, 0), (torch.float16, 1e-2), (torch.bfloat16, 1e-1)):
        torch.save({name: tensor.to(dtype) for name, tensor in tensors.items()}, tmp_path / "vgg16.pth")
        net = build("vgg16", width=1 / 64)
        load_published(net, tmp_path / "vgg16.pth")
        np.testing.assert_allclose(net["conv1_1"].weight.data, vgg["features.0.weight"], atol=tolerance)
        np.testing.assert_allclose(net["fc8"].bias.data, vgg["classifier.6.bias"], atol=tolerance)
    whole = (tmp_path / "vgg16.pth").read_bytes()
    (tmp_path / "vgg16.pth").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ValueError, match=r"torchvision: expected a whole file of tensors in .*vgg16.pth, got one that"):
        load_published(net, tmp_path / "vgg16.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"expected a dictionary of tensors in .*list.pth, got list. Save model.state"):
        load_published(net, tmp_path / "list.pth")


class Intruder:
    """A pickle of it makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_runs_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"features.0.weight": Intruder(tmp_path / "been here")}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Intruder(tmp_path / "been here")))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(ValueError, match=r"or holds something else, which is not loaded"):
            load_published(build("vgg16", width=1 / 64), tmp_path / name)
    assert not (tmp_path / "been here").exists()


def test_without_torch(tmp_path, monkeypatch):
    (tmp_path / "vgg16.pth").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"expected PyTorch to read .*vgg16.pth, got none. Install torch, or convert"):
        load_published(build("vgg16", width=1 / 64), tmp_path / "vgg16.pth")
