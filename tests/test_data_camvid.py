"""CamVid in SegNet's layout, on tiny files made here and, where it lies beside the checkout, on the real one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minifcn.data import open_dataset, segnet_weights
from minifcn.preparation import loss_weights

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "camvid"


@pytest.fixture
def tiny(tmp_path, rng):
    """Two training samples and one for validation, listed with the prefix of the published lists; arrays by name."""
    root, arrays = tmp_path / "camvid", {}
    for split, names in {"train": ("a", "b"), "val": ("c",)}.items():
        lines = []
        for name in names:
            image = rng.integers(0, 256, size=(6, 9, 3)).astype(np.uint8)
            label = rng.integers(0, 12, size=(6, 9)).astype(np.uint8)
            for folder, array in ((split, image), (f"{split}annot", label)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / folder / f"{name}.png")
            lines.append(f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n")
            arrays[name] = image, label
        (root / f"{split}.txt").write_text("\n".join(lines))  # blank lines between
    return root, arrays


def test_reads_pairs_and_maps_void(tiny):
    root, arrays = tiny
    train, val = open_dataset(f"camvid:{root}"), open_dataset(f"camvid:{root}", "val")
    assert (len(train), len(val)) == (2, 1)
    assert train.classes[:3] == ("sky", "building", "pole")
    assert train.classes[10] == "bicyclist"
    assert train.palette.shape == (11, 3)
    assert train.palette[4].tolist() == [60, 40, 222]
    for sample in [*train, *val]:
        image, label = arrays[sample.name]
        np.testing.assert_array_equal(sample.image, image)
        np.testing.assert_array_equal(sample.label, np.where(label == 11, 255, label))


def test_relative_lists_and_the_longest_tail(tiny):
    root, arrays = tiny
    (root / "train.txt").write_text("train/a.png trainannot/a.png\n")
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(root / "a.png")  # a shorter tail, which must not win
    (sample,) = open_dataset(f"camvid:{root}")
    np.testing.assert_array_equal(sample.image, arrays["a"][0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"at least one sample in .*train.txt, got an empty list"),
        ("train/a.png\n", r"two paths, in line 1 of .*train.txt, got 'train/a.png'"),
        ("train/a.png trainannot/a.png\nx/train/z.png y\n", r"ends in train/z.png \(line 2 of .*train.txt\), got none"),
    ],
)
def test_bad_lists(tiny, text, message):
    root, _ = tiny
    (root / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        open_dataset(f"camvid:{root}")


def test_missing_folder_and_list(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"camvid: expected a folder at .*nowhere"):
        open_dataset(f"camvid:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match=r"list of samples in .*test.txt, got train.txt, val.txt in that folder"):
        open_dataset(f"camvid:{tiny[0]}", "test")
    with pytest.raises(ValueError, match=r"got no .txt file in that folder"):
        open_dataset(f"camvid:{tmp_path}")


def test_a_label_beyond_void_names_file_and_pixel(tiny):
    root, arrays = tiny
    label = arrays["b"][1].copy()
    label[4, 7] = 12
    Image.fromarray(label).save(root / "trainannot" / "b.png")
    with pytest.raises(ValueError, match=r"labels 0..10 .*got 12 at row 4, column 7 of .*trainannot.b.png \(1 such"):
        open_dataset(f"camvid:{root}")[1]


def test_a_mask_of_another_size(tiny):
    root, arrays = tiny
    Image.fromarray(arrays["b"][1].T.copy()).save(root / "trainannot" / "b.png")
    with pytest.raises(ValueError, match=r"image's size, 6x9 .*b.png\), got 9x6 .*trainannot.b.png"):
        open_dataset(f"camvid:{root}")[1]


# Of the loss layer in segnet_train.prototxt, by class number.
PUBLISHED = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]


def test_published_class_weights(tiny):
    dataset = open_dataset(f"camvid:{tiny[0]}")
    assert loss_weights("segnet-camvid", dataset) == PUBLISHED
    assert dataset.classes[PUBLISHED.index(max(PUBLISHED))] == "sign"  # 9.64, as `median_frequency_weights` tells
    assert segnet_weights(dataset.classes[::-1]) == PUBLISHED[::-1]  # they go by name


@pytest.mark.parametrize("classes", [("sky", "road"), ("sky",) * 11, ()])
def test_published_class_weights_are_for_these_classes(classes):
    with pytest.raises(ValueError, match=r"segnet-camvid: expected CamVid's eleven classes \(sky, building, .*\), got "
                                         rf"{len(classes)} \({', '.join(classes)}\)\. Use 'median' or 'enet'"):
        segnet_weights(classes)


@pytest.mark.skipif(not REAL.is_dir(), reason="CamVid is not at ../shared/data/camvid")
def test_the_real_one():
    train, val = open_dataset(f"camvid:{REAL}"), open_dataset(f"camvid:{REAL}", "val")
    assert (len(train), len(val)) == (367, 101)
    for dataset, index in ((train, 0), (train, 366), (val, 50)):
        sample = dataset[index]
        assert sample.image.shape == (360, 480, 3)
        file = np.asarray(Image.open(dataset.files(index)[1]))
        np.testing.assert_array_equal(sample.label == 255, file == 11)
        np.testing.assert_array_equal(sample.label[file != 11], file[file != 11])
    road, sky = train.classes.index("road"), train.classes.index("sky")
    assert np.nonzero(train[0].label == sky)[0].mean() < np.nonzero(train[0].label == road)[0].mean()
