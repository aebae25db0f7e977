"""Published solvers as settings: their numbers, what they print, and a loss that is summed."""

import json
import re

import numpy as np
import pytest

from minifcn import cli, init, models, optim, training
from minifcn.data import open_dataset
from minifcn.learner import Learner
from minifcn.progress import Progress
from minifcn.recipes import RECIPES, rate_told, told, with_recipe
from minifcn.settings import Settings
from minifcn.shapes import complaint

# net: lr, momentum, images a step, steps that solve.py runs, loss
SOLVERS = {
    "voc-fcn32s": (1e-10, 0.99, 1, 25 * 4000, "sum"), "voc-fcn16s": (1e-12, 0.99, 1, 25 * 4000, "sum"),
    "voc-fcn8s": (1e-14, 0.99, 1, 25 * 4000, "sum"), "voc-fcn8s-atonce": (1e-10, 0.99, 1, 75 * 4000, "sum"),
    "voc-fcn-alexnet": (1e-4, 0.9, 20, 25 * 4000, "valid"),
    **{f"nyud-fcn32s-{kind}": (1e-10, 0.99, 1, 50 * 2000, "sum") for kind in ("color", "hha", "color-d")},
    "nyud-fcn32s-color-hha": (1e-12, 0.99, 1, 50 * 2000, "sum"),
    "siftflow-fcn32s": (1e-10, 0.99, 1, 50 * 2000, "sum"), "siftflow-fcn16s": (1e-12, 0.99, 1, 50 * 2000, "sum"),
    "siftflow-fcn8s": (1e-12, 0.99, 1, 50 * 2000, "sum"),
    "pascalcontext-fcn32s": (1e-10, 0.99, 1, 50 * 8000, "sum"),
    "pascalcontext-fcn16s": (1e-12, 0.99, 1, 50 * 8000, "sum"),
    "pascalcontext-fcn8s": (1e-14, 0.99, 1, 50 * 8000, "sum"),
}


# lr and steps of the SegNets' solvers
SEGNETS = {
    "camvid-segnet": (0.001, 40_000), "camvid-segnet-basic": (0.1, 10_000), "camvid-bayesian-segnet": (0.001, 60_000),
    "camvid-bayesian-segnet-basic": (0.1, 10_000),
}


def test_every_solver_is_a_recipe():
    ours = {name for name, recipe in RECIPES.items() if not recipe.published}
    assert RECIPES.keys() - ours == SOLVERS.keys() | SEGNETS.keys()
    assert all(name.startswith("camvid-hour-") for name in ours)


@pytest.mark.parametrize("name", SEGNETS)
def test_segnets_as_published(name):
    settings = Settings.for_data(**with_recipe(name, {"data": "camvid:PATH"}))
    assert (settings.lr, settings.iterations) == SEGNETS[name]
    assert settings.model == name.removeprefix("camvid-")
    assert (settings.optimizer, settings.policy) == ("sgd", "fixed")
    assert (settings.momentum, settings.weight_decay) == (0.9, 5e-4)
    assert (settings.width, settings.batch_size, settings.reduction) == (1.0, 4, "valid")
    assert (settings.class_weights, settings.pixels, settings.flip) == ("segnet-camvid", "raw", False)


def test_ours_are_told_apart():
    name = "camvid-hour-unet-bn"
    settings = Settings.for_data(**with_recipe(name, {"data": "camvid:PATH"}))
    text = told(name, settings)
    assert f"recipe {name}: unet-bn, width {settings.width:g}, adam, images a step: 4; " in text
    assert f"{settings.iterations:,} steps as minifcn's table of CamVid has it\n" in text
    assert "each gradient counts" not in text  # which is of momentum


@pytest.mark.parametrize("name", SOLVERS)
def test_as_published(name):
    settings = Settings.for_data(**with_recipe(name, {}))
    images = settings.batch_size * settings.accumulate
    assert (settings.lr, settings.momentum, images, settings.iterations, settings.reduction) == SOLVERS[name]
    assert (settings.weight_decay, settings.optimizer, settings.policy) == (0.0005, "sgd", "fixed")
    assert (settings.width, settings.padding, settings.batch_size) == (1.0, "paper", 1)
    assert (settings.flip, settings.scale, settings.class_weights) == (False, (1.0, 1.0), "none")
    assert settings.model in models.MODELS
    end = name.partition("-")[2]
    assert settings.model == name or settings.model == end or end.startswith(f"{settings.model}-")


def test_splits_of_the_data_that_it_is_meant_for():
    assert with_recipe("siftflow-fcn8s", {"data": "siftflow:PATH"})["splits"] == ("trainval", "test")
    assert with_recipe("voc-fcn8s", {"data": "sbd:PATH"})["splits"] == ("train", "seg11valid")
    assert "splits" not in with_recipe("voc-fcn8s", {"data": "street"})
    own = with_recipe("voc-fcn8s", {"data": "sbd:PATH", "splits": ("a", "b")})
    assert own["splits"] == ("a", "b")
    for recipe in RECIPES.values():
        with pytest.raises(ValueError, match="no-such-folder"):  # the data set's own word: it is known by this name
            open_dataset(f"{recipe.data}:no-such-folder", recipe.splits[0])


def test_given_settings_come_first():
    given = with_recipe("voc-fcn8s", {"lr": 1e-3, "minutes": 5.0, "model": "fcn32s"})
    settings = Settings.for_data(**given)
    assert (settings.lr, settings.minutes, settings.iterations, settings.model) == (1e-3, 5.0, None, "fcn32s")
    assert (settings.momentum, settings.reduction) == (0.99, "sum")
    assert Settings.for_data(**with_recipe("voc-fcn8s", {"iterations": 7})).iterations == 7


def test_unknown_recipe():
    with pytest.raises(ValueError, match=r"expected a recipe among voc-fcn32s, .*, got 'voc-fcn9s'\. Choose one"):
        with_recipe("voc-fcn9s", {})


def test_told():
    text = told("voc-fcn32s", Settings.for_data(**with_recipe("voc-fcn32s", {})))
    assert "recipe voc-fcn32s: fcn32s, width 1, sgd with momentum 0.99, images a step: 1; 100,000 steps" in text
    assert "for sbd:PATH, trained on train, validated on seg11valid; starts from VGG-16's classifier\n" in text
    assert "lr 1e-10 and weight decay 0.0005 for the sum over pixels; the same for their mean" in text
    assert "1 x 375x500 = 187,500 of them: lr 1.9e-05 and weight decay 2.7e-09; each gradient counts 100 times" in text
    assert "changed" not in text
    changed = told("voc-fcn32s", Settings.for_data(**with_recipe("voc-fcn32s", {"width": 0.5, "size": (10, 20)})))
    assert changed.endswith("\n  changed: width 0.5 instead of 1.0")
    assert "1 x 10x20 = 200 of them: lr 2e-08" in changed
    assert "for the mean over pixels; each gradient counts 10 times in all" in told(
        "voc-fcn-alexnet", Settings.for_data(**with_recipe("voc-fcn-alexnet", {})))


# The loss that it means.

def learner(scenes, **given):
    base = {"data": f"folder:{scenes}", "model": "fcn32s", "width": 1 / 64, "padding": "same", "optimizer": "sgd",
            "policy": "fixed", "momentum": 0.5, "weight_decay": 0.01, "class_weights": "none", "flip": False,
            "iterations": 4, "device": "cpu", "winograd": False}
    made = Learner(Settings(**base | given), Progress())
    made.net.to(dtype=np.float64)
    settings = made.settings
    made.optimizer = optim.SGD(made.net.parameters(), settings.lr, settings.momentum, settings.weight_decay)
    scores = made.net["score_fr"].weight.data
    scores[...] = np.random.default_rng(0).normal(0, 0.1, scores.shape)
    batch = made.batches.batch
    made.batches.batch = lambda number: (batch(number)[0].astype(np.float64), batch(number)[1])
    return made


def all_labelled(made):
    """No void pixel, so that every batch has as many."""
    batch = made.batches.batch

    def whole(number):
        x, target = batch(number)
        target[target == 255] = 0
        return x, target

    made.batches.batch = whole
    return made


def steps(made, count=3):
    made.iterations = count
    losses = [made.train_step(step)[0] for step in range(count)]
    return losses, {name: array.copy() for name, array in made.net.state().items()}


def test_the_printed_rate_for_the_mean_does_the_same(scenes):
    """Sum with the small rate and mean with what `told` makes of it: the same weights after three steps."""
    small = {"batch_size": 2, "lr": 1e-6, "reduction": "sum"}
    text = rate_told(Settings(iterations=1, **small, weight_decay=0.01, momentum=0.5), (32, 48))
    pixels = int(re.search(r"= ([\d,]+) of them", text)[1].replace(",", ""))
    assert pixels == 2 * 32 * 48
    losses, summed = steps(all_labelled(learner(scenes, **small)))
    means, mean = steps(all_labelled(learner(scenes, batch_size=2, lr=1e-6 * pixels, weight_decay=0.01 / pixels)))
    np.testing.assert_allclose(losses, np.array(means) * pixels, rtol=1e-9)
    assert all(np.allclose(summed[name], mean[name], rtol=1e-9, atol=1e-14) for name in mean)


def test_accumulated_batches_make_one_step(scenes):
    """Three images one by one, each with its part of the gradient, are one batch of three."""
    def still(made):
        made._draw_dropout = lambda number: made.net.eval()  # masks would differ from batch to batch
        return all_labelled(made)

    losses, one_by_one = steps(still(learner(scenes, batch_size=1, accumulate=3, lr=0.05, reduction="valid")), 2)
    together, at_once = steps(still(learner(scenes, batch_size=3, lr=0.05, reduction="valid")), 2)
    np.testing.assert_allclose(losses, together, rtol=1e-9)
    assert all(np.allclose(one_by_one[name], at_once[name], rtol=1e-9, atol=1e-14) for name in at_once)


def test_epochs_count_images(scenes):
    assert learner(scenes, batch_size=1, accumulate=3, iterations=None, epochs=2.0).plan() == 4  # six images twice


# The command.

@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)


def test_command(scenes, tmp_path, capsys, quick):
    arguments = ["train", "--recipe", "voc-fcn32s", "--data", f"folder:{scenes}", "--out", str(tmp_path / "run"),
                 "--width", "0.02", "--iterations", "2", "--evaluations", "1", "--json"]
    assert cli.main(arguments) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["step"] == 2
    assert "recipe voc-fcn32s: fcn32s, width 0.02," in output.err
    assert "changed: width 0.02 instead of 1.0; iterations 2 instead of 100000" in output.err
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["lr"], settings["reduction"], settings["padding"]) == (1e-10, "sum", "paper")
    assert cli.main([*arguments, "--resume"]) == 0  # the same recipe again is no change
    assert cli.main(["train", "--recipe", "voc-fcn8s", "--resume", "--out", str(tmp_path / "run")]) == 2
    assert "settings that the run was started with (model fcn32s), got model fcn8s" in capsys.readouterr().err


def test_command_with_an_unknown_recipe(capsys):
    assert cli.main(["train", "--recipe", "fcn8s"]) == 2
    error = capsys.readouterr().err
    assert re.match(r"minifcn: error: train: expected a recipe among voc-fcn32s, .*got 'fcn8s'", error)


@pytest.mark.parametrize(("model", "channels"), [("nyud-fcn32s-color-hha", 6), ("nyud-fcn32s-color-d", 4)])
def test_colour_and_depth_want_data_that_have_both(scenes, tmp_path, capsys, model, channels):
    arguments = ["train", "--recipe", model, "--data", f"folder:{scenes}", "--out", str(tmp_path / "run")]
    assert cli.main(arguments) == 2
    assert f"expected images of {channels} channels for {model}, got 3 from folder:" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("given", "message"), [
    ({"reduction": "none"}, "expected reduction among mean, sum, valid, batch, got 'none'"),
    ({"accumulate": 0}, "expected accumulate above 0, got 0"),
])
def test_settings_out_of_range(given, message):
    with pytest.raises(ValueError, match=message):
        Settings(iterations=1, **given)


@pytest.mark.parametrize("name", [name for name, chosen in RECIPES.items() if not chosen.published])
def test_networks_take_what_our_recipes_show_them(name):
    settings = Settings.for_data(**with_recipe(name, {"data": "camvid:PATH"}))
    with init.shapes_only():
        net = models.build(settings.model, width=settings.width, **models.same_padding(settings.model))
    assert settings.pad or complaint(net, settings.size) is None
