"""SIFT Flow in its published layout, on tiny files made here."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from minifcn.data import open_dataset

INNER = "spatial_envelope_256x256_static_8outdoorcategories"
H, W = 4, 6


@pytest.fixture
def tiny(tmp_path, rng):
    """Two images to train and one to test; semantic and geometric numbers by name, as they are in the files."""
    numbers = {}
    for folder in ("Images", "SemanticLabels", "GeoLabels"):
        (tmp_path / folder / INNER).mkdir(parents=True)
    for name in ("coast_natu975", "street_par29", "highway_gre55"):
        semantic = rng.integers(0, 34, (H, W)).astype(np.uint8)
        geometric = rng.choice([-1, 1, 2, 3], (H, W)).astype(np.int16)
        semantic[0, :2], geometric[0, :2] = (0, 33), (-1, 3)
        Image.new("RGB", (W, H), (90, 90, 90)).save(tmp_path / "Images" / INNER / f"{name}.jpg")
        scipy.io.savemat(tmp_path / "SemanticLabels" / INNER / f"{name}.mat", {"S": semantic, "names": "x"})
        scipy.io.savemat(tmp_path / "GeoLabels" / INNER / f"{name}.mat", {"S": geometric})
        numbers[name] = semantic, geometric
    (tmp_path / "trainval.txt").write_text("street_par29\ncoast_natu975")  # no last newline
    (tmp_path / "test.txt").write_text("highway_gre55\n")
    return tmp_path, numbers


def as_caffe_reads_them(semantic, geometric):
    """In bytes, where 0 - 1 is 255."""
    return semantic - np.uint8(1), np.where(geometric == -1, 0, geometric).astype(np.uint8) - np.uint8(1)


def test_both_labelings(tiny):
    root, numbers = tiny
    for split, names in (("trainval", ["street_par29", "coast_natu975"]), ("test", ["highway_gre55"])):
        semantic, geometric = open_dataset(f"siftflow:{root}", split), open_dataset(f"siftflow-geo:{root}", split)
        assert [sample.name for sample in semantic] == names
        for index, name in enumerate(names):
            expected = as_caffe_reads_them(*numbers[name])
            np.testing.assert_array_equal(semantic[index].label, expected[0])
            np.testing.assert_array_equal(geometric[index].label, expected[1])
            np.testing.assert_array_equal(semantic.both(index), expected)
            assert semantic[index].image.shape == (H, W, 3)
            assert (semantic[index].label[0, 0], geometric[index].label[0, 0]) == (255, 255)


def test_classes_and_mean(tiny):
    semantic, geometric = (open_dataset(f"{kind}:{tiny[0]}", "test") for kind in ("siftflow", "siftflow-geo"))
    assert len(semantic.classes) == len(set(semantic.classes)) == 33
    assert (semantic.classes[0], semantic.classes[5], semantic.classes[27]) == ("awning", "building", "sky")
    assert semantic.classes[-1] == "window"
    assert geometric.classes == ("sky", "horizontal", "vertical")
    assert semantic.published_mean == geometric.published_mean == (108.353, 115.294, 114.578)
    assert not (semantic.palette == 0).all(axis=1).any()  # black is void


def test_missing_parts(tiny):
    root, _ = tiny
    with pytest.raises(ValueError, match=r"list of samples in .*train.txt, got test.txt, trainval.txt in that folder. "
                                         r"The FCN authors' trainval.txt"):
        open_dataset(f"siftflow:{root}")
    with pytest.raises(ValueError, match=r"siftflow: expected .*GeoLabels.Images, got no such file"):
        open_dataset(f"siftflow:{root / 'GeoLabels'}", "test")
    (root / "GeoLabels" / INNER / "highway_gre55.mat").unlink()
    open_dataset(f"siftflow:{root}", "test")
    with pytest.raises(ValueError, match=r"expected .*GeoLabels.*highway_gre55.mat, which .*test.txt lists, got no"):
        open_dataset(f"siftflow-geo:{root}", "test")


@pytest.mark.parametrize(("kind", "folder", "wrong", "told"), [
    ("siftflow", "SemanticLabels", 34, "0..33, got 34"), ("siftflow-geo", "GeoLabels", 4, "0..3, got 4"),
    ("siftflow-geo", "GeoLabels", -2, "0..3, got -2"), ("siftflow", "SemanticLabels", 256, "0..33, got 256"),
])
def test_numbers_outside(tiny, kind, folder, wrong, told):
    root, _ = tiny
    numbers = np.ones((H, W), np.int16)
    numbers[2, 3] = wrong
    scipy.io.savemat(root / folder / INNER / "highway_gre55.mat", {"S": numbers})
    with pytest.raises(ValueError, match=f"expected labels {told} at row 2, column 3 of .*highway_gre55.mat"):
        open_dataset(f"{kind}:{root}", "test")[0]
