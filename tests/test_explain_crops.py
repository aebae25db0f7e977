"""Crop offsets derived step by step: the published ones, their fractions, and a centre crop seen to be off."""

import json
from fractions import Fraction

import numpy as np
import pytest

from minifcn import Graph, cli, init, models
from minifcn.coordinates import crop_offset
from minifcn.explain.crop_words import told
from minifcn.explain.crops import derive_crops, formula
from minifcn.layers import Add, AvgPool2d, Conv2d, ConvTranspose2d, Crop, Pad, ResizeBilinear


def published(name, padding="paper"):
    with init.shapes_only():
        return models.build(name, padding=padding)


def crops_of(name, size=(500, 375), **options):
    return {rows.crop: (rows, columns) for rows, columns in derive_crops(published(name, **options), size)}


@pytest.mark.parametrize(("name", "offsets"), [
    ("fcn32s", {"score": 19}), ("fcn16s", {"score_pool4c": 5, "score": 27}), ("fcn-alexnet", {"score": 18}),
    ("fcn8s", {"score_pool4c": 5, "score_pool3c": 9, "score": 31}),
])
def test_published_offsets(name, offsets):
    found = crops_of(name)
    assert found.keys() == offsets.keys()
    for crop, offset in offsets.items():
        for derivation in found[crop]:
            assert derivation.offset == derivation.derived == offset


def test_steps_of_the_first_crop():
    """The fractions of Caffe's coordinate maps, and the shape walk, for 500 rows and 375 columns."""
    rows, columns = crops_of("fcn32s")["score"]
    assert [(step.layer, formula(step.total)) for step in rows.value_steps] == [
        ("conv1_1", "r + 99"), ("pool1", "r/2 + 197/4"), ("pool2", "r/4 + 195/8"), ("pool3", "r/8 + 191/16"),
        ("pool4", "r/16 + 183/32"), ("pool5", "r/32 + 167/64"), ("fc6", "r/32 - 25/64"), ("upscore", "r + 19")]
    assert [step.size for step in rows.value_steps] == [698, 349, 175, 88, 44, 22, 16, 544]
    assert [step.size for step in columns.value_steps] == [573, 287, 144, 72, 36, 18, 12, 416]
    assert (rows.common, rows.reference_steps, rows.stride) == ("data", (), 1)
    assert [step.what for step in rows.value_steps][:2] == ["window 3, padding 100", "window 2, stride 2"]
    assert rows.value_steps[-1].what == "block 64, stride 32"


@pytest.mark.parametrize(("size", "centre", "shift"), [(375, 20, 1), (500, 22, 3), (512, 32, 13), (505, 19, 0)])
def test_a_centre_crop_at_several_sizes(size, centre, shift):
    """Surpluses of 41, 44, 64 and 39 rows, of which 19 belong to the front."""
    rows, columns = crops_of("fcn32s", (size, 375))["score"]
    assert (rows.centre, rows.shift) == (centre, shift)
    assert (columns.centre, columns.shift) == (20, 1)
    assert rows.surplus == columns.surplus == (38, 69)  # 19 to 50 behind the offset, whatever the size


def test_a_coarse_crop_counts_in_pixels_of_the_image():
    rows, _ = crops_of("fcn8s", (256, 375))["score_pool4c"]
    assert (rows.size, rows.wanted, rows.stride, rows.common) == (29, 20, 16, "pool4")
    assert (rows.centre, rows.shift) == (4, -16)
    assert [step.layer for step in rows.reference_steps] == ["pool5", "fc6", "upscore2"]


def halved_and_doubled(offset):
    """Means over 2x3 pixels, upsampled again: what remains of the image, cropped somewhere."""
    g = Graph()
    g.add("pad", Pad((9, 2, 1, 7)), "data")
    g.add("mean", AvgPool2d((2, 3)), "pad")
    for axis, (factor, kernel) in enumerate(((2, (4, 1)), (3, (1, 5)))):
        stride = (factor, 1) if axis == 0 else (1, factor)
        up = ConvTranspose2d(1, 1, kernel, stride, bias=False, dtype=np.float64)
        up.weight.data[0, 0] = init.bilinear_profile(max(kernel)).reshape(kernel)
        g.add(f"up{axis}", up, "mean" if axis == 0 else "up0")
    g.add("score", Crop(offset), "up1", "data")
    return g


def test_the_shift_is_what_a_ramp_shows():
    """An image that holds at each pixel its own row, then its own column, comes back moved by the shift."""
    size = (40, 51)
    ((rows, columns),) = derive_crops(halved_and_doubled((0, 0)), size)
    assert rows.derived.denominator == columns.derived.denominator == 1
    right = (int(rows.derived), int(columns.derived))
    assert right == crop_offset(halved_and_doubled((0, 0)), "up1", "data")
    centre = (rows.centre, columns.centre)
    assert right[0] != centre[0]
    ramps = np.broadcast_to(np.indices(size)[:, None], (2, 1, *size)).astype(np.float64)
    middle = np.s_[18:22, 24:28]
    for offset in (right, centre):
        moved = halved_and_doubled(offset).forward(ramps, record=False) - ramps
        for axis, derivation in enumerate(derive_crops(halved_and_doubled(right), size)[0]):
            expected = float(derivation.shift) if offset == centre else 0.0
            np.testing.assert_allclose(moved[axis, 0][middle], expected, atol=1e-9)


# In words.

def test_told():
    text = told(*crops_of("fcn8s")["score"])
    assert "fc6            window 7               r - 3       r/32 - 25/64   16x12\n" in text
    assert "So row r of data is row r + 31 of upscore8:\n  upscore8 begins 31 rows before data.\n" in text
    assert "Rows: upscore8 has 568, data 500, a surplus of 68: 31 at the front, 37 at the end.\n" in text
    assert "that surplus changes, from 62 to 93. The offset does not.\n" in text
    assert "Columns: upscore8 has 440, data 375, a surplus of 65: 31 at the front, 34 at the end.\n" in text
    assert "begin at 34: the scores shift up by 3 pixels of the image\n  (it needs a surplus of 62 or 63)." in text
    assert "begin at 32: the scores shift to the left by 1 pixel of the image" in text
    assert told(*crops_of("fcn8s", (500, 500))["score"]).count("window 7") == 1
    assert "Rows and columns: upscore8" in told(*crops_of("fcn8s", (500, 500))["score"])


def test_told_of_two_paths():
    text = told(*crops_of("fcn8s", (256, 256))["score_pool4c"])
    assert "from pool4 to score_pool4 no layer moves a row" in text
    assert "So row r of pool4 is row r of score_pool4 and row r - 5 of upscore2:" in text
    assert "begin at 4: the scores shift down and to the right by 16 pixels of the image" in text
    assert "right here by luck (it needs a surplus of 10 or 11)" in told(*crops_of("fcn8s")["score_pool4c"])
    assert "upscore2 begins 1 row before score_pool4.\n" in told(*crops_of("fcn16s", padding="same")["upscore2c"])


def test_told_of_a_network_that_crops_wrongly():
    text = told(*derive_crops(halved_and_doubled((0, 0)), (40, 51))[0])
    assert text.count("But this network crops at 0: its scores lie") == 2
    assert text.count("sends r to") == 2  # rows and columns go different ways


@pytest.mark.parametrize(("affine", "text"), [
    ((1, 0), "r"), ((1, 19), "r + 19"), ((32, Fraction(63, 2)), "32*r + 63/2"), ((Fraction(1, 2), -1), "r/2 - 1"),
    ((Fraction(2, 3), 0), "2/3*r"),
])
def test_formula(affine, text):
    assert formula(tuple(map(Fraction, affine))) == text


# What has no derivation.

def test_crops_of_a_fixed_size_are_passed_over():
    g = Graph()
    g.add("crop", Crop(2, (3, 3)), "data")
    assert derive_crops(g, (9, 9)) == []


def test_errors():
    g = Graph(("data", "other"))
    g.add("a", Conv2d(1, 1, 1), "data")
    g.add("b", Conv2d(1, 1, 1), "other")
    g.add("c", Crop(0), "a", "b")
    with pytest.raises(ValueError, match=r"expected 'a' and 'b' to be computed from the same value, got two that have"):
        derive_crops(g, (9, 9))
    h = Graph()
    h.add("half", AvgPool2d(2), "data")
    h.add("sum", Add(), "half")
    h.add("resize", ResizeBilinear(), "sum", "data")
    h.add("crop", Crop(0), "resize", "data")
    with pytest.raises(ValueError, match=r"ResizeBilinear\.coordinate_map: expected a layer whose map is the same for"):
        derive_crops(h, (9, 9))


# The command.

def test_command(capsys):
    assert cli.main(["explain", "crop", "fcn8s", "--size", "375x500", "--json"]) == 0
    axes = json.loads(capsys.readouterr().out)
    assert [(axis["crop"], axis["axis"], axis["offset"], axis["centre_offset"], axis["centre_shift"])
            for axis in axes[-2:]] == [("score", "rows", 31, 32, 1.0), ("score", "columns", 31, 34, 3.0)]
    assert axes[-1]["value_steps"][-1] == {"layer": "upscore8", "what": "block 16, stride 8", "own": "8*r + 15/2",
                                           "total": "r + 31", "size": 568}
    assert cli.main(["explain", "crop", "fcn8s", "--size", "375x500"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("fcn8s, image of 375x500\n\nNumber the rows of every map from 0.")
    assert text.count("is cropped to") == 3
    assert max(map(len, text.splitlines())) <= 120
    assert cli.main(["explain", "crop", "vgg16"]) == 0
    assert "crops nothing" in capsys.readouterr().out
