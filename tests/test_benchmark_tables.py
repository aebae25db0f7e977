"""The tables that trainings make: rows are kept while their recipe stays, stages start from each other."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("no benchmarks beside the tests", allow_module_level=True)
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # benchmarks/ is a package of the repository, not of minifcn

from benchmarks import camvid, stages  # noqa: E402
from minifcn.recipes import RECIPES, with_recipe  # noqa: E402
from minifcn.settings import Settings  # noqa: E402

SCORES = {"parameters": 2_900_000, "flops": 4e9, "steps": 7, "minutes": 12.4, "pixel_accuracy": 0.91,
          "mean_accuracy": 0.7, "mean_iou": 0.61, "boundary_f1": 0.5}


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """The rows that were trained, nothing being trained in truth; results and README are in tmp_path."""
    names = []

    def measure(name, data, folder):
        names.append((name, data))
        return dict(SCORES)

    monkeypatch.setattr(camvid, "_measure", measure)
    monkeypatch.setattr(camvid, "ROOT", tmp_path)
    monkeypatch.setattr(camvid, "RESULTS", tmp_path / "camvid.json")
    (tmp_path / "README.md").write_text(f"before\n{camvid.BETWEEN[0]}\nold\n{camvid.BETWEEN[1]}\nafter\n")
    return names


def test_rows_whose_recipe_has_not_changed_are_kept(measured, tmp_path, monkeypatch, capsys):
    first, second, *_ = camvid.names()
    assert camvid.main(["--data", "PATH", "--rows", first]) == 0
    assert camvid.main(["--data", "PATH", "--rows", first, second]) == 0
    assert measured == [(first, "camvid:PATH"), (second, "camvid:PATH")]
    assert f"{first}: kept" in capsys.readouterr().out
    text = (tmp_path / "README.md").read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert [line.split(" ")[1] for line in text.splitlines() if "| 12 |" in line] == [first, second]
    recipe = RECIPES[camvid.PREFIX + first]
    monkeypatch.setitem(recipe.given, "lr", 7e-3)
    camvid.main(["--data", "PATH", "--rows", first])
    assert len(measured) == 3
    assert json.loads((tmp_path / "camvid.json").read_text())[first]["recipe"]["lr"] == 7e-3


def test_an_unknown_row(measured, capsys):
    with pytest.raises(SystemExit):
        camvid.main(["--data", "PATH", "--rows", "vnet"])
    assert "expected rows among" in capsys.readouterr().err
    assert not measured


def test_costs_are_those_of_the_network():
    costs = camvid.costs(Settings.for_data(**with_recipe("camvid-hour-segnet-basic", {"width": 1.0})))
    assert costs["parameters"] == 1_416_587
    pixels = [-(-180 // 2**level) * 240 // 2**level for level in range(5)]  # of each level: poolings round up
    of_64 = 2 * 64 * 49 * 64
    encoder = 2 * 64 * 49 * 3 * pixels[0] + of_64 * sum(pixels[1:4])
    assert costs["flops"] == encoder + of_64 * sum(pixels[:4]) + 2 * 64 * 11 * pixels[0]


def test_each_stage_starts_from_the_one_before(tmp_path, monkeypatch):
    trained = []

    def train(settings, out, overwrite, progress):
        trained.append((out.name, settings.model, settings.weights))
        return SimpleNamespace(scores=SimpleNamespace(mean_iou=0.5, pixel_accuracy=0.9), seconds=1.0)

    monkeypatch.setattr(stages, "train", train)
    monkeypatch.setattr(sys, "argv", ["stages", "--steps", "3", "--out", str(tmp_path)])
    stages.main()
    assert trained[:3] == [("32s", "fcn32s", ()), ("16s", "fcn16s", str(tmp_path / "32s")),
                           ("8s", "fcn8s", str(tmp_path / "16s"))]
    assert [found["stage"] for found in json.loads((tmp_path / "stages.json").read_text())["stages"]] == [
        name for name, _, _ in stages.STAGES]
