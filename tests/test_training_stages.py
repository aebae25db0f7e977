"""Training in stages, as the paper does: FCN-32s, then FCN-16s from it, then FCN-8s, by transplanted weights."""

import re

import numpy as np
import pytest

import minifcn
from minifcn import cli, training
from minifcn.learner import Learner
from minifcn.models import build
from minifcn.preprocessing import Preprocessing
from minifcn.progress import Progress
from minifcn.published import Loaded, load_published, told
from minifcn.settings import Settings
from minifcn.weights import read_checkpoint


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)


def train(scenes, out, model, *more):
    return cli.main(["train", "--data", f"folder:{scenes}", "--model", model, "--width", "0.02", "--batch-size", "2",
                     "--iterations", "2", "--evaluations", "1", "--out", str(out), *map(str, more)])


def test_three_stages(scenes, tmp_path, capsys, quick):
    assert train(scenes, tmp_path / "32s", "fcn32s", "--lr", "0.01") == 0
    assert "weights from" not in capsys.readouterr().err
    assert train(scenes, tmp_path / "16s", "fcn16s", "--from", tmp_path / "32s", "--lr", "1e-9") == 0
    said = capsys.readouterr().err
    assert f"weights from {tmp_path / '32s'}: 16 layers, conv1_1 to score_fr;" in said
    assert "as initialised: upscore2, score_pool4, upscore16; not wanted: upscore\n" in said
    assert train(scenes, tmp_path / "8s", "fcn8s", "--from", tmp_path / "16s" / "last.safetensors", "--lr", "1e-9") == 0
    assert "as initialised: upscore_pool4, score_pool3, upscore8; not wanted: upscore16\n" in capsys.readouterr().err
    first, second, third = (read_checkpoint(tmp_path / stage / "last.safetensors")[0] for stage in ("32s", "16s", "8s"))
    best = read_checkpoint(tmp_path / "32s" / "best.safetensors")[0]
    fresh = build("fcn32s", num_classes=3, width=0.02, padding="same", rng=0).state()
    for name in ("conv1_1.weight", "fc7.weight", "score_fr.weight"):
        assert abs(first[name] - fresh[name]).max() > 1e-3  # the first stage learned something
        np.testing.assert_allclose(second[name], best[name], atol=1e-6)
        np.testing.assert_allclose(third[name], second[name], atol=1e-6)


def test_a_new_stage_begins_with_the_scores_of_the_last(scenes, tmp_path, quick):
    """New scores are zero: what is added changes nothing yet, and the upsampling in two steps is nearly that in one."""
    assert train(scenes, tmp_path / "32s", "fcn32s", "--lr", "0.01") == 0
    shared = {"data": f"folder:{scenes}", "width": 0.02, "batch_size": 2, "iterations": 1}
    before, after = (Learner(Settings(**shared, model=model, weights=str(tmp_path / "32s")), Progress())
                     for model in ("fcn32s", "fcn16s"))
    image = before.val_data[0].image
    assert before.preprocessing == after.preprocessing  # pictures are prepared as the first stage saw them
    coarse, fine = (dict(learner.net.eval().walk(learner.batches.batch(0)[0])) for learner in (before, after))
    np.testing.assert_array_equal(coarse["score_fr"], fine["score_fr"])
    assert not fine["score_pool4"].any()
    assert (before.predictor.labels(image) == after.predictor.labels(image)).mean() > 0.9


def test_depth_is_made_from_the_weights_for_colour(tmp_path):
    color = build("fcn32s", num_classes=40, width=1 / 64, rng=3)
    minifcn.save(tmp_path / "color.safetensors", color)
    net = build("nyud-fcn32s-color-d", width=1 / 64)
    loaded = load_published(net, tmp_path / "color.safetensors")
    weight, expected = net["conv1_1_bgrd"].weight.data, color["conv1_1"].weight.data
    np.testing.assert_array_equal(weight[:, :3], expected)
    np.testing.assert_allclose(weight[:, 3], expected.mean(axis=1), rtol=1e-6)
    assert not loaded.untouched
    assert not loaded.dropped


def test_told():
    loaded = Loaded(Preprocessing(), ("a.weight", "a.bias", "b.weight"), (), ("c.weight", "c.bias"))
    assert told(loaded, "run") == "weights from run: a, b; as initialised: c"
    many = tuple(f"layer{k}.weight" for k in range(7))
    assert told(Loaded(Preprocessing(), many, ("z.weight",), ()), "f") == (
        "weights from f: 7 layers, layer0 to layer6; not wanted: z")


@pytest.mark.parametrize(("more", "message"), [
    (["--from", "nowhere"], r"expected .*nowhere.*, got no such file"),
    (["--from", "RUN", "--width", "0.05"], r"expected layers of .* to fit, got: .*conv1_1.weight is expected to be "),
])
def test_errors(scenes, tmp_path, capsys, quick, more, message):
    assert train(scenes, tmp_path / "RUN", "fcn32s") == 0
    more = [str(tmp_path / "RUN") if word == "RUN" else word for word in more]
    capsys.readouterr()
    assert train(scenes, tmp_path / "next", "fcn16s", *more) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "next").exists()
