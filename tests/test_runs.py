"""Settings that say what they expect, and the folder of a run."""

import json
import os

import pytest

from minifcn.runs import RunFolder
from minifcn.settings import DEMONSTRATION, PHOTOGRAPHS, Settings


@pytest.mark.parametrize(("given", "message"), [
    ({"class_weights": "enough"},
     "train: expected class_weights among none, median, enet, enet-encoder, segnet-camvid, got 'enough'. Choose"),
    ({"weight_map": "unit"}, "train: expected weight_map among none, unet, got 'unit'. Choose one"),
    ({"optimizer": "rmsprop"}, "train: expected optimizer among adam, sgd, got 'rmsprop'"),
    ({"policy": "cosine"}, "train: expected policy among fixed, step, poly, got 'cosine'"),
    ({"lr": 0}, "train: expected lr above 0, got 0. Choose a positive number"),
    ({"width": float("nan")}, "train: expected width above 0, got nan"),
    ({"batch_size": -1}, "train: expected batch_size above 0, got -1"),
    ({"iterations": 0}, "train: expected iterations above 0, got 0"),
    ({"minutes": 1.0}, "expected one of minutes, epochs and iterations, got minutes=1.0, epochs=None, iterations=3"),
    ({"iterations": None}, "got minutes=None, epochs=None, iterations=None. Say how long"),
    ({"scale": (0.5, 2.0)}, r"expected a crop to make a batch of 7 from images of random sizes \(scale \(0.5, 2.0\)\)"),
])
def test_settings_that_do_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{"iterations": 3, "batch_size": 7} | given)


def test_random_scales_with_a_crop_or_one_by_one():
    assert Settings(iterations=1, scale=(0.5, 2.0), crop=(32, 32)).scale == (0.5, 2.0)
    assert Settings(iterations=1, scale=(0.5, 2.0), batch_size=1).crop is None


def test_defaults_go_by_the_data():
    assert Settings.for_data() == Settings(**DEMONSTRATION)
    photographs = Settings.for_data(data="camvid:somewhere", lr=0.5)
    assert photographs == Settings(**PHOTOGRAPHS | {"data": "camvid:somewhere", "lr": 0.5})
    for length in ({"minutes": 0.5}, {"epochs": 2}, {"iterations": 7}):  # what is given takes the default's place
        for name in ("street", "folder:somewhere"):
            chosen = Settings.for_data(data=name, **length)
            given = {key: getattr(chosen, key) for key in ("minutes", "epochs", "iterations")}
            assert {key: value for key, value in given.items() if value is not None} == length


def test_run_json_brings_the_settings_back(tmp_path):
    settings = Settings(iterations=3, data="folder:x", size=(180, 240), crop=(90, 100), scale=(0.5, 2.0),
                        class_weights="enet")
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_info(settings, iterations=3, classes=("a", "b"))
    info = folder.read_info()
    assert Settings.from_json(info["settings"]) == settings
    assert info["classes"] == ["a", "b"]
    assert not folder.street
    assert os.listdir(folder.path) == ["run.json"]


def test_a_log_on_a_full_disk_is_named(tmp_path):
    full = RunFolder(tmp_path / "none")
    with pytest.raises(OSError, match=r"No such file or directory: '.*none.metrics.jsonl'"):
        full.log({"step": 1})
    if os.path.exists("/dev/full"):  # Linux's always full disk, which names no file of its own accord
        (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
        with pytest.raises(OSError, match=r"No space left on device: '.*metrics.jsonl'"):
            RunFolder(tmp_path).log({"step": 1})


def test_log_and_forget(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.records() == []
    for step in (1, 2, 3):
        folder.log({"step": step, "loss": 0.1 * step})
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == folder.records()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [record["step"] for record in folder.records()] == [1, 2, 3]
    folder.forget_after(2)
    folder.log({"step": 3, "loss": 0.0})
    assert [record["loss"] for record in folder.records()] == [0.1, 0.2, 0.0]
