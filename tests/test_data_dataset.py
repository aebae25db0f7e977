"""The data protocol: samples are checked in one place, colours follow PASCAL VOC, and data sets open by a word."""

import subprocess
import sys

import numpy as np
import pytest

from minifcn import data
from minifcn.data import Dataset, Sample, check_sample, colorize, open_dataset, voc_palette


class Three(Dataset):
    """Three samples of two classes; number 2 has a wrong label."""

    def __init__(self):
        super().__init__("three", ("a", "b"), voc_palette(2), "train")

    def __len__(self):
        return 3

    def load(self, index):
        label = np.zeros((4, 6), np.uint8)
        label[1, 2], label[3, 5] = (7, 255) if index == 2 else (1, 255)
        return Sample(np.full((4, 6, 3), index, np.uint8), label, f"s{index}")


def test_indexing_and_iteration():
    three = Three()
    assert three[1].name == "s1"
    assert three[-2].name == "s1"
    assert [sample.name for _, sample in zip(range(2), three, strict=False)] == ["s0", "s1"]
    assert three.ignore_index == 255
    for index in (3, -4):
        with pytest.raises(IndexError, match=rf"sample number below 3 \(three train\), got {index}"):
            three[index]


def test_the_check_names_the_pixel_and_the_file():
    with pytest.raises(
        ValueError, match=r"labels 0..1 \(2 classes\) or 255 .* got 7 at row 1, column 2 of label 2 of "
    ):
        Three()[2]


IMAGE, LABEL = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)


@pytest.mark.parametrize(
    ("image", "label", "error", "message"),
    [
        (IMAGE, np.zeros((6, 4), np.uint8), ValueError, r"size, 4x6 \(HxW, p.jpg\), got 6x4 \(p.png\)"),
        (IMAGE[..., 0], LABEL, ValueError, r"RGB image of shape \(H, W, 3\), got \(4, 6\) \(p.jpg\)"),
        (IMAGE.transpose(2, 0, 1), LABEL, ValueError, r"got \(3, 4, 6\)"),
        (IMAGE.astype(np.float32), LABEL, TypeError, r"image in uint8, got float32 \(p.jpg\)"),
        (IMAGE, LABEL.astype(np.int64), TypeError, r"label in uint8, got int64 \(p.png\)"),
        (IMAGE, LABEL + 254, ValueError, r"got 254 at row 0, column 0 of p.png \(24 such pixels"),
    ],
)
def test_wrong_samples_are_refused(image, label, error, message):
    with pytest.raises(error, match=message):
        check_sample(Sample(image, label, "p"), 3, "p.jpg", "p.png")


def test_void_and_the_last_class_pass():
    check_sample(Sample(IMAGE, np.full((4, 6), 255, np.uint8), "p"), 3)
    check_sample(Sample(IMAGE, np.full((4, 6), 2, np.uint8), "p"), 3)


def test_palette_and_classes_must_agree():
    with pytest.raises(ValueError, match=r"palette of shape \(2, 3\).*got \(3, 3\)"):
        Dataset("x", ("a", "b"), voc_palette(3), "train")


def test_voc_palette_is_the_published_one():
    published = """0 0 0, 128 0 0, 0 128 0, 128 128 0, 0 0 128, 128 0 128, 0 128 128, 128 128 128, 64 0 0, 192 0 0,
        64 128 0, 192 128 0, 64 0 128, 192 0 128, 64 128 128, 192 128 128, 0 64 0, 128 64 0, 0 192 0, 128 192 0,
        0 64 128"""
    expected = [[int(number) for number in color.split()] for color in published.split(",")]
    np.testing.assert_array_equal(voc_palette(21), expected)
    np.testing.assert_array_equal(voc_palette(256)[255], [224, 224, 192])  # void, in the same table
    with pytest.raises(ValueError, match="1 to 256 classes, got 257"):
        voc_palette(257)


def test_colorize():
    label = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
    palette = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    picture = colorize(label, palette, (1, 2, 3))
    assert picture.shape == (2, 3, 3)
    assert picture[0].tolist() == [[10, 20, 30], [40, 50, 60], [1, 2, 3]]
    assert picture[1].tolist() == [[70, 80, 90], [70, 80, 90], [10, 20, 30]]
    assert colorize(np.full((1, 1), 255, np.uint8), palette).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("value", [3, -1, 256])
def test_labels_without_a_colour_are_named_with_their_place(value):
    label = np.zeros((3, 4), np.int64)
    label[1, 2] = value
    with pytest.raises(ValueError, match=rf"colorize: expected labels 0..2 .* got {value} at row 1, column 2"):
        colorize(label, np.zeros((3, 3), np.uint8))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("voc", r"street, folder:PATH or KIND:PATH with KIND among camvid, .*, got 'voc'. PATH is a folder"),
        ("street:x", r"got 'street:x'"),
        ("camvid:", r"got 'camvid:'"),
        ("folder", r"got 'folder'"),
        ("", r"got ''"),
    ],
)
def test_unknown_words_list_the_three_forms(spec, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(spec)


def test_a_bare_path_gets_a_hint(tmp_path):
    with pytest.raises(ValueError, match="Did you mean folder:"):
        open_dataset(str(tmp_path))


def test_street_opens_by_its_name():
    assert (len(open_dataset("street")), len(open_dataset("street", "val"))) == (256, 64)
    assert open_dataset("street")[0].label.shape == (96, 128)
    assert open_dataset("street", size=(64, 80))[0].image.shape == (64, 80, 3)
    assert not np.array_equal(open_dataset("street", seed=1)[0].image, open_dataset("street")[0].image)


def test_the_public_names_exist_and_the_import_is_light():
    assert all(hasattr(data, name) for name in data.__all__)
    code = "import sys, minifcn.data; print([m for m in ('PIL', 'scipy', 'rich', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
