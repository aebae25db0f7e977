"""From a picture to its labels: sizes, the checkpoint's preprocessing, and everything that a network may come from."""

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn import Graph, ops
from minifcn.layers import BatchNorm2d, Conv2d, Dropout
from minifcn.prediction import Predictor, checkpoint_of, evaluation_mode
from minifcn.preprocessing import Preprocessing


def random_net(rng, **options):
    """An FCN-8s that scores noise: each class by another contrast between channels, so that no class is everywhere."""
    net = minifcn.models.build("fcn8s", num_classes=3, width=1 / 16, padding="same", rng=rng, **options)
    for name in ("score_fr", "score_pool4", "score_pool3"):
        weight = net[name].weight.data
        weight[...] = rng.normal(size=weight.shape)
        weight -= weight.mean(axis=1, keepdims=True)
    return net


def picture(rng, h=21, w=34):
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


def by_hand(net, image, mean=0.0, scale=1.0):
    """Scores of an image of the network's own size."""
    x = ((image - np.asarray(mean)) * np.asarray(scale)).transpose(2, 0, 1)[None].astype(np.float32)
    return net.eval().forward(np.ascontiguousarray(x))[0]


@pytest.mark.parametrize("size", [(1, 1), (21, 34), (64, 33)])
def test_labels_in_the_pictures_own_size(rng, size):
    net, image = random_net(rng), picture(rng, *size)
    labels = minifcn.predict(net, image)
    assert (labels.shape, labels.dtype) == (size, np.uint8)
    np.testing.assert_array_equal(labels, by_hand(net, image).argmax(axis=0))
    assert len(np.unique(labels)) > (size != (1, 1))


def test_the_checkpoint_says_how_to_prepare_the_picture(rng, tmp_path):
    net, image, mean, scale = random_net(rng), picture(rng), (10.0, 120.0, 30.0), (0.01, 0.02, 0.005)
    minifcn.save(tmp_path / "a", net, mean=mean, scale=scale)
    np.testing.assert_array_equal(minifcn.predict(tmp_path / "a", image), by_hand(net, image, mean, scale).argmax(0))
    assert (minifcn.predict(tmp_path / "a", image) != minifcn.predict(net, image)).any()

    minifcn.save(tmp_path / "b", net, mean=mean, scale=scale, channel_order="BGR")
    blue_first = np.ascontiguousarray(image[:, :, ::-1])
    scores = by_hand(net, blue_first, mean, scale)
    np.testing.assert_array_equal(minifcn.predict(tmp_path / "b", image), scores.argmax(axis=0))
    assert (minifcn.predict(tmp_path / "a", image) != minifcn.predict(tmp_path / "b", image)).any()


def test_a_network_of_another_size_sees_a_resized_picture(rng, tmp_path):
    """Down to its own size, and the scores, not the labels, back up."""
    net, image = random_net(rng), picture(rng, 40, 52)
    minifcn.save(tmp_path / "a", net, size=[20, 26])
    small = np.asarray(Image.fromarray(image).resize((26, 20), Image.Resampling.BILINEAR))
    scores, _ = ops.resize_bilinear(by_hand(net, small)[None], output_size=(40, 52))
    labels = minifcn.predict(tmp_path / "a", image)
    np.testing.assert_array_equal(labels, scores[0].argmax(axis=0))
    predictor = Predictor.open(tmp_path / "a")
    assert predictor.labels(image, (7, 9)).shape == (7, 9)
    assert predictor.scores(image, (7, 9)).shape == (3, 7, 9)


def test_networks_files_and_folders(rng, tmp_path):
    good, last, image = random_net(rng), random_net(rng), picture(rng)
    expected = minifcn.predict(good, image)
    assert (minifcn.predict(last, image) != expected).any()
    Image.fromarray(image).save(tmp_path / "image.png")
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected best.safetensors or last.safetensors in .*got neither"):
        minifcn.predict(run, image)
    minifcn.save(run / "last.safetensors", good)
    assert checkpoint_of(run) == run / "last.safetensors"
    np.testing.assert_array_equal(minifcn.predict(run, image), expected)
    minifcn.save(run / "last.safetensors", last)
    minifcn.save(run / "best.safetensors", good)
    for source in (good, Predictor(good), run, str(run), run / "best.safetensors"):
        np.testing.assert_array_equal(minifcn.predict(source, image), expected)
    np.testing.assert_array_equal(minifcn.predict(good, tmp_path / "image.png"), expected)
    np.testing.assert_array_equal(minifcn.predict(run, str(tmp_path / "image.png")), expected)
    with pytest.raises(FileNotFoundError, match=r"load: expected a checkpoint at .*none, got no such file"):
        minifcn.predict(tmp_path / "none", image)


def test_the_mode_is_restored_layer_by_layer(rng):
    """A network in training with one frozen batch norm stays just that, even when the forward fails."""
    inner = Graph()
    inner.add("norm", BatchNorm2d(3), "data")
    inner.add("drop", Dropout(0.9), "norm")
    net = Graph()
    net.add("conv", Conv2d(3, 3, 3, padding=1), "data")
    net.add("inner", inner, "conv")
    inner["norm"].eval()
    modes = [layer.training for layer in (net, inner, inner["norm"], inner["drop"], net["conv"])]
    before = {name: array.copy() for name, array in net.state().items()}
    image = picture(rng)
    first = minifcn.predict(net, image)
    np.testing.assert_array_equal(minifcn.predict(net, image), first)  # no dropout in it
    assert all(np.array_equal(before[name], array) for name, array in net.state().items())
    assert not net._has_open_caches()
    with evaluation_mode(net):
        assert not any(layer.training for layer in (net, inner, inner["norm"], inner["drop"], net["conv"]))
    net["conv"].weight.data = np.ones((3, 4, 3, 3), np.float32)
    with pytest.raises(ValueError, match="layer 'conv'"):
        minifcn.predict(net, image)
    assert [layer.training for layer in (net, inner, inner["norm"], inner["drop"], net["conv"])] == modes
    assert modes == [True, True, False, True, True]


def test_float64_networks(rng):
    net = random_net(rng, dtype=np.float64)
    assert Predictor.open(net).scores(picture(rng)).dtype == np.float64


@pytest.mark.parametrize(("image", "kind", "message"), [
    (np.zeros((4, 5, 3)), TypeError, "predict: expected an image of uint8, 0..255, got float64. Scale it to 0..255"),
    (np.zeros((4, 5), np.uint8), ValueError, r"predict: expected one RGB image \(H, W, 3\), got shape \(4, 5\). Pass"),
    (np.zeros((4, 5, 4), np.uint8), ValueError, r"got shape \(4, 5, 4\)"),
    (np.zeros((1, 4, 5, 3), np.uint8), ValueError, r"got shape \(1, 4, 5, 3\)"),
    ("no/such/file.png", ValueError, "expected an image file at no.such.file.png, got no such file"),
])
def test_pictures_that_are_none(rng, image, kind, message):
    with pytest.raises(kind, match=message):
        minifcn.predict(random_net(rng), image)


def test_scores_that_are_no_numbers(rng):
    net = random_net(rng)
    net["fc7"].weight.data[0] = np.nan
    with pytest.raises(ValueError, match=r"predict: expected finite scores, got NaN or infinity.*earlier checkpoint"):
        minifcn.predict(net, picture(rng))


def test_preprocessing_from_what_a_checkpoint_says(rng):
    assert Preprocessing.from_meta({}) == Preprocessing()
    chosen = Preprocessing.from_meta({"mean": [1, 2, 3], "scale": [1, 1, 2], "size": [4, 6], "other": 0})
    assert chosen == Preprocessing((1, 2, 3), (1, 1, 2), (4, 6), "RGB")
    x = Preprocessing()(picture(rng, 2, 3), np.float64)
    assert (x.shape, x.dtype) == ((1, 3, 2, 3), np.float64)
