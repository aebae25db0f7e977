"""The same seed gives the same bits, whether a training ran through, was interrupted, or crashed, and went on."""

import json
import signal

import numpy as np
import pytest

import minifcn
from minifcn import training
from minifcn.progress import Progress
from minifcn.settings import Settings
from minifcn.weights import read_checkpoint


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pictures of curves take more time than the training here."""
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)


def settings(folder, **given):
    """Everything random is on: order, dropout, flips, scales and crops."""
    return Settings(**{"data": f"folder:{folder}", "width": 1 / 64, "batch_size": 2, "iterations": 6, "evaluations": 2,
                       "lr": 0.01, "crop": (28, 40), "scale": (0.8, 1.3)} | given)


class At(Progress):
    """Does something when a step is done."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def update(self, done, **facts):
        if done == self.step:
            self.action()


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def crash():
    raise ZeroDivisionError("a crash")


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_runs(run, other):
    """Weights and optimiser to the bit, and all that was logged but the time."""
    for name in ("last.safetensors", "best.safetensors"):
        (arrays, meta), (others, other_meta) = read_checkpoint(run / name), read_checkpoint(other / name)
        assert arrays.keys() == others.keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, others[key], err_msg=key)
        assert {**meta, "seconds": 0} == {**other_meta, "seconds": 0}
    assert [r | {"seconds": 0} for r in records(run)] == [r | {"seconds": 0} for r in records(other)]


def weights(run):
    arrays, _ = read_checkpoint(run / "last.safetensors")
    return np.concatenate([array.ravel() for name, array in arrays.items() if "/" not in name])


def test_one_seed_one_result(scenes, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        minifcn.train(settings(scenes, seed=seed), tmp_path / name)
    assert_same_runs(tmp_path / "a", tmp_path / "b")
    assert not np.array_equal(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_every_source_of_randomness_counts(scenes, tmp_path):
    """Otherwise the tests here would show little: switching one off gives another result."""
    results = []
    for number, change in enumerate(({}, {"flip": False}, {"scale": (1.0, 1.0)},
                                      {"scale": (1.0, 1.0), "crop": None})):
        minifcn.train(settings(scenes, iterations=2, evaluations=1, **change), tmp_path / str(number))
        results.append(weights(tmp_path / str(number)))
    assert all(not np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("step", [2, 3, 5])
def test_interrupted_and_resumed_bit_for_bit(scenes, tmp_path, optimizer, step):
    """Steps 3 and 6 are evaluated: before, at and after the first of them."""
    whole, parts, kept = tmp_path / "whole", tmp_path / "parts", settings(scenes, optimizer=optimizer)
    minifcn.train(kept, whole)
    handler = signal.getsignal(signal.SIGINT)
    result = minifcn.train(kept, parts, progress=At(step, press_ctrl_c))
    assert signal.getsignal(signal.SIGINT) is handler
    assert (result.step, result.finished) == (step, False)
    assert read_checkpoint(parts / "last.safetensors")[1]["step"] == step
    assert (parts / "preview.png").is_file()
    assert len(records(parts)) == step

    result = minifcn.train(None, parts, resume=True)
    assert (result.step, result.finished) == (6, True)
    assert_same_runs(whole, parts)
    assert np.all(np.diff([record["seconds"] for record in records(parts)]) >= 0)


def test_interrupted_again_and_again(scenes, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    minifcn.train(settings(scenes), whole)
    minifcn.train(settings(scenes), parts, progress=At(1, press_ctrl_c))
    for step in (2, 3, 4, 5):
        assert minifcn.train(None, parts, resume=True, progress=At(step, press_ctrl_c)).step == step
    minifcn.train(None, parts, resume=True)
    assert_same_runs(whole, parts)


def test_a_crash_goes_back_to_the_last_checkpoint(scenes, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    minifcn.train(settings(scenes), whole)
    with pytest.raises(ZeroDivisionError):
        minifcn.train(settings(scenes), parts, progress=At(5, crash))
    assert len(records(parts)) == 5
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "sec')  # cut off in the middle of a line
    assert read_checkpoint(parts / "last.safetensors")[1]["step"] == 3
    minifcn.train(None, parts, resume=True)
    assert_same_runs(whole, parts)


def test_resuming_a_finished_run_only_paints_again(scenes, tmp_path):
    first = minifcn.train(settings(scenes), tmp_path)
    before = weights(tmp_path)
    (tmp_path / "preview.png").unlink()
    again = minifcn.train(None, tmp_path, resume=True)
    assert (again.step, again.scores) == (6, first.scores)
    assert (tmp_path / "preview.png").is_file()
    np.testing.assert_array_equal(weights(tmp_path), before)
    assert len(records(tmp_path)) == 6


def test_an_interrupt_keeps_the_better_of_last_and_best_apart(scenes, tmp_path):
    """After an interrupt the scores are those of the network as it is, not of the best one."""
    result = minifcn.train(settings(scenes), tmp_path, progress=At(5, press_ctrl_c))
    last = minifcn.evaluate(tmp_path / "last.safetensors", f"folder:{scenes}")
    assert result.scores.mean_iou == last["mean_iou"]


# What cannot be resumed.

def test_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train: expected a run to resume in .*, got no run.json there. Start"):
        minifcn.train(None, tmp_path, resume=True)


@pytest.mark.parametrize(("text", "message"), [
    ("{", "train: expected JSON in .*run.json, got: "),
    ("{}", "train: expected settings and iterations in .*run.json, got "),
    ('{"settings": {}}', "train: expected settings and iterations in .*run.json, got settings. Start a new run"),
])
def test_a_broken_run_json(tmp_path, text, message):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        minifcn.train(None, tmp_path, resume=True)


def test_a_run_that_saved_nothing_yet(scenes, tmp_path):
    with pytest.raises(ZeroDivisionError):
        minifcn.train(settings(scenes), tmp_path, progress=At(1, crash))
    with pytest.raises(FileNotFoundError, match=r"load: expected a checkpoint at .*last.safetensors, got no such file"):
        minifcn.train(None, tmp_path, resume=True)


def test_a_checkpoint_of_another_network(scenes, tmp_path):
    minifcn.train(settings(scenes), tmp_path / "a")
    minifcn.train(settings(scenes, model="fcn16s"), tmp_path / "b")
    (tmp_path / "a" / "last.safetensors").write_bytes((tmp_path / "b" / "last.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"train: expected .*last.safetensors to hold .*fcn8s.*, got .*fcn16s"):
        minifcn.train(None, tmp_path / "a", resume=True)


# A run is not overwritten by accident.

@pytest.mark.parametrize("left", ["run.json", "best.safetensors", "last.safetensors", "metrics.jsonl"])
def test_a_folder_with_a_run_is_protected(scenes, tmp_path, left):
    (tmp_path / left).write_text("precious")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=rf"expected a new folder for --out, got .*holds a run \({left}\). Use"):
        minifcn.train(settings(scenes), tmp_path)
    assert (tmp_path / left).read_text() == "precious"
    minifcn.train(settings(scenes, iterations=1, evaluations=1), tmp_path, overwrite=True)
    assert len(records(tmp_path)) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
