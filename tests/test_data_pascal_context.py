"""PASCAL-Context in its published layout, on tiny files made here."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from minifcn.data import open_dataset

H, W = 4, 6
# Some of the 459 names, in another order than the task's; those that are called differently there; some with spaces.
TASK_NAMES = {"table": "diningtable", "bedclothes": "bedcloth", "cloth": "clothes"}


@pytest.fixture
def tiny(tmp_path, rng):
    """The data set with 100 labels: the 59 at random places. Returns root, name of each number, numbers by image."""
    from minifcn.data.pascal_context import CLASSES
    called = {task: name for name, task in TASK_NAMES.items()}
    names = [called.get(name, name) for name in CLASSES[1:]] + [f"other {k}" for k in range(41)]
    names = rng.permutation(names).tolist()
    context = tmp_path / "pascal-context"
    (context / "trainval").mkdir(parents=True)
    lines = [f"{number}: {name.replace('potted', 'potted ')}" for number, name in enumerate(names, start=1)]
    (context / "labels.txt").write_text("\n".join(lines) + "\n")
    year, numbers = tmp_path / "VOCdevkit" / "VOC2010", {}
    for folder in ("JPEGImages", "ImageSets/Main"):
        (year / folder).mkdir(parents=True)
    for name in ("2008_000008", "2008_000015", "2008_000019"):
        numbers[name] = rng.integers(0, 101, (H, W)).astype(np.uint16)
        Image.new("RGB", (W, H), (90, 90, 90)).save(year / "JPEGImages" / f"{name}.jpg")
        scipy.io.savemat(context / "trainval" / f"{name}.mat", {"LabelMap": numbers[name]}, do_compression=True)
    (year / "ImageSets" / "Main" / "train.txt").write_text("2008_000008\n2008_000015\n")
    (year / "ImageSets" / "Main" / "val.txt").write_text("2008_000019")
    return tmp_path, names, numbers


def test_every_number_by_its_name(tiny):
    root, names, numbers = tiny
    train, val = open_dataset(f"pascal-context:{root}"), open_dataset(f"pascal-context:{root}", "val")
    assert (len(train), len(val)) == (2, 1)
    seen = set()
    for sample in [*train, *val]:
        for number, label in zip(numbers[sample.name].ravel(), sample.label.ravel(), strict=True):
            name = "none" if number == 0 else names[number - 1]
            expected = TASK_NAMES.get(name, name)
            assert train.classes[label] == (expected if expected in train.classes else "background")
            seen.add(int(label))
    assert 0 in seen
    assert len(seen) > 20
    assert train.files(1)[1].endswith("2008_000015.mat")


def test_classes_and_mean(tiny):
    dataset = open_dataset(f"pascal-context:{tiny[0]}")
    assert len(dataset.classes) == len(set(dataset.classes)) == 60
    numbered = {0: "background", 1: "aeroplane", 20: "tvmonitor", 21: "bag", 42: "curtain", 52: "bedcloth", 59: "wood"}
    assert {number: dataset.classes[number] for number in numbered} == numbered
    assert dataset.published_mean == (122.679, 116.669, 104.007)


def test_both_folders_may_lie_beside_each_other_or_together(tiny, tmp_path):
    root, _, _ = tiny
    (root / "VOCdevkit" / "VOC2010").rename(root / "pascal-context" / "VOC2010")
    assert len(open_dataset(f"pascal-context:{root / 'pascal-context'}")) == 2


@pytest.mark.parametrize(("text", "message"), [
    ("accordion\n", r"expected '1: name' in .*labels.txt, got 'accordion'"),
    ("1: accordion\n3: bag\n", r"expected '2: name' in .*labels.txt, got '3: bag'"),
    ("1: accordion\n", r"expected the label 'aeroplane' in .*labels.txt, got 1 others"),
])
def test_another_list_of_labels(tiny, text, message):
    root, _, _ = tiny
    (root / "pascal-context" / "labels.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        open_dataset(f"pascal-context:{root}")


def test_missing_parts_and_wrong_numbers(tiny):
    root, _, _ = tiny
    file = root / "pascal-context" / "trainval" / "2008_000019.mat"
    scipy.io.savemat(file, {"LabelMap": np.full((H, W), 101)})
    with pytest.raises(ValueError, match=r"expected labels 0..100, got 101 at row 0, column 0 of .*2008_000019.mat"):
        open_dataset(f"pascal-context:{root}", "val")[0]
    file.unlink()
    with pytest.raises(ValueError, match=r"pascal-context: expected .*2008_000019.mat, which .*val.txt lists, got no"):
        open_dataset(f"pascal-context:{root}", "val")
    with pytest.raises(ValueError, match=r"pascal-context: expected .*VOC2010.ImageSets.Main or .*got no such file"):
        open_dataset(f"pascal-context:{root / 'pascal-context'}")
