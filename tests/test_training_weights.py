"""Training that starts from published weights: the network has them, and sees pictures the way they were trained on."""

import json

import numpy as np
import pytest

import minifcn
from minifcn.cli import main
from minifcn.data import Folder
from minifcn.learner import Learner
from minifcn.models import build
from minifcn.prediction import Predictor
from minifcn.preprocessing import IMAGENET_MEAN, Preprocessing
from minifcn.progress import Progress
from minifcn.settings import Settings

WIDTH = 1 / 16  # narrower ones die in their ReLUs, and would show nothing
SMALL = {"model": "fcn32s", "width": WIDTH, "iterations": 1, "batch_size": 1, "class_weights": "none", "flip": False}


@pytest.fixture(scope="module")
def classifier():
    return build("vgg16", width=WIDTH, rng=7)


@pytest.fixture
def caffemodel(tmp_path, write_caffemodel, classifier):
    """VGG-16, a 16th as wide, as its authors gave it out."""
    layers = {}
    for name, array in classifier.state().items():
        layers.setdefault(name.rpartition(".")[0], []).append(array)
    return write_caffemodel(tmp_path / "vgg16.caffemodel", layers, "layers")


@pytest.mark.parametrize("published", [None, (10.0, 20.0, 30.0)])
def test_blue_first_and_the_published_mean(scenes, caffemodel, classifier, monkeypatch, published):
    monkeypatch.setattr(Folder, "published_mean", published)
    learner = Learner(Settings(data=f"folder:{scenes}", weights=str(caffemodel), **SMALL), Progress())
    for name in ("conv1_1", "conv5_3"):
        np.testing.assert_array_equal(learner.net[name].weight.data, classifier[name].weight.data)
    x, _ = learner.batches.batch(0)
    samples = {sample.label.tobytes(): sample for sample in learner.train_data}
    sample = samples[learner.batches.batch(0)[1][0].astype(np.uint8).tobytes()]
    expected = (sample.image - np.array(published or IMAGENET_MEAN))[:, :, ::-1].transpose(2, 0, 1)
    np.testing.assert_allclose(x[0], expected, rtol=1e-6)
    assert learner.meta()["channel_order"] == "BGR"
    assert learner.meta()["mean"] == list((published or IMAGENET_MEAN)[::-1])
    # Prediction prepares its picture as training does.
    learner.net["score_fr"].weight.data[...] = np.random.default_rng(0).normal(size=(3, 256, 1, 1))
    scores = Predictor(learner.net, learner.meta()).scores(sample.image)
    expected = learner.net.eval().forward(x)[0]
    assert np.ptp(expected) > 0
    assert abs(scores - expected).max() < 1e-4 * abs(expected).max()  # fused, perhaps by Winograd


def test_new_layers_and_checkpoints(scenes, tmp_path):
    """From a run, whose way to prepare pictures is kept; named layers start anew."""
    earlier = build("fcn32s", num_classes=3, width=WIDTH, rng=5)
    earlier["score_fr"].weight.data[...] = 1
    minifcn.save(tmp_path / "a.safetensors", earlier, mean=[1, 2, 3], scale=[0.1, 0.2, 0.3])
    settings = {"data": f"folder:{scenes}", "weights": str(tmp_path / "a.safetensors"), **SMALL, "model": "fcn16s"}
    learner = Learner(Settings(**settings), Progress())
    assert learner.net["score_fr"].weight.data.all()
    assert learner.preprocessing == Preprocessing((1, 2, 3), (0.1, 0.2, 0.3))
    learner = Learner(Settings(**settings, new_layers=("score_fr", "conv1_1")), Progress())
    assert not learner.net["score_fr"].weight.data.any()
    assert (learner.net["conv1_1"].weight.data != earlier["conv1_1"].weight.data).any()
    np.testing.assert_array_equal(learner.net["conv1_2"].weight.data, earlier["conv1_2"].weight.data)


def test_commands(scenes, tmp_path, caffemodel, capsys):
    """train --weights, and evaluate after it; convert, and evaluate after that."""
    data = ["--data", f"folder:{scenes}"]
    train = ["train", *data, "--model", "fcn32s", "--width", str(WIDTH), "--iterations", "1", "--batch-size", "1",
             "--evaluations", "1", "--json"]
    assert main([*train, "--weights", str(caffemodel), "--out", str(tmp_path / "run")]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(tmp_path / "run"), *data, "--trimap", "2", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["mean_iou"] == pytest.approx(trained["mean_iou"])
    assert scored["trimap"][0]["width"] == 2
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["settings"]["weights"] == [str(caffemodel)]
    assert info["channel_order"] == "BGR"
    caffemodel.rename(tmp_path / "elsewhere.caffemodel")  # a run that is resumed has all that it needs
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_iou"] == pytest.approx(trained["mean_iou"])
    (tmp_path / "elsewhere.caffemodel").rename(caffemodel)
    assert main([*train, "--weights", str(caffemodel), "--out", str(tmp_path / "b"), "--new-layers", "fc9"]) == 2
    assert "layers of the network to start anew (conv1_1, " in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    out = str(tmp_path / "vgg.safetensors")
    assert main(["convert", str(caffemodel), "--model", "vgg16", "--out", out]) == 2  # of full width
    assert "found (4, 3, 3, 3)" in capsys.readouterr().err
    assert main(["convert", str(caffemodel), "--model", "vgg17", "--out", out]) == 2
    assert "expected one of fcn32s, " in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "no.caffemodel"), "--model", "vgg16", "--out", out]) == 2
    assert "caffe: expected a .caffemodel at " in capsys.readouterr().err


def test_the_command_convert(tmp_path, caffemodel, capsys, monkeypatch):
    """What it prints and writes, on a narrow network: the command itself has no width, published ones have all one."""
    from minifcn import published
    monkeypatch.setattr(published, "build", lambda name, **options: build(name, width=WIDTH, **options))
    arguments = ["convert", str(caffemodel), "--model", "fcn32s", "--data", "voc", "--out",
                 str(tmp_path / "net.safetensors")]
    assert main([*arguments, "--padding", "same"]) == 0
    shown = capsys.readouterr().out
    assert "net.safetensors: 30 arrays by name" in shown
    assert "not in the file, as the network starts: score_fr.weight, score_fr.bias, upscore.weight" in shown
    assert "of the file, not in the network: fc8.weight, fc8.bias" in shown
    assert "it sees BGR, with the mean 122.679, 116.669, 104.007 (red first) subtracted" in shown
    net, meta = minifcn.load(tmp_path / "net.safetensors")
    assert net.architecture["padding"] == "same"
    assert meta["classes"][15] == "person"
    assert main([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["preprocessing"]["channel_order"] == "BGR"
    assert len(facts["copied"]) == 30
