"""Training on two label maps at once: SIFT Flow's network, from files like the published ones."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from minifcn import cli, training
from minifcn.layers import SoftmaxCrossEntropy
from minifcn.learner import Learner
from minifcn.progress import Progress
from minifcn.settings import Settings

INNER = "spatial_envelope_256x256_static_8outdoorcategories"
SMALL = {"model": "siftflow-fcn16s", "width": 1 / 64, "padding": "same", "splits": ("trainval", "test"),
         "iterations": 2, "evaluations": 1, "batch_size": 2, "class_weights": "none", "optimizer": "sgd",
         "policy": "fixed", "momentum": 0.0, "lr": 0.1, "device": "cpu"}


def geometry_of(semantic):
    """A geometric class that follows from the semantic one, so that it shows whether the two maps lie on each other."""
    return np.where(semantic == 0, -1, 1 + semantic.astype(int) % 3)


@pytest.fixture(scope="module")
def outdoors(tmp_path_factory):
    """Four pictures to train on and two to test."""
    root, rng = tmp_path_factory.mktemp("siftflow"), np.random.default_rng(0)
    for folder in ("Images", "SemanticLabels", "GeoLabels"):
        (root / folder / INNER).mkdir(parents=True)
    for number in range(6):
        semantic = np.repeat(np.repeat(rng.integers(0, 34, (4, 5), dtype=np.uint8), 8, axis=0), 8, axis=1)  # (32, 40)
        image = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "Images" / INNER / f"p{number}.jpg")
        savemat(root / "SemanticLabels" / INNER / f"p{number}.mat", {"S": semantic})
        savemat(root / "GeoLabels" / INNER / f"p{number}.mat", {"S": geometry_of(semantic).astype(np.int16)})
    (root / "trainval.txt").write_text("p0\np1\np2\np3\n")
    (root / "test.txt").write_text("p4\np5\n")
    return root


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)


def test_both_label_maps_are_bent_cropped_and_mirrored_alike(outdoors):
    settings = Settings(data=f"siftflow:{outdoors}", **SMALL, crop=(20, 24), scale=(0.7, 1.4), elastic=2.0)
    learner = Learner(settings, Progress())
    for number in range(8):
        _, semantic = learner.batches.batch(number)
        (geometric,) = learner.batches.second_target(number)
        void = semantic == 255
        assert (geometric[void] == 255).all()
        np.testing.assert_array_equal(geometric[~void], geometry_of(semantic[~void] + 1) - 1)
        assert len(np.unique(geometric[~void])) > 1


def test_a_weight_map_is_for_the_first_head(outdoors, monkeypatch):
    learner, given = Learner(Settings(data=f"siftflow:{outdoors}", **SMALL, weight_map="unet"), Progress()), []
    for layer in learner.losses:
        def forward(scores, target, pixel_weight, record, original=layer.forward):
            given.append((target, pixel_weight))
            return original(scores, target, pixel_weight, record=record)
        monkeypatch.setattr(layer, "forward", forward)
    learner.add_gradients(0)
    (semantic, weights), (_, no_weights) = given
    assert no_weights is None
    np.testing.assert_array_equal(weights[semantic == 255], 0)
    assert weights[semantic != 255].min() == 1  # without class weights


def test_the_trunk_learns_from_the_sum_of_both_losses(outdoors):
    settings = Settings(data=f"siftflow:{outdoors}", **SMALL, fuse=False, winograd=False)
    learner, twin = (Learner(settings, Progress()) for _ in range(2))
    for net in (learner.net, twin.net):  # scores that start at zero would send nothing down
        rng = np.random.default_rng(3)
        for name in ("score_fr_sem", "score_fr_geo"):
            net[name].weight.data[...] = rng.normal(0, 0.1, net[name].weight.data.shape)
    x, semantic = twin.batches.batch(0)
    (geometric,) = twin.batches.second_target(0)
    twin._draw_dropout(0)
    losses, gradients = [], []
    for scores, target in zip(twin.net.forward(x, record=True), (semantic, geometric), strict=True):
        criterion = SoftmaxCrossEntropy()
        losses.append(float(criterion.forward(scores, target, record=True)))
        gradients.append(criterion.backward()[0])
    twin.net.backward(*gradients, needs=(False,))
    before = twin.net["fc7"].weight.data.copy()
    learner.iterations = 1
    seen = learner.train_step(0)
    assert seen.loss == pytest.approx(sum(losses), rel=1e-6)
    assert seen.labelled == (semantic != 255).sum()
    gradient = twin.net["fc7"].weight.grad
    assert abs(gradient).max() > 0
    np.testing.assert_allclose(learner.net["fc7"].weight.data, before - 0.1 * gradient, rtol=1e-5, atol=1e-8)


def test_commands(outdoors, tmp_path, capsys, quick):
    """A recipe whose splits come by themselves, then the semantic head's scores and labels."""
    data = ["--data", f"siftflow:{outdoors}"]
    assert cli.main(["train", "--recipe", "siftflow-fcn32s", *data, "--width", "0.02", "--iterations", "2",
                     "--evaluations", "1", "--out", str(tmp_path / "run"), "--json"]) == 0
    output = capsys.readouterr()
    assert "for siftflow:PATH, trained on trainval, validated on test; starts from VGG-16's classifier" in output.err
    assert len(json.loads(output.out)["iou"]) == 33
    assert cli.main(["evaluate", str(tmp_path / "run"), *data, "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2
    picture = outdoors / "Images" / INNER / "p5.jpg"
    assert cli.main(["predict", str(tmp_path / "run"), str(picture), "--out", str(tmp_path)]) == 0
    assert cli.main(["train", "--model", "siftflow-fcn16s", *data, "--splits", "trainval", "test", "--width", "0.02",
                     "--iterations", "1", "--evaluations", "1", "--padding", "paper",
                     "--from", str(tmp_path / "run"), "--out", str(tmp_path / "16s")]) == 0
    new = "upscore2_sem, score_pool4_sem, upscore16_sem, upscore2_geo, score_pool4_geo, upscore16_geo"
    assert f"as initialised: {new}; not wanted: upscore_geo, upscore_sem\n" in capsys.readouterr().err


def test_other_data_have_one_label_map(scenes, tmp_path, capsys):
    assert cli.main(["train", "--model", "siftflow-fcn8s", "--data", f"folder:{scenes}", "--width", "0.02",
                     "--iterations", "1", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "expected data with two label maps for siftflow-fcn8s, which has two heads, got folder:" in error
    assert not (tmp_path / "run").exists()
