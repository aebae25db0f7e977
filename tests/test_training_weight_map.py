"""Training as U-Net was: pixels weighted by a map made from the labels of each batch, images bent."""

import signal

import numpy as np
import pytest
from scipy.special import log_softmax

import minifcn
from minifcn import training
from minifcn.data import unet_weight_map
from minifcn.learner import Learner
from minifcn.progress import Progress
from minifcn.settings import Settings
from minifcn.weights import read_checkpoint


def settings(folder, **given):
    return Settings(**{"data": f"folder:{folder}", "width": 1 / 64, "batch_size": 2, "iterations": 3, "evaluations": 1,
                       "crop": (28, 40), "weight_map": "unet", "device": "cpu"} | given)


@pytest.mark.parametrize("reduction", ["mean", "valid"])
@pytest.mark.parametrize("class_weights", ["none", "median"])
def test_the_loss_is_that_of_the_map(scenes, monkeypatch, class_weights, reduction):
    learner = Learner(settings(scenes, class_weights=class_weights, reduction=reduction, elastic=2.0), Progress())
    scoring = learner.net["score_fr"].weight.data
    scoring[...] = np.random.default_rng(3).normal(0, 3, scoring.shape)  # from zero, all pixels would have one loss
    seen, forward = [], learner.loss.forward

    def listening(*given, **options):
        seen.append(given)
        return forward(*given, **options)

    monkeypatch.setattr(learner.loss, "forward", listening)
    loss, (_, target) = learner.add_gradients(1).loss, learner.batches.batch(1)
    (scores, labels, weights), = seen
    np.testing.assert_array_equal(labels, target)
    expected = np.stack([unet_weight_map(label, learner.class_weights) for label in target])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == scores.dtype
    valid = target != 255
    assert weights[valid].max() > (max(learner.class_weights) if class_weights == "median" else 1)  # there are gaps

    losses = -log_softmax(scores.astype(float), axis=1)  # (N, K, H, W); class weights count in the map, and once
    losses = np.take_along_axis(losses, np.where(valid, target, 0)[:, None], axis=1)[:, 0]
    divisor = expected[valid].sum() if reduction == "mean" else valid.sum()
    assert loss == pytest.approx((expected * losses)[valid].sum() / divisor, rel=1e-5)


def test_without_a_map_the_loss_has_the_class_weights(scenes):
    learner = Learner(settings(scenes, weight_map="none", class_weights="median"), Progress())
    np.testing.assert_array_equal(learner.loss.weight, learner.class_weights)
    assert learner.batches.pixel_weight(np.zeros((2, 3, 4), int), np.float32) is None
    learner = Learner(settings(scenes, class_weights="median"), Progress())
    assert learner.loss.weight is None
    assert learner.description()["class_weights"] == learner.class_weights  # run.json tells them all the same


def test_elastic_deformation_reaches_the_batches(scenes):
    bent, straight = (Learner(settings(scenes, elastic=elastic), Progress()) for elastic in (2.0, 0.0))
    (x, target), (again, _), (other, _) = bent.batches.batch(0), bent.batches.batch(0), straight.batches.batch(0)
    np.testing.assert_array_equal(x, again)
    assert x.shape == other.shape
    assert not np.array_equal(x, other)
    assert set(np.unique(target)) <= {0, 1, 2, 255}


class PressCtrlC(Progress):
    def update(self, done, **facts):
        if done == 2:
            signal.raise_signal(signal.SIGINT)


def test_resumed_bit_for_bit(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)
    kept = settings(scenes, elastic=2.0)
    minifcn.train(kept, tmp_path / "whole")
    assert minifcn.train(kept, tmp_path / "parts", progress=PressCtrlC()).step == 2
    assert minifcn.train(None, tmp_path / "parts", resume=True).finished
    arrays, others = (read_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("whole", "parts"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
    minifcn.train(settings(scenes, elastic=2.0, weight_map="none"), tmp_path / "plain")
    plain = read_checkpoint(tmp_path / "plain" / "last.safetensors")[0]
    assert any(not np.array_equal(array, plain[name]) for name, array in arrays.items())


def test_published_weights_are_for_camvid(scenes):
    with pytest.raises(ValueError, match=r"segnet-camvid: expected CamVid's eleven classes \(sky, .*, got 3 \("):
        Learner(settings(scenes, class_weights="segnet-camvid"), Progress())


def test_an_impossible_deformation(scenes):
    with pytest.raises(ValueError, match=r"Augmentation: expected a standard deviation of 0 pixels or more, got -1\.0"):
        Learner(settings(scenes, elastic=-1.0), Progress())
