"""Training, scoring and predicting on a GPU, the stand-in for one: the same bits as on NumPy, and few copies."""

import signal
import threading

import numpy as np
import pytest

import minifcn
from minifcn import models, training
from minifcn.arrays import to_device
from minifcn.evaluation import evaluate
from minifcn.learner import Learner
from minifcn.prediction import Predictor
from minifcn.progress import Progress
from minifcn.settings import Settings
from minifcn.weights import read_checkpoint


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [thread.name for thread in threading.enumerate() if "feeding" in thread.name] == []


def settings(folder, **given):
    return Settings(**{"data": f"folder:{folder}", "width": 1 / 64, "batch_size": 2, "iterations": 5, "evaluations": 2,
                       "device": "cuda"} | given)


def learner_for(folder, **given):
    learner = Learner(settings(folder, **given), Progress())
    learner.iterations = learner.plan()
    return learner


KINDS = {
    "fcn8s": {},
    "adam, accumulated": {"optimizer": "adam", "accumulate": 2, "crop": (28, 40), "elastic": 2.0},
    "sgd, weight map": {"optimizer": "sgd", "lr": 0.01, "weight_map": "unet", "reduction": "valid"},
    "segnet": {"model": "segnet", "width": 1 / 32, "class_weights": "median"},
    "unet": {"model": "unet", "width": 1 / 32, "padding": "paper", "size": (204, 220), "batch_size": 1},
    "enet, padded": {"model": "enet", "width": 1 / 8, "size": (36, 44), "pad": True},
    "raw, unfused": {"pixels": "raw", "fuse": False, "lr": 1e-5},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_a_gpu_is_the_run_on_numpy(kind, scenes, tmp_path, cupy):
    """Losses, checkpoints with the optimiser's memory, scores."""
    given = KINDS[kind] | {"iterations": 3}
    results = {device: minifcn.train(settings(scenes, **given, device=device), tmp_path / device)
               for device in ("cpu", "cuda")}
    assert results["cpu"].scores == results["cuda"].scores
    for name in ("last", "best"):
        (ours, facts), (theirs, others) = (read_checkpoint(tmp_path / device / f"{name}.safetensors")
                                           for device in ("cpu", "cuda"))
        assert ours.keys() == theirs.keys()
        for tensor, array in ours.items():
            np.testing.assert_array_equal(array, theirs[tensor], err_msg=tensor)
        assert facts | {"seconds": 0} == others | {"seconds": 0}
    ours, theirs = ([record | {"seconds": 0} for record in result.folder.records()] for result in results.values())
    assert ours == theirs


class PressCtrlC(Progress):
    def update(self, done, **facts):
        if done == 2:
            signal.raise_signal(signal.SIGINT)


def test_resumed_on_a_gpu_bit_for_bit(scenes, tmp_path, cupy):
    minifcn.train(settings(scenes), tmp_path / "whole")
    assert minifcn.train(settings(scenes), tmp_path / "parts", progress=PressCtrlC()).step == 2
    assert minifcn.train(None, tmp_path / "parts", resume=True).finished
    arrays, others = (read_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("whole", "parts"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


def copies_of_a_step(learner, cupy):
    """In order: (way, shape), with the function that made it where it is not the feeding."""
    learner.train_step(0)
    learner.train_step(1)  # by now all that is copied once is there
    before = len(cupy.stand_in.copies)
    learner.train_step(2)
    learner.batches.feeding.take(3)  # the next batch is under way, and the end of its copies is waited for
    copies = cupy.stand_in.copies[before:]
    learner.batches.close()
    return [(copy.way, copy.shape, copy.nbytes, copy.where) for copy in copies]


def test_what_one_step_copies(scenes, cupy):
    """The batch comes in, some numbers go out, and nothing else moves.

    The loss asks first whether all labels are classes, and for what it divides by; then come the loss and the hits.
    Dropout makes its chances from a number, where they are needed.
    """
    copies = copies_of_a_step(learner_for(scenes, class_weights="enet"), cupy)
    coming = [copy for copy in copies if copy[3] == "_started"]
    assert coming == [("in", (2, 3, 32, 48), 2 * 3 * 32 * 48 * 4, "_started"),
                      ("in", (2, 32, 48), 2 * 32 * 48 * 8, "_started")]
    others = [copy for copy in copies if copy[3] != "_started"]
    assert others == [("out", (3,), 24, "numbers_of"), ("out", (3,), 24, "numbers_of")]


def test_what_one_step_of_unpooling_copies(scenes, cupy):
    copies = copies_of_a_step(learner_for(scenes, model="segnet", width=1 / 32, weight_map="unet"), cupy)
    ways = [(way, where) for way, _, _, where in copies]
    assert ways.count(("in", "_started")) == 3  # images, labels, pixel weights
    assert ways.count(("out", "numbers_of")) == 2
    assert len(ways) == 5, "the unpoolings trust what their own poolings noted"


def test_what_scoring_a_picture_copies(scenes, cupy):
    """The picture comes in; whether its scores are numbers and its labels, a byte a pixel, go out."""
    net = models.build("fcn8s", num_classes=3, width=1 / 32, padding="same", rng=0).to(device="cuda").freeze()
    evaluate(net, f"folder:{scenes}")
    before = len(cupy.stand_in.copies)
    assert evaluate(net, f"folder:{scenes}")["images"] == 3
    copies = [(copy.way, copy.shape, copy.nbytes) for copy in cupy.stand_in.copies[before:]]
    assert copies == 3 * [("in", (1, 3, 32, 48), 3 * 32 * 48 * 4), ("out", (), 1), ("out", (32, 48), 32 * 48)]


def test_accuracy_is_counted_where_the_scores_are(scenes, cupy):
    learner = learner_for(scenes)
    learner.net.eval()
    x, _, target = learner.batches.for_loss(0)
    labels = learner.net.forward(to_device(x, "cuda"), record=False).get().argmax(axis=1)
    seen = learner.add_gradients(0)
    learner.batches.close()
    assert (seen.right, seen.labelled) == ((labels == target).sum(), (target != 255).sum())


def test_a_loss_that_is_no_number_names_the_layer(scenes, tmp_path, cupy):
    with pytest.raises(minifcn.learner.TrainingError, match=r"got nan in iteration \d; the first to produce one was "
                                                            r"layer 'conv1_1', whose weights the last update spoiled"):
        minifcn.train(settings(scenes, lr=1e30, optimizer="sgd", evaluations=1), tmp_path)


def test_the_second_gpu(scenes, tmp_path, cupy):
    """The stand-in refuses arrays of another device than the current one, so this says that nothing strays."""
    cupy.stand_in.devices = 2
    minifcn.train(settings(scenes, device="cuda:1", iterations=2), tmp_path)
    predictor = Predictor.open(tmp_path, device="cuda:1")
    assert {p.data.device.id for p in predictor.net.parameters().values()} == {1}


def test_minutes_are_measured_and_undone(scenes, tmp_path, cupy, monkeypatch):
    learner = Learner(settings(scenes, iterations=None, minutes=0.02), Progress())
    before = {name: array.get() for name, array in learner.net.state().items()}
    assert learner.plan() > 0
    assert learner.batches.feeding is None
    for name, array in learner.net.state().items():
        np.testing.assert_array_equal(array.get(), before[name])
