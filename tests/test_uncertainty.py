"""Monte-Carlo dropout: against a brute force that keeps every sample, and nothing of the network is changed by it."""

import json
import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn import Graph, cli, ops, pictures
from minifcn.cutting import steady_and_changing
from minifcn.kernels import reference
from minifcn.layers import Add, BatchNorm2d, Conv2d, Dropout, MaxPool2d, MaxUnpool2d, ReLU, SpatialDropout
from minifcn.pictures.uncertainty import largest_variance
from minifcn.prediction import Predictor
from minifcn.uncertainty import Sampler, dropping, sample_predictions

FIELDS = ("mean", "variance", "labels", "uncertainty", "entropy", "mutual_information")
PALETTE = np.array([(10, 120, 240), (200, 40, 60), (250, 210, 50)], np.uint8)
CLASSES = ("sky", "car", "pole")


def tiny(rng, drop=None):
    """conv -> norm -> relu -> drop -> score, in float64 and in training mode, with scores of a few units."""
    make = {"rng": rng, "dtype": np.float64}
    net = Graph()
    x = net.add("conv", Conv2d(3, 5, 3, padding=1, **make), "data")
    x = net.add("norm", BatchNorm2d(5, dtype=np.float64), x)
    x = net.add("relu", ReLU(), x)
    x = net.add("drop", Dropout(0.4, rng=rng) if drop is None else drop, x)
    net.add("score", Conv2d(5, 3, 1, **make), x)
    net["norm"].running_mean[...] = rng.normal(size=5)
    net["norm"].running_var[...] = 1e4 * rng.uniform(1, 2, 5)
    return net


def picture(rng, h=7, w=9):
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def brute_force(net, x, samples, seed, resize=lambda scores: scores):
    """Probabilities of every sample, (samples, K, H, W): what is below the dropout as it is, the rest written out."""
    net.eval()
    below = dict(net.walk(x))["relu"]
    net.train()
    keys = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    found, weight, bias = [], net["score"].weight.data[:, :, 0, 0], net["score"].bias.data
    for _ in range(samples):
        dropped = reference.dropout(below, int(keys.integers(2**63)), net["drop"].p, 1)
        scores = np.einsum("kc,nchw->nkhw", weight, dropped) + bias[:, None, None]
        found.append(softmax(resize(scores)))
    return np.concatenate(found)


def entropies(p, axis):
    return -(p * np.log(p)).sum(axis=axis)


def assert_moments_of(found, all_samples):
    mean = all_samples.mean(axis=0)
    expected = {
        "mean": mean, "variance": all_samples.var(axis=0), "labels": mean.argmax(axis=0),
        "uncertainty": all_samples.var(axis=0).mean(axis=0), "entropy": entropies(mean, 0),
        "mutual_information": entropies(mean, 0) - entropies(all_samples, 1).mean(axis=0),
    }
    for name in FIELDS:
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-10, atol=1e-13, err_msg=name)


def pixels(image):
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float64)


# What is computed.

@pytest.mark.parametrize("fuse", [True, False])
def test_against_all_samples_kept(rng, fuse):
    net, image = tiny(rng), picture(rng)
    found = sample_predictions(Predictor(net, fuse=fuse), image, samples=7, rng=4)
    expected = brute_force(net, pixels(image), 7, seed=4)
    assert_moments_of(found, expected)
    assert [getattr(found, name).shape for name in FIELDS] == [(3, 7, 9)] * 2 + [(7, 9)] * 4
    assert [getattr(found, name).dtype for name in FIELDS] == [np.dtype(kind) for kind in "ddBddd"]
    assert found.uncertainty.max() > 0.01  # the samples do differ
    assert found.mutual_information.max() > 0.01
    assert len(np.unique(found.labels)) > 1


def test_scores_come_to_the_pictures_grid_before_softmax(rng):
    net, image = tiny(rng), picture(rng, 8, 10)
    small = np.asarray(Image.fromarray(image).resize((5, 4), Image.Resampling.BILINEAR))
    found = sample_predictions(Predictor(net, {"size": [4, 5]}), image, samples=4, rng=1)
    expected = brute_force(net, pixels(small), 4, 1, lambda s: ops.resize_bilinear(s, output_size=(8, 10))[0])
    assert_moments_of(found, expected)
    late, _ = ops.resize_bilinear(brute_force(net, pixels(small), 4, 1), output_size=(8, 10))
    assert np.abs(late.mean(axis=0) - found.mean).max() > 1e-3
    assert Sampler.of(net, 2).scores(image, (3, 4)).shape == (3, 3, 4)


def branching(rng):
    """From the part that stands still come where the maxima stood, the image, a side branch; a Graph drops, too."""
    make = {"rng": rng, "dtype": np.float64}
    inner = Graph()
    inner.add("drop", SpatialDropout(0.5, rng=rng.spawn(1)[0]), "data")
    inner.add("conv", Conv2d(4, 4, 1, **make), "drop")
    net = Graph()
    net.add("conv1", Conv2d(3, 4, 3, padding=1, **make), "data")
    net.add("relu1", ReLU(), "conv1")
    net.add("pool", MaxPool2d(2, return_indices=True), "relu1")
    net.add("inner", inner, "pool")
    net.add("side", Conv2d(3, 3, 1, **make), "data")
    net.add("drop2", Dropout(0.3, rng=rng.spawn(1)[0]), "inner")
    net.add("unpool", MaxUnpool2d(), "drop2", "pool.record")
    net.add("conv2", Conv2d(4, 3, 3, padding=1, **make), "unpool")
    net.add("sum", Add(), "conv2", "side", "data")
    for name in ("conv1", "side", "conv2"):
        net[name].weight.data *= 0.05
    return net


@pytest.mark.parametrize("make", [
    branching,
    lambda rng: minifcn.models.build("fcn8s", num_classes=3, width=1 / 64, padding="same", rng=rng, dtype=np.float64),
])
def test_what_stands_still_is_computed_once_and_makes_no_difference(rng, make):
    net, image = make(rng), picture(rng, 12, 10)
    for name in ("score_fr", "score_pool4", "score_pool3"):
        if make is not branching:
            net[name].weight.data[...] = 0.5 * rng.normal(size=net[name].weight.data.shape)
    with dropping(net, np.random.SeedSequence(5)):
        whole = np.concatenate([softmax(net.forward(pixels(image), record=False)) for _ in range(4)])
    assert whole.var(axis=0).max() > 1e-4
    assert_moments_of(sample_predictions(net, image, 4, 5), whole)


def test_the_parts(rng):
    steady, changing = steady_and_changing(branching(rng), lambda layer: isinstance(layer, (Graph, Dropout)))
    assert [node.name for node in steady.nodes] == ["conv1", "relu1", "pool", "side"]
    assert steady.outputs == changing.inputs == ("pool", "pool.record", "side", "data")
    assert [node.name for node in changing.nodes] == ["inner", "drop2", "unpool", "conv2", "sum"]
    first = Graph()  # dropout on the image: nothing stands still
    first.add("drop", Dropout(), "data")
    steady, changing = steady_and_changing(first, lambda layer: isinstance(layer, Dropout))
    assert (steady.nodes, steady.outputs) == ([], ("data",))
    x = rng.normal(size=(1, 2, 3, 4))
    assert steady.forward(x, record=False) is x
    steady, changing = steady_and_changing(first, lambda layer: False)
    assert changing.nodes == []


def test_the_trunk_runs_once(rng):
    calls = []

    class Counted(Conv2d):
        def _forward(self, x):
            calls.append(x.shape)
            return super()._forward(x)

    net = Graph()
    net.add("conv", Counted(3, 4, 1, rng=rng), "data")
    net.add("drop", Dropout(), "conv")
    net.add("score", Conv2d(4, 3, 1, rng=rng), "drop")
    sample_predictions(net, picture(rng), samples=5)
    assert len(calls) == 1


# Random numbers.

def test_same_seed_same_bits(rng):
    net, image = tiny(rng), picture(rng)
    first, again = (sample_predictions(net, image, 3, 11) for _ in range(2))
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in FIELDS)
    assert not np.array_equal(first.mean, sample_predictions(net, image, 3, 12).mean)
    one, same = np.random.default_rng(2), np.random.default_rng(2)
    drawn = [sample_predictions(net, image, 3, one).mean for _ in range(2)]
    assert not np.array_equal(*drawn)  # a Generator moves on
    np.testing.assert_array_equal(drawn, [sample_predictions(net, image, 3, same).mean for _ in range(2)])


def test_each_picture_meets_the_same_masks(rng):
    sampler, image = Sampler.of(tiny(rng), 3, 4), picture(rng)
    first = sampler.scores(image)
    sampler.scores(picture(rng))
    np.testing.assert_array_equal(sampler.scores(image), first)


# What is left behind.

def test_nothing_is_changed(rng):
    """A network in training with one frozen batch norm stays just that, even after an interrupt."""
    net, image = tiny(rng), picture(rng)
    net["norm"].eval()
    generator = net["drop"].rng
    where, state = generator.bit_generator.state, {name: array.copy() for name, array in net.state().items()}

    def stop(done, total):
        raise KeyboardInterrupt

    sample_predictions(net, image, 3)
    with pytest.raises(KeyboardInterrupt):
        sample_predictions(net, image, 3, progress=stop)
    assert [layer.training for layer in (net, *net.layers())] == [True, True, False, True, True, True]
    assert all(np.array_equal(state[name], array) for name, array in net.state().items())
    assert net["drop"].rng is generator
    assert generator.bit_generator.state == where
    assert not net._has_open_caches()
    assert not any(layer._caches for layer in net.layers())
    assert all(p.prepared is None and p.data.flags.writeable for p in net.parameters().values())
    with dropping(net, np.random.SeedSequence(0)):
        assert [layer.training for layer in net.layers()] == [False, False, False, True, False]


def test_memory_does_not_grow_with_the_samples(rng):
    net, image = tiny(rng), picture(rng, 40, 50)

    def peak(samples):
        tracemalloc.start()
        sample_predictions(net, image, samples)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(12) < peak(2) + 3 * 3 * 40 * 50 * 8  # kept, ten more samples would take ten such maps


def test_progress_and_frozen_weights(rng):
    """Frozen meanwhile, so that what kernels prepare from a weight is prepared once for all samples."""
    net, calls = tiny(rng), []
    weight = net["score"].weight.data
    sample_predictions(net, picture(rng), 3, progress=lambda *done: calls.append((*done, weight.flags.writeable)))
    assert calls == [(1, 3, False), (2, 3, False), (3, 3, False)]


# Bad use.

def test_errors(rng):
    image = picture(rng)
    with pytest.raises(ValueError, match=r"sample_predictions: expected at least 2 samples, got 1. One has no spread"):
        sample_predictions(tiny(rng), image, 1)
    for still in (ReLU(), Dropout(0), Dropout(1)):
        with pytest.raises(ValueError, match=r"expected a network with dropout, got none in this network: all samples"):
            sample_predictions(tiny(rng, still), image)
    net = tiny(rng)
    net.outputs = ("conv",)  # the dropout has no say in it
    with pytest.raises(ValueError, match=r"expected a network with dropout, got none in this network"):
        sample_predictions(net, image)
    with pytest.raises(TypeError, match=r"sample_predictions: expected an image of uint8, 0..255, got float64"):
        sample_predictions(tiny(rng), image / 255)
    with pytest.raises(ValueError, match=r"sample_predictions: expected one RGB image \(H, W, 3\), got shape \(7, 9\)"):
        sample_predictions(tiny(rng), image[..., 0])
    net["score"].weight.data[0] = np.nan
    net.outputs = ("score",)
    with pytest.raises(ValueError, match=r"expected finite scores, got NaN or infinity"):
        sample_predictions(net, image)


# Pictures.

@pytest.mark.parametrize("num_classes", [2, 3, 11])
def test_the_scale_of_the_variance_ends_where_no_samples_come_to(rng, num_classes):
    by_turns = np.eye(num_classes)  # one-hot samples, every class once
    assert by_turns.var(axis=0).mean() == pytest.approx(largest_variance(num_classes), rel=1e-12)
    others = rng.dirichlet(np.full(num_classes, 0.05), (500, 9))  # (trials, samples, K)
    assert others.var(axis=1).mean(axis=-1).max() < largest_variance(num_classes)


def test_maps(rng):
    top, half = 2 / 9 / 8, np.log(3) / 2  # an eighth of (K - 1) / K**2
    assert pictures.uncertainty_map(np.array([[0, top / 4, top, 2 * top]]), 3).tolist() == [[255, 128, 0, 0]]
    assert pictures.entropy_map(np.array([[0, half, np.log(3), 2]]), 3).tolist() == [[255, 128, 0, 0]]
    assert pictures.entropy_map(np.zeros((1, 2)), 1).tolist() == [[255, 255]]
    assert pictures.uncertainty_map(np.zeros((1, 2)), 1).dtype == np.uint8


def test_sheet(tmp_path):
    h, w = 6, 10
    image, labels = np.full((h, w, 3), (90, 180, 30), np.uint8), np.arange(h * w, dtype=np.uint8).reshape(h, w) % 3
    uncertainty = np.linspace(0, largest_variance(3) / 8, h * w).reshape(h, w)
    entropy = np.linspace(np.log(3), 0, h * w).reshape(h, w)
    pictures.uncertainty_sheet(tmp_path / "a.png", image, labels, uncertainty, entropy,
                               classes=CLASSES, palette=PALETTE, samples=8)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    with Image.open(tmp_path / "a.png") as opened:
        shown = np.array(opened.convert("RGB"))
    factor = 34  # 10 pixels, three times, make 1000 with a factor of 33.3
    width, height, pen = w * factor, h * factor, round(0.06 * w * factor)
    margin, gap, head = round(1.5 * pen), round(0.6 * pen), round(1.7 * pen)
    assert shown.shape[1] == 4 * width + 3 * gap + 2 * margin
    top, lefts = margin + head, [margin + column * (width + gap) for column in range(4)]
    found = [shown[top:top + height, left:left + width] for left in lefts]
    block = np.ones((factor, factor), np.uint8)
    assert (found[0] == (90, 180, 30)).all()
    np.testing.assert_array_equal(found[1], PALETTE[np.kron(labels, block)])
    np.testing.assert_array_equal(found[2][..., 0], np.kron(pictures.uncertainty_map(uncertainty, 3), block))
    np.testing.assert_array_equal(found[3][..., 1], np.kron(pictures.entropy_map(entropy, 3), block))
    below = shown[top + height:]
    assert all((below == colour).all(axis=-1).any() for colour in PALETTE)  # the legend
    assert all((below[: 2 * pen, left:left + width] < 200).any() for left in lefts)  # a caption below each
    with pytest.raises(ValueError, match=r"expected labels 0..2"):
        pictures.uncertainty_sheet(tmp_path / "b.png", image, labels + 1, uncertainty, entropy,
                                   classes=CLASSES, palette=PALETTE, samples=8)


# The command line.

@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("checkpoints") / "net.safetensors", np.random.default_rng(1)
    net = minifcn.models.build("fcn32s", num_classes=3, width=1 / 64, padding="same", rng=rng)
    net["score_fr"].weight.data[...] = 0.02 * rng.normal(size=net["score_fr"].weight.data.shape)
    minifcn.save(path, net, classes=[f"class{k}" for k in range(3)], palette=PALETTE.tolist(), mean=[100, 100, 100])
    return path


def run(capsys, *arguments):
    assert cli.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr()


def test_predict_with_samples(checkpoint, scenes, tmp_path, capsys):
    image = scenes / "val" / "images" / "0.png"
    told = run(capsys, "predict", checkpoint, image, "--samples", 4, "--seed", 6, "--out", tmp_path, "--json")
    assert "sampling 0.png 4/4" in told.err
    (facts,) = json.loads(told.out)
    found = sample_predictions(checkpoint, image, 4, 6)
    assert (facts["samples"], facts["seed"]) == (4, 6)
    assert facts["means"].keys() == {"uncertainty", "entropy", "mutual_information"}
    assert facts["means"]["entropy"] == pytest.approx(found.entropy.mean())
    assert facts["by_class"].keys() == facts["shares"].keys()
    for k in np.unique(found.labels):
        chosen = found.uncertainty[found.labels == k]
        assert facts["by_class"][f"class{k}"]["uncertainty"] == pytest.approx(chosen.mean())
    assert {file.name for file in tmp_path.iterdir()} == {
        f"0_{what}.png" for what in ("labels", "painted", "uncertainty", "entropy", "sampled")}
    labels, _ = minifcn.data.read_label(tmp_path / "0_labels.png")
    np.testing.assert_array_equal(labels, found.labels)
    for what in ("uncertainty", "entropy"):
        with Image.open(facts["files"][what]) as opened:
            expected = getattr(pictures, f"{what}_map")(getattr(found, what), 3)
            assert opened.mode == "L"
            np.testing.assert_array_equal(np.asarray(opened), expected)
    text = run(capsys, "predict", checkpoint, image, "--samples", 4, "--seed", 6, "--out", tmp_path).out
    assert re.search(r"predicted class +share +uncertainty +entropy", text)
    assert re.search(rf"^all +100.0% +{found.uncertainty.mean():.5f} +{found.entropy.mean():.3f}", text, re.MULTILINE)
    assert "4 samples; maps: " in text


def test_evaluate_with_samples(checkpoint, scenes, capsys):
    data = ["--data", f"folder:{scenes}"]
    scores = json.loads(run(capsys, "evaluate", checkpoint, *data, "--samples", 3, "--seed", 2, "--json").out)
    dataset = minifcn.data.open_dataset(f"folder:{scenes}", "val")
    right = valid = 0
    for sample in dataset:
        known = sample.label != 255
        labels = sample_predictions(checkpoint, sample.image, 3, 2).labels
        right, valid = right + np.sum((labels == sample.label) & known), valid + known.sum()
    assert scores["pixel_accuracy"] == pytest.approx(right / valid)
    assert (scores["samples"], scores["seed"]) == (3, 2)
    assert "3 images in" in (text := run(capsys, "evaluate", checkpoint, *data, "--samples", 3).out)
    assert ", 3 samples each" in text


def test_bad_use_on_the_command_line(checkpoint, scenes, tmp_path, capsys, monkeypatch):
    image = scenes / "val" / "images" / "0.png"

    def fails(*arguments):
        assert cli.main([str(argument) for argument in arguments]) == 2
        return capsys.readouterr().err

    def plain(dtype=np.float32):
        net = Graph()
        net.add("score", Conv2d(3, 3, 1, dtype=dtype), "data")
        return net

    out = tmp_path / "out"
    assert "expected at least 2 samples, got 1" in fails("predict", checkpoint, image, "--samples", 1, "--out", out)
    monkeypatch.setitem(minifcn.models.MODELS, "plain", minifcn.models.MODELS["fcn32s"]._replace(make=plain))
    still = tmp_path / "still.safetensors"
    minifcn.save(still, minifcn.models.build("plain"))
    message = fails("predict", still, image, "--samples", 2, "--out", out)
    assert "expected a network with dropout, got none in plain: all samples would be equal" in message
    assert "got none in plain" in fails("evaluate", still, "--data", f"folder:{scenes}", "--samples", 2)
    assert not out.exists()
