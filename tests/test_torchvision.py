"""torchvision's names and files; that the numbers compute the same is shown in tests/parity."""

import pickle
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from minifcn.models import build
from minifcn.published import load_published

CONVOLUTIONS = {0: "conv1_1", 2: "conv1_2", 5: "conv2_1", 7: "conv2_2", 10: "conv3_1", 12: "conv3_2", 14: "conv3_3",
                17: "conv4_1", 19: "conv4_2", 21: "conv4_3", 24: "conv5_1", 26: "conv5_2", 28: "conv5_3"}
HEAD = {0: "fc6", 3: "fc7", 6: "fc8"}


@pytest.fixture
def vgg(rng):
    """torchvision's state_dict of VGG-16, 1/64 as wide, as NumPy arrays."""
    own = build("vgg16", width=1 / 64).state()
    names = {f"features.{n}": layer for n, layer in CONVOLUTIONS.items()}
    names |= {f"classifier.{n}": layer for n, layer in HEAD.items()}
    return {f"{theirs}.{kind}": rng.normal(size=own[f"{ours}.{kind}"].shape).astype(np.float32)
            for theirs, ours in names.items() for kind in ("weight", "bias")}


def test_names_and_preprocessing(tmp_path, vgg):
    save_file(vgg, tmp_path / "vgg16.safetensors")
    net = build("vgg16", width=1 / 64)
    done = load_published(net, tmp_path / "vgg16.safetensors")
    for number, name in CONVOLUTIONS.items():
        np.testing.assert_array_equal(net[name].weight.data, vgg[f"features.{number}.weight"])
    for number, name in HEAD.items():
        np.testing.assert_array_equal(net[name].weight.data, vgg[f"classifier.{number}.weight"])
        np.testing.assert_array_equal(net[name].bias.data, vgg[f"classifier.{number}.bias"])
    assert done.untouched == done.dropped == ()
    assert done.preprocessing.channel_order == "RGB"
    pixel = np.array([10, 100, 200])
    expected = (pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose((pixel - done.preprocessing.mean) * done.preprocessing.scale, expected)


def test_it_starts_an_fcn(tmp_path, vgg):
    save_file(vgg, tmp_path / "vgg16.safetensors")
    net = build("fcn32s", num_classes=3, width=1 / 64)
    done = load_published(net, tmp_path / "vgg16.safetensors")
    np.testing.assert_array_equal(net["fc6"].weight.data.ravel(), vgg["classifier.0.weight"].ravel())
    assert set(done.dropped) == {"fc8.weight", "fc8.bias"}


@pytest.mark.parametrize(("names", "message"), [
    (["features.0.weight", "features.3.weight", "features.6.weight", "classifier.1.weight"],
     "AlexNet, which is another network than Caffe's: 64, 192, 384, 256, 256 channels .* no groups"),
    (["conv1.conv.weight", "inception3a.branch1.conv.weight"], "GoogLeNet, which is another network .* 3x3 in place"),
    (["features.0.weight", "features.2.weight"], r"got no features.5 \(conv2_1\), features.7 \(conv2_2\)"),
    (["conv1.weight"], r"got no features.0 \(conv1_1\)"),
])
def test_other_networks(tmp_path, names, message):
    save_file({name: np.zeros((2, 2), np.float32) for name in names}, tmp_path / "net.safetensors")
    net = build("vgg16", width=1 / 64)
    with pytest.raises(ValueError, match=rf"torchvision: expected .* VGG-16 .*net.safetensors, .*{message}"):
        load_published(net, tmp_path / "net.safetensors")


def test_more_layers_than_vgg16(tmp_path, vgg):
    save_file(vgg | {"features.30.weight": np.zeros(1, np.float32)}, tmp_path / "vgg19.safetensors")
    with pytest.raises(ValueError, match=r"without batch normalisation in .*vgg19.safetensors, got also features.30"):
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
