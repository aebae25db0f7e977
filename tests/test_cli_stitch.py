"""minifcn stitch: the whole demonstration once as JSON, the parts of it in short, one network, and bad use."""

import json

import numpy as np
import pytest

import minifcn
from minifcn import cli, models
from minifcn.cutting import up_to
from minifcn.data import read_image, save_image
from minifcn.explain import upsampling
from minifcn.kernels.cpu._threads import use_threads
from minifcn.pictures.stitching import BORDER, SAME, differences, stitching


@pytest.fixture(scope="module")
def rows():
    """The default, all of it."""
    import contextlib
    import io
    out = io.StringIO()
    with contextlib.redirect_stdout(out), use_threads(1):  # narrow layers gain nothing from two
        assert cli.main(["stitch", "--json"]) == 0
    return json.loads(out.getvalue())


def test_every_stride_and_dtype_with_and_without_padding(rows):
    assert [(row["stride"], row["margin"] > 0, row["dtype"]) for row in rows] == [
        (stride, padded, dtype) for stride in (2, 4, 8, 32) for padded in (False, True)
        for dtype in ("float32", "float64")
    ]


def test_all_are_equal(rows):
    for row in rows:
        assert row["equal"]
        assert row["max_relative_difference"] <= {"float32": 1e-5, "float64": 1e-12}[row["dtype"]]
        assert (row["difference_in_margin"] > 1e-4) == (row["margin"] > 0)
        assert row["size"] == [61, 83]
        assert not row["winograd"]
        assert row["seconds_shifted"] > 0
        assert row["seconds_rarefied"] > 0


def test_in_words_and_pictures(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minifcn.explain.stitching_nets.STRIDES", (2, 8))
    whole = upsampling.side_by_side
    monkeypatch.setattr(upsampling, "side_by_side", lambda progress: whole((3, 2), 1, progress))
    assert cli.main(["stitch", "--out", str(tmp_path / "figure.png")]) == 0
    text = capsys.readouterr().out
    for words in ("The smallest case", "margin", "outside", "filters kept", "learned upsampling", "figure.png"):
        assert words in text
    assert text.count(" yes ") == 8
    picture = read_image(tmp_path / "figure.png")
    assert {BORDER, SAME} <= {tuple(colour) for colour in picture.reshape(-1, 3)[::3].tolist()}


def test_one_network(capsys, tmp_path, monkeypatch):
    street = np.random.default_rng(0).integers(0, 256, (33, 37, 3), dtype=np.uint8)
    save_image(tmp_path / "street.png", street)
    net = models.build("fcn32s", num_classes=3, width=1 / 64, padding="same", rng=0)
    for number in range(1, 6):  # fewer strides, or it runs 1,024 times
        net[f"pool{number}"].stride = (2, 2) if number < 3 else (1, 1)
    monkeypatch.setattr(models, "build", lambda name, **options: net)
    assert cli.main(["stitch", "fcn32s", str(tmp_path / "street.png"), "--size", "75x80", "--rows", "5", "--json",
                     "--out", str(tmp_path / "figure.png")]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["stride"], row["size"]) == ("fcn32s up to score_fr", 4, [75, 80])
    assert row["equal"]
    assert read_image(tmp_path / "figure.png").shape[1] > 800


def test_a_network_from_a_file(capsys, tmp_path, monkeypatch):
    net = models.build("fcn8s", num_classes=3, width=1 / 64, padding="same", rng=0)
    minifcn.save(tmp_path / "net.safetensors", net)
    monkeypatch.setattr("minifcn.cutting.scores_of", lambda graph: up_to(graph, "pool2"))  # fewer runs
    assert cli.main(["stitch", str(tmp_path / "net.safetensors"), "--size", "40x41", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["stride"], row["margin"]) == (4, 8)


def test_a_classifier_is_made_dense(capsys, monkeypatch):
    monkeypatch.setattr("minifcn.cutting.scores_of", lambda graph: up_to(graph, "pool2"))  # fewer runs
    assert cli.main(["stitch", "alexnet", "--padding", "valid", "--width", "0.03", "--size", "99x103", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["stride"], row["margin"], row["equal"]) == (16, 0, True)


def test_help_with_an_example(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["stitch", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: minifcn stitch [-h]")
    assert "\n  minifcn stitch " in text[text.index("examples:"):]


@pytest.mark.parametrize(("arguments", "message"), [
    (["fcn9s"], "build: expected one of "),
    (["fcn32s", "nowhere.png"], "expected an image file at nowhere.png"),
    (["fcn32s", "--paper"], "expected no MODEL beside --paper, which takes fcn-alexnet, got 'fcn32s'"),
    (["--width", "0.5"], "expected --width together with a MODEL, got it alone"),
    (["--padding", "same"], "expected --padding together with a MODEL"),
    (["fcn32s", "--padding", "valid"], "--padding: expected one of paper, same, got 'valid'"),
    (["--rows", "5"], "expected --rows together with a MODEL"),
    (["--size", "10x200"], "so that scores lie outside the margin"),
    (["--size", "3"], "expected HxW, height first"),
    (["fcn32s", "--size", "9x9", "--width", "0.02"], "expected an image of at least"),
])
def test_bad_use(arguments, message, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minifcn.explain.stitching_nets.STRIDES", (8,))
        try:
            code = cli.main(["stitch", *arguments, "--json"])
        except SystemExit as end:
            code = end.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("minifcn: error: ")


def test_a_failed_check_is_exit_1(capsys, monkeypatch):
    monkeypatch.setattr("minifcn.explain.stitching_nets.STRIDES", (2,))
    monkeypatch.setattr("minifcn.explain.stitching_report.TOLERANCES",
                        dict.fromkeys([("float32", False), ("float64", False)], -1.0))
    assert cli.main(["stitch", "--json"]) == 1
    assert "expected differences of at most -1e+00 outside the margin, got " in capsys.readouterr().err


# Pictures.

def test_differences_as_colours():
    dense = np.ones((2, 6, 7))
    stitched = dense.copy()
    stitched[0, 0, 5], stitched[1, 4, 4] = 1.5, 1 + 1e-9
    picture = differences(stitched, dense, (3, 2), 1e-6)
    assert tuple(picture[4, 4]) == SAME
    assert tuple(picture[0, 5]) not in (SAME, BORDER)
    assert {tuple(colour) for colour in picture[2, 1:]} | {tuple(colour) for colour in picture[2:, 1]} == {BORDER}
    assert tuple(picture[1, 1]) == tuple(picture[2, 0]) == SAME


def test_a_picture_of_nothing(tmp_path):
    with pytest.raises(ValueError, match="stitching: expected at least one panel in each line"):
        stitching(tmp_path / "none.png", [[]])
