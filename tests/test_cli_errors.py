"""Bad use and bad input on the command line: one line that says what to do, exit code 2, no traceback."""

import errno
import json
import os
import re

import pytest

import minifcn
from minifcn import cli, training


def fails(capsys, *arguments):
    """The error message of a command that fails with exit code 2; remarks on data and device may come before it."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse leaves this way
        code = end.code
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    assert output.err.endswith("\n")
    *remarks, message = output.err.splitlines()
    assert message.startswith("minifcn: error: ")
    assert all(remark.startswith(("running on the CPU: ", "masks with a palette ")) for remark in remarks)
    return message


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "net.safetensors"
    net = minifcn.models.build("fcn32s", num_classes=3, width=1 / 64, padding="same", rng=0)
    minifcn.save(path, net, classes=["class0", "class1", "class2"])
    return path


def train_on(scenes, out, *more):
    return ["train", "--data", f"folder:{scenes}", "--width", "0.02", "--batch-size", "2", "--iterations", "2",
            "--evaluations", "1", "--out", out, *more]


# Bad use.

@pytest.mark.parametrize(("arguments", "message"), [
    (["trian"], r"invalid choice: 'trian' .*\(see `minifcn --help`\)"),
    (["--jason"], r"--jason"),
    (["train", "--sizes", "3x4"], r"--sizes"),
    (["train", "--iter", "3"], r"unrecognized arguments: --iter 3"),  # no abbreviations
    (["train", "--size", "180"], r"argument --size: expected HxW, height first, for example 180x240, got '180' \(see "),
    (["train", "--size", "0x240"], r"expected HxW, height first, for example 180x240, got '0x240'"),
    (["train", "--crop", "12x-4"], r"--crop: expected HxW"),
    (["train", "--width", "0"], r"argument --width: expected a number above 0, got '0'"),
    (["train", "--lr", "nan"], r"argument --lr: expected a number above 0, got 'nan'"),
    (["train", "--minutes", "soon"], r"argument --minutes: expected a number above 0, got 'soon'"),
    (["train", "--batch-size", "2.5"], r"argument --batch-size: expected a whole number above 0, got '2.5'"),
    (["train", "--seed", "-1"], r"argument --seed: expected a whole number, 0 or more, got '-1'"),
    (["train", "--minutes", "1", "--epochs", "2"], r"--epochs: not allowed with argument --minutes"),
    (["train", "--resume", "--overwrite"], r"--overwrite: not allowed with argument --resume"),
    (["train", "--padding", "valid"], r"argument --padding: invalid choice: 'valid'"),
    (["evaluate", "run"], r"the following arguments are required: --data \(see `minifcn evaluate --help`\)"),
    (["predict", "run"], r"the following arguments are required: IMAGE"),
    (["predict", "run", "a.png", "--seed", "3"], r"--seed: expected --samples beside it, got --seed 3 alone"),
    (["evaluate", "run", "--data", "street", "--seed", "0"], r"--seed: expected --samples beside it, got --seed 0"),
    (["gradcheck", "NoSuchLayer"], r"NoSuchLayer"),
])
def test_bad_use(capsys, arguments, message):
    assert re.search(message, fails(capsys, *arguments))


# Bad input to train.

@pytest.mark.parametrize(("more", "message"), [
    (["--model", "fcn9s"], "build: expected one of fcn32s, fcn16s, .*, got 'fcn9s'. See `minifcn models`"),
    (["--data", "folder:no/such"], "folder: expected a folder at no.such, got none. Check the path"),
    (["--data", "camvid:no/such"], "expected .*no.such"),
    (["--data", "streets"], "data: expected street, folder:PATH or KIND:PATH with KIND among .*, got 'streets'"),
    (["--data", "street", "--size", "8x8"], "street: expected a size of at least 32x32"),
    (["--scale", "2", "0.5", "--crop", "8x8"], "random_scale: expected factors 0 < smallest <= largest, got"),
    (["--scale", "0.5", "2"], r"expected a crop to make a batch of 2 .*Add --crop HxW"),
    (["--device", "tpu"], "device: expected auto, cpu, cuda or cuda:<number>, got 'tpu'"),
    (["--optimizer", "sgd", "--momentum", "1.5"], "SGD: expected momentum from 0 to below 1, got 1.5"),
    (["--weight-decay", "-1"], "weight_decay of at least 0, got -1"),
])
def test_bad_settings_leave_nothing_behind(capsys, scenes, tmp_path, more, message):
    assert re.search(message, fails(capsys, *train_on(scenes, tmp_path / "run", *more)))
    assert not (tmp_path / "run").exists()


def test_a_device_that_cannot_be_had(capsys, scenes, tmp_path, monkeypatch):
    monkeypatch.setattr("minifcn.arrays.gpu_status", lambda: (False, "no driver here"))
    message = fails(capsys, *train_on(scenes, tmp_path / "run", "--device", "cuda"))
    assert "device: expected a working GPU for 'cuda', got: no driver here. Use 'auto' or 'cpu'" in message


def test_a_loss_that_turns_nan(capsys, scenes, tmp_path):
    """Nor do NumPy's warnings about overflows come between."""
    message = fails(capsys, *train_on(scenes, tmp_path, "--lr", "1e30", "--optimizer", "sgd", "--iterations", "9"))
    assert re.search("expected a finite loss, got nan in iteration .*layer 'conv1_1'.*Lower the learning rate", message)


def test_out_is_a_run_already(capsys, scenes, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    message = fails(capsys, *train_on(scenes, tmp_path))
    assert "holds a run (run.json). Use --resume to go on with it, --overwrite to replace it" in message
    assert "got no run.json there. Start it without --resume" in fails(
        capsys, "train", "--out", tmp_path / "none", "--resume")
    assert "expected settings and iterations in" in fails(capsys, "train", "--out", tmp_path, "--resume")
    (tmp_path / "file").write_text("")
    assert "file" in fails(capsys, *train_on(scenes, tmp_path / "file"))


def test_resume_with_other_settings(capsys, tmp_path):
    kept = {"settings": {"lr": 0.1, "size": [20, 30], "crop": None}, "iterations": 5}
    (tmp_path / "run.json").write_text(json.dumps(kept))
    resume = ["train", "--out", tmp_path, "--resume"]
    assert ("train --resume: expected the settings that the run was started with (lr 0.1), got lr 0.2. Leave the "
            "option out") in fails(capsys, *resume, "--lr", "0.2")
    assert "(size (20, 30)), got size (30, 20)" in fails(capsys, *resume, "--size", "30x20")
    assert "(crop None), got crop (5, 5)" in fails(capsys, *resume, "--size", "20x30", "--crop", "5x5")


def test_a_full_disk(capsys, scenes, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)
    cli.main([str(argument) for argument in train_on(scenes, tmp_path / "run")])
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    capsys.readouterr()
    monkeypatch.setattr("minifcn.files.os.replace", full)
    message = fails(capsys, "train", "--out", tmp_path / "run", "--resume")
    assert re.search(r"No space left on device \(.*run.*\). What had been saved before is untouched", message)
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before


# Bad input to evaluate and predict.

def test_checkpoints_that_are_none(capsys, checkpoint, tmp_path):
    data = ["--data", "street"]
    assert "expected a checkpoint at nowhere.safetensors, got no such file" in fails(
        capsys, "evaluate", "nowhere.safetensors", *data)
    assert "expected best.safetensors or last.safetensors in" in fails(capsys, "evaluate", tmp_path, *data)
    (tmp_path / "cut").write_bytes(checkpoint.read_bytes()[:-100])
    assert "to be a whole safetensors file" in fails(capsys, "predict", tmp_path / "cut", "image.png")
    assert "with the classes that the network was trained on (class0, class1, class2), got sky" in fails(
        capsys, "evaluate", checkpoint, *data)
    assert "split" in fails(capsys, "evaluate", checkpoint, *data, "--split", "nope")


def test_pictures_that_are_none(capsys, checkpoint, tmp_path):
    assert "expected an image file at nowhere.png, got no such file" in fails(
        capsys, "predict", checkpoint, "nowhere.png", "--out", tmp_path)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    assert "expected a readable image in" in fails(capsys, "predict", checkpoint, tmp_path / "cut.png")
    assert "expected pictures of different names, got several called 'a'" in fails(
        capsys, "predict", checkpoint, "a.png", "b/a.jpg", "--out", tmp_path)


def test_interrupt_traceback_and_memory(capsys, monkeypatch, checkpoint):
    def raises(error):
        def open_it(source, **options):
            raise error

        monkeypatch.setattr("minifcn.prediction.Predictor.open", open_it)

    raises(KeyboardInterrupt())
    assert cli.main(["predict", str(checkpoint), "a.png"]) == 130
    assert capsys.readouterr().err == "minifcn: error: interrupted\n"
    raises(MemoryError("3 TiB"))
    assert "out of memory: 3 TiB. Use a smaller --size" in fails(capsys, "predict", checkpoint, "a.png")
    monkeypatch.setenv("MINIFCN_DEBUG", "1")
    raises(ValueError("wrong"))
    assert cli.main(["predict", str(checkpoint), "a.png"]) == 2
    assert "Traceback" in capsys.readouterr().err
