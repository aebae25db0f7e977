"""What a training leaves behind, how long it goes on, and where its randomness comes from."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn import optim, training
from minifcn.learner import Learner
from minifcn.progress import Progress
from minifcn.settings import Settings
from minifcn.weights import read_checkpoint


def settings(folder, **given):
    length = {} if {"minutes", "epochs"} & given.keys() else {"iterations": 4}
    return Settings(**{"data": f"folder:{folder}", "width": 1 / 64, "batch_size": 2, "evaluations": 2} | length | given)


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self):
        self.said, self.updates, self.closed = [], [], False

    def say(self, text):
        self.said.append(text)

    def update(self, done, **facts):
        self.updates.append((done, facts))

    def close(self):
        self.closed = True


@pytest.fixture
def quick(monkeypatch):
    """Curves are drawn in one test; elsewhere they only take time."""
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)


# What it leaves behind.

def test_files_of_a_run_on_the_built_in_scenes(tmp_path):
    run = tmp_path / "deep" / "run"
    result = minifcn.train(Settings(data="street", size=(32, 48), width=1 / 64, batch_size=2, iterations=3,
                                    evaluations=1), run)
    drawn = {"curves.png"} if result.curves_drawn else set()
    names = {"metrics.jsonl", "last.safetensors", "best.safetensors", "run.json", "preview.png"} | drawn
    assert {file.name for file in run.iterdir()} == names
    for name in {"preview.png"} | drawn:
        with Image.open(run / name) as picture:
            assert min(picture.size) > 100
    assert (result.step, result.finished, result.classes[3]) == (3, True, "pavement")
    net, meta = minifcn.load(run / "best.safetensors")
    assert meta["classes"] == list(result.classes)
    assert (meta["size"], meta["ignore_index"], meta["channel_order"]) == ([32, 48], 255, "RGB")
    assert np.array(meta["palette"]).shape == (7, 3)
    assert net.architecture == {"model": "fcn8s", "num_classes": 7, "width": 1 / 64, "padding": "same"}


def test_metrics_and_run_json(scenes, tmp_path, quick):
    progress = Heard()
    result = minifcn.train(settings(scenes, iterations=5, class_weights="median", crop=(24, 40)), tmp_path / "run",
                           progress=progress)
    lines = records(tmp_path / "run")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    scores = {"pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou"}
    for line in lines:
        assert line.keys() == {"step", "seconds", "loss"} | (scores if line["step"] in (2, 5) else set())
    assert np.all(np.diff([line["seconds"] for line in lines]) >= 0)
    assert result.seconds == pytest.approx(lines[-1]["seconds"], abs=1e-3)

    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert Settings.from_json(info["settings"]) == settings(scenes, iterations=5, class_weights="median", crop=(24, 40))
    assert info["versions"].keys() >= {"minifcn", "numpy", "python"}
    assert info["iterations"] == 5
    assert len(info["mean"]) == len(info["scale"]) == len(info["class_weights"]) == 3
    assert info["parameters"]["frozen"] == 3 * 3 * (16 + 16 + 256)

    assert [done for done, _ in progress.updates] == [1, 2, 3, 4, 5]
    assert progress.updates[0][1].keys() == {"loss", "accuracy", "mean IoU", "images/s"}
    assert progress.closed
    assert any("palette" in text for text in progress.said)  # the masks' palette: said once
    assert sum("palette" in text for text in progress.said) == 1


def test_the_best_checkpoint_is_the_best(scenes, tmp_path, quick):
    result = minifcn.train(settings(scenes, width=1 / 32, lr=0.01, policy="fixed", iterations=12, evaluations=6),
                           tmp_path)
    ious = {line["step"]: line["mean_iou"] for line in records(tmp_path) if "mean_iou" in line}
    assert list(ious) == [2, 4, 6, 8, 10, 12]
    step = read_checkpoint(tmp_path / "best.safetensors")[1]["step"]
    assert len(set(ious.values())) > 1
    assert ious[step] == max(ious.values()) == result.scores.mean_iou
    assert step == min(s for s, iou in ious.items() if iou == max(ious.values()))
    assert minifcn.evaluate(tmp_path, f"folder:{scenes}")["mean_iou"] == ious[step]
    assert minifcn.evaluate(tmp_path / "last.safetensors", f"folder:{scenes}")["mean_iou"] == ious[12]


def test_the_best_is_kept_when_later_ones_are_no_better(scenes, tmp_path, quick, monkeypatch):
    ious, real = iter([0.2, 0.5, 0.4, 0.5, 0.9]), training.score  # the last one is asked for when all is done
    monkeypatch.setattr(training, "score", lambda *given: dataclasses.replace(real(*given), mean_iou=next(ious)))
    minifcn.train(settings(scenes, evaluations=4), tmp_path)
    assert [line["mean_iou"] for line in records(tmp_path)] == [0.2, 0.5, 0.4, 0.5]
    assert read_checkpoint(tmp_path / "best.safetensors")[1]["step"] == 2
    assert read_checkpoint(tmp_path / "last.safetensors")[1]["best"] == 0.5


@pytest.mark.parametrize(("model", "padding"), [
    (name, padding) for name in minifcn.models.names_of("segmentation")
    for padding in minifcn.models.MODELS[name].paddings or (None,)])
def test_every_model_trains(scenes, tmp_path, quick, model, padding):
    """That is: its first layer and its last scores move, and its upsampling does not."""
    wide = model in ("fcn-googlenet", "unet") or "segnet" in model  # or their first layers had one dead channel
    width = 1 / 16 if wide else 1 / 64
    least = minifcn.models.MODELS[model].least if padding == "paper" else 1
    kept = settings(scenes, model=model, padding=padding, width=width, iterations=2, evaluations=1, lr=0.01,
                    size=None if least == 1 else (least + 32, least + 48))
    net = Learner(kept, Progress()).net
    before, frozen = net.state(), {name for name, p in net.parameters().items() if not p.trains}
    minifcn.train(kept, tmp_path)
    after, _ = read_checkpoint(tmp_path / "last.safetensors")
    first = next(iter(before))
    for name in (first, "fc7.weight", "score_fr.bias", "score.bias", "fullconv.bias"):
        assert name not in before or (after[name] != before[name]).any()
    for name in frozen:
        assert (after[name] == before[name]).all()
    assert bool(frozen) == model.startswith("fcn")  # their upsampling is fixed


# How long, and how fast.

@pytest.mark.parametrize(("given", "iterations"), [({"epochs": 2}, 6), ({"epochs": 0.5, "batch_size": 1}, 3),
                                                   ({"epochs": 0.01}, 1), ({"iterations": 9}, 9)])
def test_length(scenes, given, iterations):
    assert Learner(settings(scenes, **given), Progress()).plan() == iterations


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_measuring_minutes_leaves_no_trace(scenes, optimizer):
    learner = Learner(settings(scenes, minutes=0.05, optimizer=optimizer), Progress())
    before = {name: array.copy() for name, array in learner.net.state().items()}
    memory = learner.optimizer.state()
    assert learner.plan() >= 1
    for name, array in learner.net.state().items():
        np.testing.assert_array_equal(array, before[name])
    for name, array in learner.optimizer.state().items():
        np.testing.assert_array_equal(array, memory[name])
    assert all(p.grad is None for p in learner.net.parameters().values())


def test_minutes_become_iterations(scenes, tmp_path, quick, monkeypatch):
    """Measured once, written down, and from then on nothing else counts: the same bits as with that many iterations."""
    for name, given in (("a", {"minutes": 1e-6}), ("b", {"iterations": 1})):
        minifcn.train(settings(scenes, **given), tmp_path / name)
        assert json.loads((tmp_path / name / "run.json").read_text())["iterations"] == 1
    (one, _), (other, _) = (read_checkpoint(tmp_path / name / "last.safetensors") for name in "ab")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_learning_rates(scenes):
    def rates(**given):
        learner = Learner(settings(scenes, lr=0.1, **given), Progress())
        learner.iterations = learner.plan()
        return [learner.policy()(step) for step in range(learner.iterations)]

    assert rates(policy="fixed") == [0.1] * 4
    assert rates(policy="poly", power=2.0) == pytest.approx([0.1 * (1 - t / 4) ** 2 for t in range(4)])
    assert rates(policy="step", gamma=0.5, step_size=0.5) == pytest.approx([0.1, 0.1, 0.05, 0.05])


def test_settings_reach_the_optimizer_and_the_loss(scenes):
    learner = Learner(settings(scenes, optimizer="sgd", momentum=0.7, weight_decay=0.01, class_weights="enet"),
                      Progress())
    assert isinstance(learner.optimizer, optim.SGD)
    assert (learner.optimizer.momentum, learner.optimizer.weight_decay) == (0.7, 0.01)
    labels = np.concatenate([sample.label.ravel() for sample in learner.train_data])
    share = np.bincount(labels[labels != 255]) / np.sum(labels != 255)
    np.testing.assert_allclose(learner.loss.weight, 1 / np.log(1.02 + share))
    x, target = learner.batches.batch(0)
    pixels = np.concatenate([sample.image.reshape(-1, 3) for sample in learner.train_data])
    np.testing.assert_allclose(learner.preprocessing.mean, pixels.mean(axis=0))
    np.testing.assert_allclose(learner.preprocessing.scale, 1 / pixels.std(axis=0))
    assert (x.shape, x.dtype, target.shape) == ((2, 3, 32, 48), np.float32, (2, 32, 48))


def test_each_iteration_has_its_own_dropout_and_augmentation(scenes):
    learner = Learner(settings(scenes, batch_size=1), Progress())
    masks, flips = [], set()
    for step in (0, 1, 0):
        learner._draw_dropout(step)
        masks.append(learner.net["drop6"].forward(np.ones((1, 64, 3, 3), np.float32)))
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(masks[0], masks[2])
    for step in range(12):
        _, target = learner.batches.batch(step)
        flips.add(bool(target[0, -1, 0] == 2))  # the wall stands on the left unless mirrored
    assert flips == {True, False}
