"""Bands around outlines, against every pixel looked at by itself and against SciPy's morphology."""

import json

import numpy as np
import pytest
from scipy import ndimage

import minifcn
from minifcn.data import open_dataset
from minifcn.trimap import Trimaps, trimap

VOID = 255


def pixel_by_pixel(label, width, boundary):
    """The definition, one pixel and one neighbour at a time."""
    h, w = label.shape
    band = np.zeros((h, w), bool)
    for y in range(h):
        for x in range(w):
            window = label[max(0, y - width): y + width + 1, max(0, x - width): x + width + 1].ravel().tolist()
            if boundary == "void":
                found = any(other == VOID for other in window)
            else:
                found = any(other not in (VOID, label[y, x]) for other in window)
            band[y, x] = found and label[y, x] != VOID
    return band


def patches(rng, h=13, w=17, void=0.2):
    """A label map of patches, some of them void."""
    label = rng.integers(0, 4, (h // 5 + 1, w // 5 + 1)).repeat(5, axis=0).repeat(5, axis=1)[:h, :w]
    label[rng.random(label.shape) < void / 10] = VOID
    label[:, 9][rng.random(h) < void * 4] = VOID
    return label


@pytest.mark.parametrize("boundary", ["void", "change"])
@pytest.mark.parametrize("width", [1, 2, 5, 40])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_definition(rng, boundary, width, dtype):
    for _ in range(5):
        label = patches(rng)
        found = trimap(label.astype(dtype), width, boundary=boundary)
        np.testing.assert_array_equal(found, pixel_by_pixel(label, width, boundary))
        assert found.dtype == bool


@pytest.mark.parametrize("width", [1, 3, 8])
def test_scipys_dilation(rng, width):
    """As in DeepLab's script: the void border dilated with a square, void itself left out."""
    label = patches(rng, 30, 40)
    square = np.ones((2 * width + 1, 2 * width + 1))
    expected = ndimage.binary_dilation(label == VOID, square) & (label != VOID)
    np.testing.assert_array_equal(trimap(label, width, boundary="void"), expected)


def test_a_straight_outline():
    label = np.zeros((4, 10), np.uint8)
    label[:, 6:] = 3
    assert np.flatnonzero(trimap(label, 2)[1]).tolist() == [4, 5, 6, 7]
    assert not trimap(label, 2, boundary="void").any()
    label[:, 5] = VOID  # a border of one pixel between the two
    assert np.flatnonzero(trimap(label, 2)[1]).tolist() == [4, 6]
    assert np.flatnonzero(trimap(label, 2, boundary="void")[1]).tolist() == [3, 4, 6, 7]
    assert not trimap(np.full((3, 4), VOID), 1).any()


def test_other_void_labels():
    label = np.array([[0, 0, 0, -1, 2, 2]])
    assert trimap(label, 1, boundary="void", ignore_index=-1).tolist() == [[False, False, True, False, True, False]]
    assert trimap(label, 2, ignore_index=-1).tolist() == [[False, False, True, False, True, False]]


@pytest.mark.parametrize("boundary", ["void", "change"])
def test_scores_in_the_bands(rng, boundary):
    """Over two images, against sets of pixels; the second is of another size."""
    labels = [patches(rng), patches(rng, 9, 14)]
    guesses = [np.where(rng.random(label.shape) < 0.4, 2, label % 4) for label in labels]
    bands = Trimaps(5, (1, 3), boundary)
    for guess, label in zip(guesses, labels, strict=True):
        bands.add(guess, label)
    rows = bands.as_list(list("abcde"))
    json.dumps(rows, allow_nan=False)
    for row, width in zip(rows, (1, 3), strict=True):
        inside = [pixel_by_pixel(label, width, boundary) for label in labels]
        truth = np.concatenate([label[band] for label, band in zip(labels, inside, strict=True)])
        guess = np.concatenate([guess[band] for guess, band in zip(guesses, inside, strict=True)])
        ious = [np.sum((truth == k) & (guess == k)) / np.sum((truth == k) | (guess == k)) for k in range(4)]
        assert (row["width"], row["boundary"], row["pixels"]) == (width, boundary, len(truth))
        assert row["pixel_accuracy"] == pytest.approx(np.mean(truth == guess))
        assert row["mean_iou"] == pytest.approx(np.mean(ious))
        assert row["absent"] == ["e"]


def test_a_band_without_pixels():
    bands = Trimaps(2, (1,), "void")
    bands.add(np.zeros((3, 4), int), np.zeros((3, 4), int))
    assert bands.as_list(["a", "b"]) == [{"width": 1, "boundary": "void", "pixels": 0}]


def test_bad_input():
    for width in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"trimap: expected a width of 1 or more whole pixels, got {width}"):
            Trimaps(2, (1, width))
    with pytest.raises(ValueError, match="trimap: expected boundary 'void' or 'change', got 'edge'"):
        trimap(np.zeros((2, 2), int), 1, boundary="edge")
    with pytest.raises(TypeError, match=r"expected labels \(H, W\) of an integer dtype, got shape \(1, 2, 2\), int64"):
        trimap(np.zeros((1, 2, 2), np.int64), 1)


def test_evaluate_in_bands(scenes):
    """The scores of a network in the bands, beside those of all pixels; the folder's labels touch each other."""
    net = minifcn.models.build("fcn32s", num_classes=3, width=1 / 64, padding="same", rng=3)
    net["score_fr"].weight.data[...] = np.random.default_rng(0).normal(size=net["score_fr"].weight.data.shape)
    dataset = open_dataset(f"folder:{scenes}", "val")
    scores = minifcn.evaluate(net, dataset, trimap=(2, 60))
    assert [row["boundary"] for row in scores["trimap"]] == ["change", "change"]
    narrow, wide = scores["trimap"]
    inside = [(trimap(sample.label, 2), sample) for sample in dataset]
    assert narrow["pixels"] == sum(band.sum() for band, _ in inside)
    right = [(minifcn.predict(net, sample.image) == sample.label)[band] for band, sample in inside]
    assert narrow["pixel_accuracy"] == pytest.approx(np.concatenate(right).mean())
    assert wide["pixel_accuracy"] == pytest.approx(scores["pixel_accuracy"])  # every pixel is within 60 of an outline
    assert minifcn.evaluate(net, dataset, trimap=(1,), boundary="void")["trimap"][0]["boundary"] == "void"
    dataset.void_borders = True
    assert minifcn.evaluate(net, dataset, trimap=(1,))["trimap"][0]["boundary"] == "void"
    assert "trimap" not in minifcn.evaluate(net, dataset)
