"""The command line, each command once as a user types it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn import cli, training
from minifcn.data import read_label
from minifcn.progress import Progress


@pytest.fixture(scope="session")
def run(scenes, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.pictures, "curves", lambda path, records: False)
        assert cli.main(train_on(scenes, folder)) == 0
    return folder


def train_on(scenes, out, *more):
    return ["train", "--data", f"folder:{scenes}", "--width", "0.02", "--batch-size", "2", "--iterations", "2",
            "--evaluations", "1", "--out", str(out), *more]


def printed(capsys, *arguments):
    """What a command that succeeds prints."""
    assert cli.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


# Ways in.

def test_alone_it_shows_what_a_newcomer_wants(capsys):
    text = printed(capsys)
    commands = [line.split()[1] for line in text.splitlines() if line.startswith("  minifcn ")]
    assert commands == ["train", "evaluate", "predict", "gradcheck", "doctor"]


@pytest.mark.parametrize("command", ["doctor", "models", "train", "evaluate", "predict", "gradcheck", "inspect",
                                     "explain", "compare", "warmup"])
def test_help_with_an_example(capsys, command):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: minifcn {command} [-h]")
    assert f"\n  minifcn {command}" in text[text.index("example"):]


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"minifcn {minifcn.__version__}\n")


def test_as_a_module():
    environment = os.environ | {"COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-m", "minifcn", "--help"], capture_output=True, text=True, check=True,
                          env=environment)
    assert done.stderr == ""
    assert "usage: minifcn" in done.stdout
    assert "evaluate" in done.stdout


def test_help_loads_nothing_slow():
    """So that it is there at once: neither the pictures, nor the tables, nor NumPy and the kernels' compiler."""
    code = ("import sys, minifcn.cli\ntry: minifcn.cli.main(['--help'])\nexcept SystemExit: pass\n"
            "print([name for name in ('PIL', 'rich', 'matplotlib', 'scipy', 'numba', 'cupy') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# What programs read.

def test_doctor(capsys, monkeypatch):
    monkeypatch.setenv("MINIFCN_NOTE", "[bold]kept")
    monkeypatch.delenv("MINIFCN_KERNELS", raising=False)
    report = json.loads(printed(capsys, "doctor", "--json"))
    assert report.keys() == {"minifcn", "python", "packages", "processor", "compiled_kernels", "matrix_products", "gpu",
                             "kernels", "environment"}
    assert report["processor"]["cores"] == os.cpu_count()
    assert report["processor"]["vectors"].startswith(("128 bits", "256 bits", "512 bits"))
    assert Path(report["compiled_kernels"]["folder"]).is_dir()
    assert report["minifcn"] == minifcn.__version__
    assert report["packages"]["numpy"] == np.__version__
    assert report["kernels"].keys() == {"numpy", "cupy", "cuda without a GPU"}
    assert (report["kernels"]["numpy"], report["kernels"]["cupy"]) == ("cpu", "cuda")
    assert report["gpu"].startswith(("yes", "no: "))
    text = printed(capsys, "doctor")
    assert "MINIFCN_NOTE: [bold]kept" in text
    assert "numpy: " in text


def test_doctor_says_when_matrix_products_run_on_old_loops(capsys, monkeypatch):
    old = {"user_api": "blas", "internal_api": "openblas", "version": "1", "architecture": "Haswell", "num_threads": 2}
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [old])
    for features, said in (({"avx512f": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr("minifcn.kernels.cpu._processor.FEATURES", features)
        report = json.loads(printed(capsys, "doctor", "--json"))
        assert ("unset OPENBLAS_CORETYPE" in report["matrix_products"]) == said


def test_warmup(capsys, monkeypatch):
    """Once warm, nothing is left to compile."""
    monkeypatch.setattr("minifcn.cli.warmup.SIZES", ((1 / 64, 1, 32, 48),))
    assert cli.main(["warmup", "fcn32s", "--json"]) == 0
    report, progress = capsys.readouterr()
    assert json.loads(report).keys() == {"functions", "seconds", "folder"}
    assert "compiling 1/1" in progress
    before = json.loads(report)["functions"]
    text = printed(capsys, "warmup", "fcn32s")
    assert re.match(rf"compiled {before} functions in [\d.]+ s, kept in .*kernels-", text)


def test_models(capsys):
    rows = json.loads(printed(capsys, "models", "--json"))
    assert [row["name"] for row in rows] == list(minifcn.models.MODELS)
    assert rows[0]["parameters"] == {"trainable": 134_346_581, "frozen": 1_806_336}
    assert all(re.search("arXiv|2012", row["source"]) and row["summary"] for row in rows)
    assert {row["name"] for row in rows if row["task"] == "classification"} == {
        "alexnet", "vgg16", "googlenet", "alexnet-torchvision", "googlenet-torchvision"}
    assert "134,362,751" in printed(capsys, "models")


@pytest.mark.parametrize("names", [["ReLU", "Crop"], ["ReLU"]])
def test_gradcheck(capsys, names):
    rows = json.loads(printed(capsys, "gradcheck", *names, "--json"))
    assert [row["name"] for row in rows] == names
    assert all(row.keys() >= {"name", "configurations", "worst_relative_error", "passed"} for row in rows)
    assert all(row["passed"] is True and row["worst_relative_error"] < 1e-6 for row in rows)
    assert "passed" in printed(capsys, "gradcheck", *names)


def test_gradcheck_fails_on_a_wrong_layer(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Twice:\n"
        "    def forward(self, x):\n        return 2 * x\n"
        "    def backward(self, gy):\n        return 3 * gy\n")
    assert cli.main(["gradcheck", f"{tmp_path / 'mine.py'}:Twice"]) == 1
    text = capsys.readouterr().out
    assert "FAILED" in text
    assert "expected" in text
    assert "got" in text


# Train, evaluate, predict.

def test_train(run):
    names = {file.name for file in run.iterdir()}
    assert names == {"metrics.jsonl", "last.safetensors", "best.safetensors", "run.json", "preview.png"}
    settings = json.loads((run / "run.json").read_text())["settings"]
    assert (settings["width"], settings["iterations"], settings["padding"]) == (0.02, 2, None)


def test_train_for_programs(scenes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)
    facts = json.loads(printed(capsys, *train_on(scenes, tmp_path / "run", "--json")))
    assert facts.keys() >= {"mean_iou", "pixel_accuracy", "iou", "absent", "seconds"}
    assert (facts["run"], facts["step"], facts["finished"]) == (str(tmp_path / "run"), 2, True)


def test_all_options_of_train(scenes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)
    text = printed(capsys, *train_on(
        scenes, tmp_path / "run", "--model", "fcn16s", "--padding", "paper", "--size", "20x30", "--crop", "16x24",
        "--scale", "0.8", "1.2", "--no-flip", "--optimizer", "sgd", "--lr", "1e-4", "--policy", "step", "--momentum",
        "0.8", "--weight-decay", "0.001", "--class-weights", "median", "--weight-map", "unet", "--elastic", "1.5",
        "--seed", "7", "--device", "cpu"))
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    expected = {"model": "fcn16s", "padding": "paper", "size": [20, 30], "crop": [16, 24], "scale": [0.8, 1.2],
                "flip": False, "optimizer": "sgd", "lr": 1e-4, "policy": "step", "momentum": 0.8, "weight_decay": 0.001,
                "class_weights": "median", "weight_map": "unet", "elastic": 1.5, "seed": 7, "device": "cpu"}
    assert settings | expected == settings
    assert "mean IoU" in text
    assert "trained 2 steps" in text
    assert 'no curves.png: matplotlib is not installed; pip install "minifcn[viz]" brings it' in text
    assert "same generator" not in text  # that is said of street alone


def test_ctrl_c_and_resume(scenes, tmp_path, capsys, monkeypatch):
    class PressCtrlC(Progress):
        def update(self, done, **facts):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training.pictures, "curves", lambda path, records: True)
    with monkeypatch.context() as patch:
        patch.setattr("minifcn.progress.for_this_terminal", PressCtrlC)
        assert cli.main(train_on(scenes, tmp_path)) == 0
    output = capsys.readouterr()
    assert f"interrupted at step 1; `minifcn train --out {tmp_path} --resume` goes on" in output.err
    assert "curves: " in output.out
    printed(capsys, "train", "--out", tmp_path, "--resume")
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    printed(capsys, *train_on(scenes, tmp_path, "--resume"))  # the same settings again are no other settings


def test_evaluate(run, scenes, capsys):
    scores = json.loads(printed(capsys, "evaluate", run, "--data", f"folder:{scenes}", "--json"))
    assert scores.keys() == {"pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou", "iou", "absent", "images",
                             "seconds"}
    assert scores["images"] == 3
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert scores["mean_iou"] == last["mean_iou"]
    of_training = json.loads(printed(capsys, "evaluate", run / "last.safetensors", "--data", f"folder:{scenes}",
                                     "--split", "train", "--json"))
    assert of_training["images"] == 6
    text = printed(capsys, "evaluate", run, "--data", f"folder:{scenes}")
    assert f"{scores['mean_iou']:.3f}" in text
    assert "3 images in" in text


def test_predict(run, scenes, tmp_path, capsys):
    images = [scenes / "val" / "images" / "0.png", tmp_path / "large.jpg"]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(images[1])
    text = printed(capsys, "predict", run, *images, "--out", tmp_path / "new" / "folder")
    assert len(text.splitlines()) == 2
    assert re.fullmatch(rf"{images[0]} -> .*0_painted.png, .*0_labels.png  \(class\d \d+%.*\)", text.splitlines()[0])
    facts = json.loads(printed(capsys, "predict", run, *images, "--out", tmp_path / "new" / "folder", "--json"))
    assert [row["image"] for row in facts] == [str(image) for image in images]
    for image, stem, row in zip(images, ("0", "large"), facts, strict=True):
        labels, has_palette = read_label(tmp_path / "new" / "folder" / f"{stem}_labels.png")
        np.testing.assert_array_equal(labels, minifcn.predict(run, image))
        assert has_palette
        assert row["shares"] == {f"class{k}": np.mean(labels == k) for k in np.unique(labels)}
        with Image.open(image) as source, Image.open(tmp_path / "new" / "folder" / f"{stem}_painted.png") as painted:
            assert painted.size == source.size
