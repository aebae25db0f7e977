"""What stops a training, and that nothing saved is lost by it."""

import shutil

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn.learner import Learner, TrainingError
from minifcn.progress import Progress
from minifcn.settings import Settings
from minifcn.weights import OPTIMIZER, read_checkpoint


def settings(folder, **given):
    return Settings(**{"data": f"folder:{folder}", "width": 1 / 64, "batch_size": 2, "evaluations": 2,
                       "iterations": 4} | given)


def test_a_loss_that_is_no_number_names_the_layer(scenes, tmp_path):
    with pytest.raises(TrainingError, match=r"train: expected a finite loss, got nan in iteration \d; the first to "
                                            r"produce one was layer 'conv1_1', whose weights the last update spoiled. "
                                            r"Lower the learning rate \(1e\+30\)"):
        minifcn.train(settings(scenes, lr=1e30, optimizer="sgd", evaluations=1), tmp_path)


def test_images_of_several_sizes_are_refused_at_the_start(scenes, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    for name in ("images", "masks"):
        with Image.open(data / "train" / name / "4.png") as picture:
            picture.crop((0, 0, 40, 30)).save(data / "train" / name / "4.png")
    with pytest.raises(ValueError, match=r"train: expected images of one size to make batches of 2, got 32x48 "
                                         r"\(.*0.png\) and 30x40 \(.*4.png\). Set --size HxW or --crop HxW"):
        Learner(settings(data), Progress())
    for way_out in ({"batch_size": 1}, {"crop": (24, 32)}, {"size": (32, 48)}):
        learner = Learner(settings(data, **way_out), Progress())
        learner.iterations = 1
        learner.train_step(0)


def test_a_layer_that_makes_nan_from_finite_weights_is_named(scenes):
    learner = Learner(settings(scenes), Progress())
    learner.iterations = 4
    learner.net["conv3_2"].weight.data[...] = 3e38
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(
        TrainingError, match=r"in iteration 2; the first to produce one was layer 'conv3_2', from finite weights"
    ):
        learner.train_step(2)


def test_spoiled_weights_are_never_saved(scenes, tmp_path, monkeypatch):
    real = Learner.train_step

    def spoil(learner, step):
        result = real(learner, step)
        if step == 2:
            learner.net["fc7"].bias.data[0] = np.nan
        return result

    monkeypatch.setattr(Learner, "train_step", spoil)
    with pytest.raises(TrainingError, match=r"expected finite weights, got NaN or infinity in fc7.bias after "
                                            r"iteration 2. Lower the learning rate"):
        minifcn.train(settings(scenes, evaluations=4), tmp_path)
    arrays, meta = read_checkpoint(tmp_path / "last.safetensors")
    assert meta["step"] == 2
    assert all(np.isfinite(array).all() for name, array in arrays.items() if not name.startswith(OPTIMIZER))


def test_a_batch_of_void_names_its_masks(scenes, tmp_path):
    data = tmp_path / "data"
    for source in scenes.rglob("*.png"):
        target = data / source.relative_to(scenes)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    for number in range(1, 6):
        Image.new("L", (48, 32), 255).save(data / "train" / "masks" / f"{number}.png")
    with pytest.raises(TrainingError, match=r"expected some labelled pixels in each batch, got only void ones in "
                                            r"iteration \d \(.*masks.[1-5].png.*Look at these masks"):
        minifcn.train(settings(data, batch_size=1), tmp_path / "run")


@pytest.mark.parametrize(("given", "kind", "message"), [
    ({"model": "fcn9s"}, ValueError, "build: expected one of fcn32s.* got 'fcn9s'"),
    ({"policy": "poly", "power": -1.0}, ValueError, "Poly: expected power above 0, got -1.0"),
    ({"optimizer": "sgd", "momentum": 1.0}, ValueError, "SGD: expected momentum from 0 to below 1, got 1.0"),
    ({"crop": (0, 5)}, ValueError, r"expected a size \(H, W\) of two whole numbers, 1 or more, got \(0, 5\)"),
    ({"device": "gpu"}, ValueError, "device: expected auto, cpu, cuda or cuda:<number>, got 'gpu'"),
    ({"data": "folder:nowhere"}, ValueError, "folder: expected a folder at nowhere, got none"),
])
def test_nothing_is_lost_when_it_cannot_begin(scenes, tmp_path, given, kind, message):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("an earlier run")
    with pytest.raises(kind, match=message):
        minifcn.train(settings(scenes, **given), run, overwrite=True)
    assert [(file.name, file.read_text()) for file in run.iterdir()] == [("run.json", "an earlier run")]
    with pytest.raises(ValueError, match=r"train: expected settings for a new run, got None. Pass"):
        minifcn.train(None, tmp_path / "other")
