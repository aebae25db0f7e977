"""PASCAL VOC and SBD in their published layout, on tiny files made here."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from minifcn.data import open_dataset, voc_palette

H, W = 5, 7


def picture(rng, path):
    """A grey picture, which JPEG keeps within a level or two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = int(rng.integers(20, 236))
    Image.new("RGB", (W, H), (value, value, value)).save(path)
    return value


def write_voc(rng, root, names):
    """JPEGImages and SegmentationClass for `names`; palette PNGs as VOC has them. Returns grey value and labels."""
    arrays = {}
    for name in names:
        label = rng.integers(0, 22, (H, W)).astype(np.uint8)
        label[label == 21] = 255
        label[0, :3] = (0, 20, 255)
        mask = Image.fromarray(label)
        mask.putpalette(voc_palette(256).tobytes())
        (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
        mask.save(root / "SegmentationClass" / f"{name}.png")
        arrays[name] = picture(rng, root / "JPEGImages" / f"{name}.jpg"), label
    return arrays


def write_lists(folder, **lists):
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("\n".join(names) + ("\n" if split == "train" else ""))


def struct(label):
    """GTcls as SBD's files have it: a 1x1 struct with three fields."""
    boundaries = np.empty((20, 1), object)
    boundaries.fill(np.zeros((H, W), np.uint8))
    return {"Boundaries": boundaries, "Segmentation": label, "CategoriesPresent": np.array([[5]])}


@pytest.fixture
def voc(tmp_path, rng):
    year = tmp_path / "VOCdevkit" / "VOC2011"
    arrays = write_voc(rng, year, ("2007_000032", "2007_000039", "2007_000063"))
    write_lists(year / "ImageSets" / "Segmentation", train=["2007_000032"], val=["2007_000039", "2007_000063"],
                trainval=list(arrays), seg11valid=["2007_000063"])
    return tmp_path, arrays


@pytest.fixture
def both(voc, rng):
    """SBD beside VOC 2011, one of whose val images it trains on."""
    root, voc_arrays = voc
    dataset, arrays = root / "benchmark_RELEASE" / "dataset", {}
    (dataset / "cls").mkdir(parents=True)
    for name in ("2007_000039", "2008_000002", "2008_000007"):
        label = rng.integers(0, 21, (H, W)).astype(np.uint8)
        scipy.io.savemat(dataset / "cls" / f"{name}.mat", {"GTcls": struct(label)}, do_compression=True)
        arrays[name] = picture(rng, dataset / "img" / f"{name}.jpg"), label
    write_lists(dataset, train=["2007_000039", "2008_000002"], val=["2008_000007"])
    return root, arrays, voc_arrays


def check(dataset, arrays):
    for index, sample in enumerate(dataset):
        value, label = arrays[sample.name]
        np.testing.assert_array_equal(sample.label, label)
        assert abs(sample.image.astype(int) - value).max() <= 2
        assert sample.image.shape == (H, W, 3)
        assert sample.name in dataset.files(index)[0]


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2011"])
def test_voc_from_each_of_its_folders(voc, below):
    root, arrays = voc
    lengths = []
    for split in ("train", "val", "trainval", "seg11valid"):
        dataset = open_dataset(f"voc:{root / below}", split)
        check(dataset, arrays)
        lengths.append(len(dataset))
    assert lengths == [1, 2, 3, 1]


def test_voc_classes_colours_and_mean(voc):
    dataset = open_dataset(f"voc:{voc[0]}")
    assert len(dataset.classes) == 21
    named = dict(zip(dataset.classes, dataset.palette.tolist(), strict=True))
    assert named["background"] == [0, 0, 0]
    assert named["aeroplane"] == [128, 0, 0]
    assert named["person"] == [192, 128, 128]
    assert named["tvmonitor"] == [0, 64, 128]
    assert dataset.void_color == (224, 224, 192)
    assert dataset.published_mean == (122.67892, 116.66877, 104.00699)


def test_of_two_years_one_is_named(voc, rng):
    root, _ = voc
    year = root / "VOCdevkit" / "VOC2012"
    arrays = write_voc(rng, year, ("2012_000001",))
    write_lists(year / "ImageSets" / "Segmentation", train=["2012_000001"])
    with pytest.raises(ValueError, match=r"voc: expected one year with the split 'train', got .*VOC2011 and .*VOC2012. "
                                         r"Name one of them: voc:.*VOC2012"):
        open_dataset(f"voc:{root}")
    check(open_dataset(f"voc:{year}"), arrays)
    assert len(open_dataset(f"voc:{root}", "seg11valid")) == 1  # only one of them has this list


def test_missing_parts_of_voc(voc, tmp_path):
    root, _ = voc
    with pytest.raises(ValueError, match=r"voc: expected a folder at .*nowhere, got none"):
        open_dataset(f"voc:{tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"voc: expected .*VOC2011.ImageSets.Segmentation or .* got no such file or"):
        open_dataset(f"voc:{tmp_path / 'empty'}")
    year = root / "VOCdevkit" / "VOC2011"
    lists = year / "ImageSets" / "Segmentation"
    (lists / "seg11valid.txt").unlink()
    with pytest.raises(ValueError, match=r"in .*seg11valid.txt, got train.txt, trainval.txt, val.txt in that folder. "
                                         r"Put the FCN authors' seg11valid.txt there"):
        open_dataset(f"voc:{root}", "seg11valid")
    with pytest.raises(ValueError, match=r"in .*test.txt, got .* in that folder. Choose one of these splits"):
        open_dataset(f"voc:{root}", "test")
    (year / "SegmentationClass" / "2007_000039.png").unlink()
    with pytest.raises(ValueError, match=r"voc: expected .*SegmentationClass.2007_000039.png, which .*val.txt lists, "
                                         r"got no such file \(1 of 4 files are missing\)"):
        open_dataset(f"voc:{root}", "val")
    (lists / "train.txt").write_text("\n\n")
    with pytest.raises(ValueError, match=r"at least one sample in .*train.txt, got an empty list"):
        open_dataset(f"voc:{root}")
    (lists / "train.txt").write_text("2007_000032\n/JPEGImages/a.jpg /SegmentationClass/a.png\n")
    with pytest.raises(ValueError, match=r"one name in line 2 of .*train.txt, got '/JPEGImages/a.jpg "):
        open_dataset(f"voc:{root}")


@pytest.mark.parametrize("below", ["", "benchmark_RELEASE", "benchmark_RELEASE/dataset"])
def test_sbd_from_each_of_its_folders(both, below):
    root, arrays, _ = both
    train, val = open_dataset(f"sbd:{root / below}"), open_dataset(f"sbd:{root / below}", "val")
    check(train, arrays)
    check(val, arrays)
    assert (len(train), len(val)) == (2, 1)
    assert train.classes == open_dataset(f"voc:{root}").classes


@pytest.mark.parametrize("listed", [True, False])
def test_seg11valid_is_vocs_val_without_sbds_train_and_has_vocs_labels(both, listed):
    root, _, voc_arrays = both
    if not listed:
        (root / "VOCdevkit" / "VOC2011" / "ImageSets" / "Segmentation" / "seg11valid.txt").unlink()
    dataset = open_dataset(f"sbd:{root}", "seg11valid")
    assert [sample.name for sample in dataset] == ["2007_000063"]
    check(dataset, voc_arrays)
    assert (dataset[0].label == 255).any()


def test_an_sbd_file_of_other_numbers_or_another_kind(both):
    root, _, _ = both
    folder = root / "benchmark_RELEASE" / "dataset" / "cls"
    scipy.io.savemat(folder / "2008_000002.mat", {"GTcls": struct(np.full((H, W), 21, np.uint8))})
    with pytest.raises(ValueError, match=r"expected labels 0..20, got 21 at row 0, column 0 of .*2008_000002.mat"):
        open_dataset(f"sbd:{root}")[1]
    scipy.io.savemat(folder / "2008_000002.mat", {"GTinst": struct(np.zeros((H, W)))})
    with pytest.raises(ValueError, match=r"read_mat: expected GTcls in .*2008_000002.mat, got GTinst. Is it a file of"):
        open_dataset(f"sbd:{root}")[1]
    (folder / "2007_000039.mat").write_bytes(b"<html>not found</html>" * 20)
    with pytest.raises(ValueError, match=r"readable .mat file .* in .*2007_000039.mat, got a damaged or unknown one"):
        open_dataset(f"sbd:{root}")[0]
