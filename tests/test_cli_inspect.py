"""`minifcn inspect` as a user types it, mistakes included."""

import json
import re

import pytest

from minifcn import cli


def printed(capsys, *arguments):
    assert cli.main(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def test_table(capsys):
    text = printed(capsys, "fcn32s")
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert lines["fc6"] == ["fc6", "Conv2d", "4096x16x16", "102,764,544", "52.6", "4.0", "404", "32", "12.5"]
    assert lines["upscore"][2:5] == ["21x544x544", "1,806,336", "0.925"]
    assert "in all  134,346,581 trainable + 1,806,336 frozen parameters, 3" in text
    assert "One image of 500x500" in text
    assert "multiply-adds x 2" in text


def test_options(capsys):
    text = printed(capsys, "fcn8s", "--size", "64x100", "--width", "0.25", "--padding", "same", "--num-classes", "7")
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert lines["conv1_1"][2] == "16x64x100"
    assert lines["score"][2] == "7x64x100"
    assert lines["score_fr"][2] == "7x2x4"


def test_for_programs(capsys):
    report = json.loads(printed(capsys, "vgg16", "--json"))
    assert (report["model"], report["size"]) == ("vgg16", [224, 224])
    assert report["totals"]["trainable"] == 138_357_544
    assert report["totals"]["flops"] == sum(layer["flops"] for layer in report["layers"])
    names = {layer["name"]: layer for layer in report["layers"]}
    assert names["pool5"]["stride"] == [32.0, 32.0]
    assert names["fc8"]["receptive_field"] == [404, 404]


@pytest.mark.parametrize(("arguments", "message"), [
    (["fcn9s"], "build: expected one of fcn32s, .* got 'fcn9s'"),
    (["fcn8s", "--padding", "smae"], "--padding: expected one of paper, same, got 'smae'. Leave it out"),
    (["vgg16", "--size", "500x500"], "inspect: expected an image that this network takes .rows: 193 to 224; .* got "
     "500x500, where layer 'fc6': linear: expected rows of 25088 numbers.* nearest size that fits is 224x224"),
])
def test_errors(capsys, arguments, message):
    assert cli.main(["inspect", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minifcn: error: ")
    assert re.search(message, error)


def test_a_model_without_a_choice_of_padding(capsys, monkeypatch):
    from minifcn import models

    monkeypatch.setitem(models.MODELS, "fixed", models.Model(models.MODELS["fcn8s"].make, "no choice", "nowhere"))
    assert cli.main(["inspect", "fixed", "--padding", "same"]) == 2
    assert "--padding: expected none, as fixed has no choice, got 'same'" in capsys.readouterr().err
