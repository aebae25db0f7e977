"""Published weights in networks of several inputs or outputs: colour and depth (NYUDv2), two heads (SIFT Flow)."""

import numpy as np
import pytest

import minifcn
from minifcn.data import DESCRIPTIONS, Dataset, Sample
from minifcn.models import build
from minifcn.prediction import Predictor
from minifcn.preparation import preprocessing_for
from minifcn.preprocessing import Preprocessing
from minifcn.published import convert, load_published, load_streams
from minifcn.settings import Settings

SMALL = {"width": 1 / 64}
COLOR, HHA = (92.318, 97.203, 116.190), (132.431, 94.076, 118.477)


def network(model, seed, **options):
    """A narrow network with random scores."""
    net, rng = build(model, **SMALL, **options, rng=seed), np.random.default_rng(seed)
    for parameter in net.parameters().values():
        if not parameter.data.any():
            parameter.data[...] = rng.normal(0, 0.1, parameter.data.shape)
    return net


@pytest.fixture
def written(tmp_path, write_caffemodel):
    """written(net, name) -> the .caffemodel of a network."""
    def write(net, name):
        layers = {}
        for key, array in net.state().items():
            layers.setdefault(key.rpartition(".")[0], []).append(array)
        return write_caffemodel(tmp_path / f"{name}.caffemodel", layers)
    return write


def test_early_fusion_starts_with_the_mean_of_the_colours(written):
    classifier, net = network("vgg16", 1), build("nyud-fcn32s-color-d", **SMALL)
    done = load_published(net, written(classifier, "vgg16"))
    weight, found = classifier["conv1_1"].weight.data, net["conv1_1_bgrd"].weight.data
    np.testing.assert_array_equal(found[:, :3], weight)
    np.testing.assert_allclose(found[:, 3], (weight[:, 0] + weight[:, 1] + weight[:, 2]) / 3, rtol=1e-6)
    np.testing.assert_array_equal(net["conv1_1_bgrd"].bias.data, classifier["conv1_1"].bias.data)
    assert {"conv1_1_bgrd.weight", "conv1_1_bgrd.bias", "conv1_2.weight"} <= set(done.copied)
    trained = network("nyud-fcn32s-color-d", 2)  # the authors' own has the layer already
    load_published(net, written(trained, "early"))
    np.testing.assert_array_equal(net["conv1_1_bgrd"].weight.data, trained["conv1_1_bgrd"].weight.data)


def test_late_fusion_starts_from_two_networks(tmp_path, written):
    color, hha = (network("fcn32s", seed, num_classes=40) for seed in (1, 2))
    net = build("nyud-fcn32s-color-hha", **SMALL)
    done = load_streams(net, [written(color, "color"), written(hha, "hha")])
    for layer in ("conv1_1", "fc7", "score_fr"):
        np.testing.assert_array_equal(net[f"{layer}color"].weight.data, color[layer].weight.data)
        np.testing.assert_array_equal(net[f"{layer}hha"].weight.data, hha[layer].weight.data)
    assert done.untouched == ("upscore.weight",)
    assert done.preprocessing == Preprocessing((), (1.0, 1.0, 1.0) * 2, None, "BGR")
    minifcn.save(tmp_path / "color.safetensors", color, mean=[3, 2, 1], channel_order="BGR")
    minifcn.save(tmp_path / "hha.safetensors", hha, mean=[4, 5, 6], scale=[1, 2, 3])
    done = load_streams(net, [tmp_path / "color.safetensors", tmp_path / "hha.safetensors"])
    assert done.preprocessing == Preprocessing((1, 2, 3, 4, 5, 6), (1.0, 1.0, 1.0, 1, 2, 3), None, "BGR")


def test_late_fusion_all_or_nothing(tmp_path, written):
    color, net = network("fcn32s", 1, num_classes=40), build("nyud-fcn32s-color-hha", **SMALL)
    before = {name: array.copy() for name, array in net.state().items()}
    part = minifcn.Graph()
    part.add("fc7", color["fc7"], "data")
    paths = [written(color, "color"), written(part, "part")]
    with pytest.raises(ValueError, match=r"expected the layers conv1_1hha .* in .*part.caffemodel, got fc7"):
        load_streams(net, paths)
    for name, array in net.state().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match=r"one file, or 2 for the inputs color, hha, got 3. Give one for each stream"):
        load_streams(net, ["a", "b", "c"])
    with pytest.raises(ValueError, match="one file, or 1 for the inputs data, got 2"):
        load_streams(color, ["a", "b"])


@pytest.mark.parametrize(("kind", "model", "mean", "order"), [
    ("nyud", "fcn32s", COLOR, "BGR"), ("nyud-hha", "fcn32s", HHA, "RGB"),
    ("nyud-rgb-hha", "nyud-fcn32s-color-hha", COLOR + HHA, "BGR"),
    ("nyud-rgbd", "nyud-fcn32s-color-d", (*COLOR, 7.844), "BGR"),
])
def test_as_the_authors_prepare_rooms(tmp_path, written, rng, kind, model, mean, order):
    """Colours are turned round, HHA and depth stay in place: for a converted file and for training alike."""
    source = network(model, 1, num_classes=40)
    path = written(source, "net")
    done = convert(path, tmp_path / "net.safetensors", model, data=kind, **SMALL)
    assert done.preprocessing == Preprocessing(mean, (1.0,), None, order)
    image = rng.integers(1, 256, (20, 24, len(mean))).astype(np.float32)
    colors = [image[..., 2::-1]] if kind != "nyud-hha" else [image[..., :3]]
    averages = [*mean[2::-1], *mean[3:]] if kind != "nyud-hha" else mean
    x = (np.concatenate([*colors, image[..., 3:]], axis=2) - np.float32(averages)).transpose(2, 0, 1)[None]
    xs = (x[:, :3], x[:, 3:]) if len(mean) == 6 else (x,)
    expected = source.eval().forward(*xs)[0]
    found = Predictor.open(tmp_path / "net.safetensors").scores(image)
    assert abs(found - expected).max() < 1e-4 * abs(expected).max()  # fused, perhaps by Winograd

    rooms = Dataset(kind, DESCRIPTIONS[kind].classes, DESCRIPTIONS[kind].palette, "train")
    rooms.published_mean, rooms.has_colors = DESCRIPTIONS[kind].mean, DESCRIPTIONS[kind].has_colors
    settings = Settings(iterations=1, weights=str(path))
    trained, said = preprocessing_for(settings, build(model, num_classes=40, **SMALL), rooms)
    assert trained == Preprocessing(mean, (1.0,), None, order)
    assert f"weights from {path}" in said


class Scenes(Dataset):
    """Three small pictures with one of SIFT Flow's labelings."""

    def __init__(self, kind):
        super().__init__(kind, DESCRIPTIONS[kind].classes, DESCRIPTIONS[kind].palette, "test")

    def __len__(self):
        return 3

    def load(self, index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
        return Sample(image, rng.integers(0, len(self.classes), (20, 24)).astype(np.uint8), str(index))


@pytest.mark.parametrize(("kind", "head"), [("siftflow", 0), ("siftflow-geo", 1)])
def test_one_of_two_heads_is_scored(tmp_path, written, kind, head):
    source = network("siftflow-fcn16s", 1)
    convert(written(source, "net"), tmp_path / "net.safetensors", "siftflow-fcn16s", data=kind, **SMALL)
    data, right = Scenes(kind), []
    for sample in data:
        x = sample.image[..., ::-1].astype(np.float32) - np.float32((114.578, 115.294, 108.353))  # siftflow_layers.py
        scores = source.eval().forward(x.transpose(2, 0, 1)[None])[head]
        assert scores.shape[1] == len(data.classes)
        right.append(scores[0].argmax(axis=0) == sample.label)
    found = minifcn.evaluate(tmp_path / "net.safetensors", data)
    assert found["pixel_accuracy"] == pytest.approx(np.mean(right), abs=0.01)
    with pytest.raises(ValueError, match="expected a data set with the classes that the network was trained on"):
        minifcn.evaluate(tmp_path / "net.safetensors", Scenes("siftflow" if head else "siftflow-geo"))
