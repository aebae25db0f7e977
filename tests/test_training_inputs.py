"""What a training is fed with: the splits that it names, and as many inputs as its network has."""

import numpy as np
import pytest

from minifcn.graph import Graph
from minifcn.layers import Add, Conv2d
from minifcn.learner import Learner
from minifcn.progress import Progress
from minifcn.settings import Settings

QUICK = {"iterations": 1, "batch_size": 2, "class_weights": "none", "flip": False, "optimizer": "sgd", "lr": 1e-2,
         "policy": "fixed"}


def settings(data, **more):
    return Settings(data=data, model="fcn32s", width=1 / 64, **QUICK, **more)


def test_named_splits(scenes):
    learner = Learner(settings(f"folder:{scenes}", splits=("val", "train")), Progress())
    assert (len(learner.train_data), len(learner.val_data)) == (3, 6)
    assert Settings.from_json({"minutes": 1, "splits": ["trainval", "test"]}).splits == ("trainval", "test")
    with pytest.raises(ValueError, match="one of train, val, got 'test'"):
        Learner(settings(f"folder:{scenes}", splits=("train", "test")), Progress())


def test_two_inputs(scenes, monkeypatch):
    """A network with a stream for red and one for blue trains as the one that has both in one layer."""
    monkeypatch.setattr("minifcn.learner.network_for", build)
    monkeypatch.setattr("minifcn.data.Folder.load", first_two(scenes))
    monkeypatch.setattr("minifcn.data.Folder.channels", 2)
    learner = Learner(settings(f"folder:{scenes}"), Progress())
    x, target = learner.batches.batch(0)
    assert x.shape[1] == 2
    before = {name: array.copy() for name, array in learner.net.state().items()}
    learner.train_step(0)
    both = Graph()
    both.add("both", Conv2d(2, 3, 1), "data")
    both["both"].weight.data[...] = np.concatenate([before["a.weight"], before["b.weight"]], axis=1)
    both["both"].bias.data[...] = before["a.bias"] + before["b.bias"]
    y = both.forward(x, record=True)
    learner.loss.forward(y, target, record=True)
    both.backward(learner.loss.backward(1.0)[0])
    step = 1e-2 * both["both"].weight.grad  # (3, 2, 1, 1)
    after = learner.net.state()
    np.testing.assert_allclose(after["a.weight"], before["a.weight"] - step[:, :1], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(after["b.weight"], before["b.weight"] - step[:, 1:], rtol=1e-5, atol=1e-8)


def build(_, num_classes):
    net = Graph(inputs=("red", "blue"))
    net.add("a", Conv2d(1, num_classes, 1, rng=0), "red")
    net.add("b", Conv2d(1, num_classes, 1, rng=1), "blue")
    net.add("sum", Add(), "a", "b")
    return net


def first_two(scenes):
    """A `load` that keeps red and blue of what is in the files."""
    from minifcn.data import Folder, Sample
    load = Folder.load

    def kept(self, index):
        image, label, name = load(self, index)
        return Sample(image[:, :, ::2], label, name)

    return kept
