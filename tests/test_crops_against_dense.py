"""`minifcn compare crops`: the comparison itself, made to fail on purpose, and the command."""

import json
import re

import numpy as np
import pytest

from minifcn import cli
from minifcn.explain import crops_against_dense as crops
from minifcn.graph import Graph

WIDTH = 1 / 32


def image(name="alexnet", size=None):
    return crops.image_for(name, size)


def rows(name="alexnet", size=(355, 387)):
    return list(crops.agreements(name, image(name, size), width=WIDTH))


def test_dense_and_crops_agree():
    found = rows()
    assert [(row.what, row.padding, row.dtype, row.winograd, row.crops) for row in found] == [
        ("one crop", "paper", "float64", False, 1), ("every crop", "valid", "float64", False, 2),
        ("one crop", "paper", "float32", False, 1), ("every crop", "valid", "float32", False, 2),
        ("one crop", "paper", "float32", True, 1), ("every crop", "valid", "float32", True, 2)]
    assert [row.allowed for row in found[::2]] == [1e-12, 1e-5, 1e-4]
    assert all(row.equal for row in found)


def test_a_head_read_in_another_order_is_seen(monkeypatch):
    """Rows and columns swapped in fc6's filters: the same numbers, but not the same sum."""
    right = crops.convolutionalize

    def swapped(*given):
        dense = right(*given)
        weight = dense["fc6"].weight
        weight.data = weight.data.swapaxes(2, 3).copy()
        return dense

    monkeypatch.setattr(crops, "convolutionalize", swapped)
    assert not any(row.equal for row in rows())


def test_crops_from_the_wrong_place_are_seen(monkeypatch):
    """One pixel off: only crops beside the first can notice."""
    right = crops.Twins.cut
    monkeypatch.setattr(crops.Twins, "cut", lambda self, x, p, q: right(self, np.roll(x, -q, axis=3), p, q))
    assert [row.equal for row in rows()] == [True, False] * 3


@pytest.mark.parametrize(("name", "cells", "reached"), [
    # conv2 pads 2 rows of 27, its pooling makes 1 of 13 of them; conv3 to conv5 make it 4; pool5 2 of 6.
    ("alexnet", (20, 12, 4), 2),
    # 1, 2, pooled 1, 2, 3, pooled 2, ... 6 of 14, pooled 3 of 7.
    ("vgg16", (24, 16, 8, 1), 3),
])
def test_padding_reaches_as_far_as_it_must(name, cells, reached):
    crop = {"alexnet": 227, "vgg16": 224}[name]
    effect = crops.border_effect(name, crops.built_in_image((crop + 192, crop + 224)), width=WIDTH)
    assert effect.value == "pool5"
    assert tuple(ring.cells for ring in effect.rings) == cells
    assert [ring.pixels for ring in effect.rings] == [32 * ring.distance for ring in effect.rings]
    largest = [ring.max_relative_difference for ring in effect.rings]
    assert all(difference > 1e-3 for difference in largest[:reached])
    assert all(difference < 1e-12 for difference in largest[reached:])
    assert all(ring.mean_relative_difference <= ring.max_relative_difference for ring in effect.rings)
    assert effect.scores_relative_difference > 1e-3


def test_which_layers_pad():
    effect = crops.border_effect("alexnet", image(), width=WIDTH)
    assert effect.padded == (("conv2", 2), ("conv3", 1), ("conv4", 1), ("conv5", 1))


def test_differences_against_a_loop_by_hand(rng):
    """`_rings` by definition: how many steps to the nearest edge of the map."""
    apart = rng.random((4, 5))
    found = list(crops._rings(apart, 32))
    for ring in found:
        members = [apart[i, j] for i in range(4) for j in range(5) if min(i, j, 3 - i, 4 - j) == ring.distance]
        assert (ring.cells, ring.max_relative_difference) == (len(members), max(members))
        assert ring.mean_relative_difference == pytest.approx(np.mean(members))
    assert sum(ring.cells for ring in found) == 20


# The command.

def run(capsys, *arguments):
    code = cli.main(["compare", "crops", *arguments])
    return code, capsys.readouterr()


def test_json(capsys):
    code, printed = run(capsys, "alexnet", "--size", "355x387", "--width", str(WIDTH), "--json")
    assert code == 0
    found = json.loads(printed.out)
    assert (found["model"], found["width"], found["size"]) == ("alexnet", WIDTH, [355, 387])
    assert [row["equal"] for row in found["agreements"]] == [True] * 6
    assert {"what", "padding", "dtype", "winograd", "crops", "max_relative_difference", "allowed"} < set(
        found["agreements"][0])
    assert [ring["distance"] for ring in found["border_effect"]["rings"]] == [0, 1, 2]


def test_table_says_why(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, printed = run(capsys, "--size", "355x387", "--width", str(WIDTH))
    assert code == 0
    text = " ".join(printed.out.split())
    assert "alexnet on crops, and made dense, on an image of 355x387" in text
    assert text.count(" equal") == 6
    assert "conv2 pads by 2, conv3 pads by 1" in text
    assert "the crop sees zeros" in text


def test_exit_code_when_they_differ(capsys, monkeypatch):
    monkeypatch.setattr(crops, "SETTINGS", (("float64", False, -1.0),))
    code, printed = run(capsys, "--size", "355x387", "--width", str(WIDTH))
    assert code == 1
    assert printed.out.count("DIFFERENT") == 2


@pytest.mark.parametrize(("arguments", "message"), [
    (["fcn8s"], "compare crops: expected a classifier, alexnet or vgg16 or .*, got 'fcn8s'. Choose one"),
    (["--size", "300x400"], "compare crops: expected an image of at least 355x355, .* got 300x400. Use a larger"),
])
def test_bad_use(capsys, arguments, message):
    code, printed = run(capsys, *arguments)
    assert code == 2
    assert printed.out == ""
    assert re.search(message, printed.err)


@pytest.mark.parametrize("arguments", [[], ["seeds"]])
def test_what_to_compare_must_be_said(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", *arguments])
    assert end.value.code == 2
    assert "minifcn: error: " in capsys.readouterr().err


def test_a_graph_without_padding_has_no_padded_layers():
    assert crops._padded_layers(Graph()) == ()
