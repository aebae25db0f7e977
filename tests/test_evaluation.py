"""Scores of a network on a data set, on the label files' own grid."""

import json

import numpy as np
import pytest

import minifcn
from minifcn import Graph
from minifcn.data import open_dataset
from minifcn.layers import Conv2d
from minifcn.prediction import Predictor

FIELDS = {"pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou", "iou", "absent", "images", "seconds"}


def brightest(num_classes=3):
    """A network that answers with a colour: class 0 where blue is strongest, 1 for green, 2 for red."""
    net = Graph()
    net.add("pick", Conv2d(3, num_classes, 1), "data")
    net["pick"].weight.data[...] = np.eye(num_classes, 3)[:, ::-1, None, None]
    return net


def by_hand(dataset, predict):
    """IoU of each class and pixel accuracy, pixel by pixel over all images at once."""
    truth = np.concatenate([sample.label.ravel() for sample in dataset])
    guess = np.concatenate([predict(sample).ravel() for sample in dataset])
    truth, guess = truth[truth != 255], guess[truth != 255]
    ious = []
    for k in range(len(dataset.classes)):
        union = np.sum((truth == k) | (guess == k))
        ious.append(np.sum((truth == k) & (guess == k)) / union if union else None)
    return ious, np.mean(truth == guess)


def test_fields_and_figures(scenes):
    net = brightest()
    net["pick"].bias.data[...] = (0, 120, 0)  # not perfect, or every score would be 1
    calls = []
    scores = minifcn.evaluate(net, f"folder:{scenes}", "val", lambda done, total: calls.append((done, total)))
    ious, accuracy = by_hand(open_dataset(f"folder:{scenes}", "val"), lambda sample: minifcn.predict(net, sample.image))
    assert scores.keys() == FIELDS
    assert list(scores["iou"]) == ["class0", "class1", "class2"]
    assert list(scores["iou"].values()) == pytest.approx(ious)
    assert scores["mean_iou"] == pytest.approx(np.mean(ious))
    assert scores["pixel_accuracy"] == pytest.approx(accuracy)
    assert 0.5 < accuracy < 1
    assert (scores["images"], scores["absent"]) == (3, [])
    assert scores["seconds"] > 0
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert json.loads(json.dumps(scores)) == scores
    assert minifcn.evaluate(net, f"folder:{scenes}", "train")["images"] == 6


def test_a_data_set_object_and_an_absent_class(tmp_path, scenes):
    dataset = open_dataset(f"folder:{scenes}", "val")
    dataset.classes = (*dataset.classes, "unicorn")
    net = brightest(4)
    net["pick"].bias.data[3] = -1e3
    scores = minifcn.evaluate(net, dataset)
    assert scores["absent"] == ["unicorn"]
    assert scores["iou"]["unicorn"] is None
    assert scores["mean_iou"] == pytest.approx(np.mean([scores["iou"][f"class{k}"] for k in range(3)]))


def test_scores_are_on_the_labels_own_grid(scenes, tmp_path):
    """A network trained on 16x24 is scored on 32x48, not on shrunken labels."""
    net = minifcn.models.build("fcn32s", num_classes=3, width=1 / 64, padding="same", rng=3)
    net["score_fr"].weight.data[...] = np.random.default_rng(0).normal(size=net["score_fr"].weight.data.shape)
    minifcn.save(tmp_path / "a", net, size=[16, 24], classes=["class0", "class1", "class2"])
    scores = minifcn.evaluate(tmp_path / "a", f"folder:{scenes}")
    dataset, predictor = open_dataset(f"folder:{scenes}", "val"), Predictor.open(tmp_path / "a")
    ious, accuracy = by_hand(dataset, lambda sample: predictor.labels(sample.image))
    assert dataset[0].label.shape == (32, 48)
    assert scores["pixel_accuracy"] == pytest.approx(accuracy)
    assert list(scores["iou"].values()) == pytest.approx(ious)


def test_built_in_scenes_come_in_the_size_of_training(monkeypatch):
    asked = []

    def opened(data, split, **options):
        asked.append((data, split, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("minifcn.evaluation.open_dataset", opened)
    for meta in ({"size": [40, 56], "seed": 5}, {}):
        with pytest.raises(KeyboardInterrupt):
            minifcn.evaluate(Predictor(brightest(), meta), "street")
    assert asked == [("street", "val", {"size": (40, 56), "seed": 5}), ("street", "val", {"size": None, "seed": 0})]


def test_a_folder_is_split_as_in_training(tmp_path, scenes):
    """Otherwise images that the network was trained on would be among those that it is scored on."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(6):
            content = (scenes / "train" / kind / f"{number}.png").read_bytes()
            (tmp_path / kind / f"{number}.png").write_bytes(content)
    held_out = {seed: open_dataset(f"folder:{tmp_path}", "val", seed=seed)[0].name for seed in range(8)}
    assert len(set(held_out.values())) > 1
    for seed, name in held_out.items():
        net = brightest()
        net["pick"].bias.data[...] = (0, 120, 0)
        scores = minifcn.evaluate(Predictor(net, {"seed": seed}), f"folder:{tmp_path}")
        images = [s for s in open_dataset(f"folder:{scenes}", "train") if s.name == name]
        guess = minifcn.predict(net, images[0].image)
        valid = images[0].label != 255
        assert scores["pixel_accuracy"] == pytest.approx(np.mean((guess == images[0].label)[valid]))


def test_other_classes(scenes, tmp_path):
    predictor = Predictor(brightest(), {"classes": ["sky", "road", "car"]})
    with pytest.raises(ValueError, match=r"evaluate: expected a data set with the classes that the network was trained "
                                         r"on \(sky, road, car\), got class0, class1, class2. Choose that data set"):
        minifcn.evaluate(predictor, f"folder:{scenes}")
    for count in (2, 4):
        with pytest.raises(ValueError, match=f"evaluate: expected a network of 3 classes, as folder has, got one of "
                                             f"{count}. Choose"):
            minifcn.evaluate(brightest(count), f"folder:{scenes}")
    with pytest.raises(ValueError, match=r"data: expected street, folder:PATH or KIND:PATH with .*, got 'elsewhere'"):
        minifcn.evaluate(brightest(), "elsewhere")
    with pytest.raises(ValueError, match="one of train, val, got 'test'"):
        minifcn.evaluate(brightest(), f"folder:{scenes}", "test")
