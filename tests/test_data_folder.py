"""Any folder of images and masks: its layouts, splits, class lists, and the mistakes that people make."""

import numpy as np
import pytest
from PIL import Image

from minifcn.data import open_dataset, voc_palette


def write(folder, name, mask, ending="png", mask_folder="masks"):
    """An image of the mask's size, and the mask."""
    mask = np.asarray(mask, np.uint8)
    for kind in ("images", mask_folder):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    image = np.full((*mask.shape[:2], 3), len(name), np.uint8)
    Image.fromarray(image).save(folder / "images" / f"{name}.{ending}")
    Image.fromarray(mask).save(folder / mask_folder / f"{name}.png")


MASK = [[0, 1, 2], [2, 255, 0]]


def open_folder(path, split="train", seed=0):
    return open_dataset(f"folder:{path}", split, seed=seed)


def test_pairs_by_name_and_counts_classes(tmp_path):
    for name, ending in (("a", "png"), ("b", "JPG"), ("c", "bmp"), ("d", "tif"), ("e.1", "jpeg")):
        write(tmp_path, name, MASK, ending)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    train, val = open_folder(tmp_path), open_folder(tmp_path, "val")
    assert (len(train), len(val)) == (4, 1)
    assert sorted(sample.name for sample in [*train, *val]) == ["a", "b", "c", "d", "e.1"]
    assert train.classes == ("class0", "class1", "class2")
    np.testing.assert_array_equal(train.palette, voc_palette(3))
    assert all(sample.label.tolist() == MASK for sample in train)
    assert train.notes == []


def test_the_split_is_seeded_and_a_fifth(tmp_path):
    for number in range(13):
        write(tmp_path, f"n{number:02}", MASK)

    def names(split, seed):
        return [sample.name for sample in open_folder(tmp_path, split, seed)]

    assert names("val", 0) == names("val", 0)
    assert len(names("val", 0)) == 2
    assert len({tuple(names("val", seed)) for seed in range(5)}) > 1
    for seed in range(3):
        assert sorted(names("train", seed) + names("val", seed)) == [f"n{number:02}" for number in range(13)]


def test_given_splits_share_their_classes(tmp_path):
    write(tmp_path / "train", "a", [[0, 1]], mask_folder="labels")
    write(tmp_path / "val", "b", [[0, 3]])
    train, val = open_folder(tmp_path), open_folder(tmp_path, "val")
    assert train.classes == val.classes == ("class0", "class1", "class2", "class3")
    assert (train[0].name, val[0].name) == ("a", "b")
    assert "only 3 of the class numbers 0..3: [0, 1, 3]" in train.notes[0]
    with pytest.raises(ValueError, match=r"one of train, val, got 'test'. Make .*test.images"):
        open_folder(tmp_path, "test")


def test_class_names_and_colours(tmp_path):
    write(tmp_path / "train", "a", [[(1, 2, 3), (9, 9, 9), (40, 50, 60)]])
    text = "\ufeffroad 1 2 3\n\ntraffic light 40 50 60  # red, amber, green\nvoid 9 9 9\n"
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8")
    train = open_folder(tmp_path)
    assert train.classes == ("road", "traffic light")
    assert train.palette.tolist() == [[1, 2, 3], [40, 50, 60]]
    assert train.void_color == (9, 9, 9)
    assert train[0].label.tolist() == [[0, 255, 1]]

    write(tmp_path / "train", "a", [[(1, 2, 3), (9, 9, 9), (40, 50, 61)]])
    with pytest.raises(ValueError, match=r"colours of classes.txt, got \(40, 50, 61\) at row 0, column 2 of .*a.png"):
        open_folder(tmp_path)[0]


def test_names_alone(tmp_path):
    write(tmp_path / "train", "a", MASK)
    (tmp_path / "classes.txt").write_text("road\ncar 2\nroute 66 1\n")  # numbers, but no colours
    train = open_folder(tmp_path)
    assert train.classes == ("road", "car 2", "route 66 1")
    np.testing.assert_array_equal(train.palette, voc_palette(3))
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    with pytest.raises(ValueError, match=r"labels 0..1 \(2 classes\) .*got 2 at row 0, column 2 of .*masks.a.png"):
        open_folder(tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("road\n", r"2 to 255 class names in .*classes.txt, got 1"),
        ("road\ncar\nroad\n", r"each name once, got 'road' again in line 3"),
        ("road 1 2 3\ncar 1 2 3\n", r"colour of its own for 'car', got \(1, 2, 3\) again in line 2"),
        ("road 1 2 3\ncar 1 2 256\n", r"colours 0..255, got 'car 1 2 256' in line 2"),
        ("road 1 2 3\ncar\ntree\n", r"a colour for every class or for none, got car, tree without one"),
        ("\n".join(f"c{n}" for n in range(256)), r"2 to 255 class names .*, got 256"),
    ],
)
def test_bad_class_lists(tmp_path, text, message):
    write(tmp_path / "train", "a", MASK)
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        open_folder(tmp_path)


@pytest.mark.parametrize("class_list", [None, "ground\nthing\n"])
@pytest.mark.parametrize("values", [[[0, 255]], [[255, 255]]])
def test_black_and_white_masks(tmp_path, class_list, values):
    write(tmp_path / "train", "a", values)
    if class_list:
        (tmp_path / "classes.txt").write_text(class_list)
    with pytest.raises(ValueError, match=r"at least two classes .* 255 is void; a mask saved as 0/255 .* use 0 and 1"):
        open_folder(tmp_path)


def test_two_classes_with_void_are_fine(tmp_path):
    write(tmp_path / "train", "a", [[0, 255]])
    write(tmp_path / "train", "b", [[0, 1]])
    (tmp_path / "classes.txt").write_text("ground\nthing\n")
    assert open_folder(tmp_path)[0].label.tolist() == [[0, 255]]


def test_all_zero_masks(tmp_path):
    write(tmp_path / "train", "a", [[0, 0]])
    with pytest.raises(ValueError, match="at least two classes in the masks, got only the values 0 "):
        open_folder(tmp_path)


@pytest.mark.parametrize("class_list", [None, "a\nb\nc\n"])
def test_a_palette_is_read_as_indices_and_said_once(tmp_path, class_list):
    write(tmp_path / "train", "a", MASK)
    write(tmp_path / "train", "b", MASK)
    if class_list:
        (tmp_path / "classes.txt").write_text(class_list)
    for name in "ab":
        picture = Image.fromarray(np.array(MASK, np.uint8))
        picture.putpalette(voc_palette(256).tobytes())
        picture.save(tmp_path / "train" / "masks" / f"{name}.png")
    train = open_folder(tmp_path)
    assert [sample.label.tolist() for sample in train] == [MASK, MASK]
    assert len(train.notes) == 1
    assert "a.png) are read as indices" in train.notes[0]


def test_rgb_masks_without_colours(tmp_path):
    write(tmp_path / "train", "a", [[(1, 2, 3), (0, 0, 0)]])
    with pytest.raises(ValueError, match=r"got an RGB mask in .*a.png. Give each class its colour in classes.txt"):
        open_folder(tmp_path)


def test_missing_and_doubled_files(tmp_path):
    with pytest.raises(ValueError, match=r"folder: expected a folder at .*nowhere"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"images or .*train.images, got neither"):
        open_folder(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match=r"expected masks in .*masks, got no such folder"):
        open_folder(tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"got none. The data set is empty"):
        open_folder(tmp_path)
    write(tmp_path, "a", MASK)
    with pytest.raises(ValueError, match=r"at least 2 images in .*images to split them into train and val, got 1"):
        open_folder(tmp_path)
    write(tmp_path, "b", MASK)
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(ValueError, match=r"a mask .*masks.b.png for b.png, got none \(1 of 2 images have no mask\)"):
        open_folder(tmp_path)
    write(tmp_path, "b", MASK, "jpg")
    with pytest.raises(ValueError, match=r"names that differ before the ending, got .*b.jpg and b.png"):
        open_folder(tmp_path)
