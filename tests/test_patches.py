"""`minifcn compare patches`: which patches are cut, what is counted, and the command. No clock is looked at."""

import json

import numpy as np
import pytest

from minifcn import cli, models
from minifcn.explain import patches
from minifcn.explain.patches import compare_patches, count_flops, cut_patches
from minifcn.surgery import convolutionalize

# (filters, channels of one group, kernel, rows of the map) of CaffeNet's convolutions on 227x227, and the head's sizes
CONVS = ((96, 3, 11, 55), (256, 48, 5, 27), (384, 256, 3, 13), (384, 192, 3, 13), (256, 192, 3, 13))
HEAD = (9216 * 4096, 4096 * 4096, 4096 * 1000)


def test_flops_by_hand():
    layers = [2 * o * c * k * k * n * n for o, c, k, n in CONVS] + [2 * size for size in HEAD]
    with patches.init.shapes_only():
        net = models.build("alexnet")
    forward, backward = count_flops(net, (227, 227), 100)
    assert forward == 100 * sum(layers)
    assert backward == 100 * (2 * sum(layers) - layers[0])


def test_the_published_ratio_of_flops():
    """About 7.8, of which AlexNet on the authors' GPU got 5.5."""
    with patches.init.shapes_only():
        net = models.build("alexnet")
    dense = convolutionalize(net, 227)
    ratio = count_flops(net, (227, 227), 100)[0] / count_flops(dense, (500, 500), 1)[0]
    assert ratio == pytest.approx(7.8, abs=0.05)
    assert [patches.PAPER[way] for way in ("forward", "backward")] == pytest.approx([5.45, 6.49], abs=0.01)


def test_patches_are_where_the_scores_look(rng):
    """Without padding each score of the dense network is that of its patch; those inside are plain slices."""
    net = models.build("alexnet", num_classes=3, width=1 / 64, padding="valid", rng=0).eval()
    image = rng.standard_normal((1, 3, 355 + 32, 355 + 64), dtype=np.float32)
    scores = convolutionalize(net, 355).forward(image)
    assert scores.shape == (1, 3, 2, 3)
    cut = cut_patches(image, 2, 3, 355)
    np.testing.assert_array_equal(cut[4], image[0, :, 32:387, 32:387])
    np.testing.assert_allclose(net.forward(cut).T.reshape(1, 3, 2, 3), scores, atol=1e-6 * abs(scores).max())


def test_patches_that_hang_over_end_in_zeros(rng):
    image = rng.standard_normal((1, 3, 240, 227), dtype=np.float32)
    cut = cut_patches(image, 2, 1, 227)
    assert cut.shape == (2, 3, 227, 227)
    np.testing.assert_array_equal(cut[1, :, : 240 - 32], image[0, :, 32:])
    assert not cut[1, :, 240 - 32 :].any()


def test_comparison():
    heard = []
    rows = compare_patches(width=1 / 64, size=(300, 270), repeats=1, report=lambda *given: heard.append(given))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [row.winograd for row in rows] == [False, True]
    for row in rows:
        assert row.patches == 4 * 3  # poolings round up: the last row and column hang over
        assert 0 <= row.same_labels <= 1
        assert min(*vars(row.dense).values(), *vars(row.crops).values()) > 0
        found = row.as_dict()
        assert found["forward_ratio"] == found["crops"]["forward_seconds"] / found["dense"]["forward_seconds"]
        assert found["backward_ratio"] == found["crops"]["backward_seconds"] / found["dense"]["backward_seconds"]
        assert found["flop_ratio"] > 1


def test_medians_are_by_way(monkeypatch):
    """The first turn, in which kernels are compiled, does not count."""
    took = iter([(99, 99), (99, 99), (1, 10), (6, 70), (3, 30), (4, 50), (2, 20), (5, 60)] * 2)
    monkeypatch.setattr(patches, "_turn", lambda net, x: patches.Turn(np.zeros(1), *next(took)))
    first, _ = compare_patches(width=1 / 64, size=(227, 227), repeats=3)
    assert (first.dense.forward_seconds, first.dense.backward_seconds) == (2, 20)
    assert (first.crops.forward_seconds, first.crops.backward_seconds) == (5, 60)
    assert (first.forward_ratio, first.backward_ratio) == (2.5, 3)


def test_no_gradient_is_left():
    net = models.build("alexnet", num_classes=3, width=1 / 64, rng=0).eval()
    patches._turn(net, np.zeros((1, 3, 227, 227), np.float32))
    assert all(parameter.grad is None for parameter in net.parameters().values())
    assert not any(layer._caches for layer in net.layers())


# The command.

SMALL = ("--width", "0.015625", "--size", "260x227", "--repeats", "1")


def test_json(capsys):
    assert cli.main(["compare", "patches", *SMALL, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["patches"] for row in rows] == [2, 2]
    assert rows[0]["paper_forward_ratio"] == pytest.approx(5.45, abs=0.01)
    assert {"winograd", "same_labels", "forward_ratio", "backward_ratio", "flop_ratio", "dense", "crops"} < set(rows[0])
    assert rows[0]["dense"].keys() == {"forward_seconds", "backward_seconds", "forward_flops", "backward_flops"}


def test_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    assert cli.main(["compare", "patches", *SMALL]) == 0
    text = capsys.readouterr().out
    assert "AlexNet of width 0.015625 on an image of 260x227: dense, and 2 patches in one batch" in text
    assert text.count("no Winograd") == text.count("with Winograd") == 2
    assert "get the same label" in text


def test_too_small_an_image(capsys):
    assert cli.main(["compare", "patches", "--size", "200x500"]) == 2
    assert capsys.readouterr().err.endswith(
        "minifcn: error: compare patches: expected an image of at least 227x227, AlexNet's patch, got 200x500. "
        "Use a larger --size.\n")
