"""Which images a network takes, against networks that are really run at every size."""

import json

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn import Graph, cli, models
from minifcn.explain.sizes import Sizes, complaint, legal_sizes
from minifcn.layers import Add, Concat, Conv2d, ConvTranspose2d, Flatten, Linear, MaxPool2d


def unpadded():
    """Needs eight rows and five columns."""
    g = Graph()
    g.add("conv", Conv2d(3, 2, (3, 4)), "data")
    g.add("pool", MaxPool2d((3, 1)), "conv")
    g.add("conv2", Conv2d(2, 2, (2, 2)), "pool")
    return g


def joined():
    """Down and up again without a crop: rows a multiple of 4, columns of 6."""
    g = Graph()
    g.add("half", MaxPool2d((2, 3)), "data")
    g.add("quarter", MaxPool2d(2), "half")
    g.add("up", ConvTranspose2d(3, 3, 2, 2), "quarter")
    g.add("sum", Add(), "up", "half")
    g.add("full", ConvTranspose2d(3, 3, (2, 3), (2, 3)), "sum")
    g.add("both", Concat(), "full", "data")
    return g


def offset():
    """Rows and columns 5, 8, 11, ...: a transposed convolution gives back what three strides and two pixels made."""
    g = Graph()
    g.add("down", Conv2d(3, 3, 5, stride=3), "data")
    g.add("up", ConvTranspose2d(3, 3, 5, 3), "down")
    g.add("sum", Add(), "up", "data")
    return g


def classifier():
    g = Graph()
    g.add("pool", MaxPool2d(4, ceil_mode=True), "data")
    g.add("flat", Flatten(), "pool")
    g.add("fc", Linear(3 * 3 * 3, 2), "flat")
    return g




@pytest.mark.parametrize(("make", "rows", "columns"), [
    (unpadded, "every size from 8", "every size from 5"), (joined, "multiples of 4", "multiples of 6"),
    (offset, "5, 8, 11 and so on, in steps of 3", "5, 8, 11 and so on, in steps of 3"),
    (classifier, "9 to 12", "9 to 12"),
])
def test_against_running_it(make, rows, columns):
    net = make()
    found = legal_sizes(net)
    assert (found[0].told(), found[1].told()) == (rows, columns)
    for axis in (0, 1):
        for size in range(1, 45):
            other = found[1 - axis].legal[-1]
            shape = (size, other) if axis == 0 else (other, size)
            try:
                net.forward(np.zeros((1, 3, *shape), np.float32), record=False)
                runs = True
            except ValueError:
                runs = False
            assert found[axis].allows(size) == runs, (axis, size)
            assert (complaint(net, shape) is None) == runs


@pytest.mark.parametrize(("name", "padding", "told"), [
    ("fcn8s", "paper", "every size from 1"), ("fcn8s", "same", "every size from 1"),
    ("unet", "paper", "188, 204, 220 and so on, in steps of 16"), ("unet", "same", "every size from 1"),
    ("vgg16", "paper", "193 to 224"), ("vgg16", "valid", "373 to 404"), ("alexnet", "paper", "199 to 230"),
])
def test_published(name, padding, told):
    rows, columns = legal_sizes(models.build(name, width=1e-9, padding=padding))
    assert (rows.told(), columns.told()) == (told, told)


def test_nearest_and_beyond_what_was_tried():
    multiples = Sizes(tuple(range(6, 61, 6)), 60, 6)
    assert [multiples.allows(size) for size in (60, 61, 66, 6000, 6001)] == [True, False, True, True, False]
    assert [multiples.nearest(size) for size in (1, 6, 8, 9, 10, 1003)] == [6, 6, 6, 12, 12, 1002]
    few = Sizes((9, 10, 11, 12), 60, 0)
    assert [few.nearest(size) for size in (1, 10, 5000)] == [9, 10, 12]
    assert not few.allows(61)
    assert Sizes((9,), 60, 0).told() == "only 9"
    assert Sizes((8, 16, 24), 60, 0).told() == "8 to 24 in steps of 8"
    assert Sizes((4, 6, 8, 12, 16), 16, 4).told() == "4, 6, 8, 12, 16 and so on"


def test_a_network_that_takes_nothing(monkeypatch):
    monkeypatch.setattr("minifcn.explain.sizes.SEARCHED", 70)
    g = Graph()
    g.add("flat", Flatten(), "data")
    g.add("fc", Linear(7, 2), "flat")
    with pytest.raises(ValueError, match=r"some square image of up to 70 pixels, got none\. .* layer 'fc': linear"):
        legal_sizes(g)


def test_a_picture_that_is_too_small(tmp_path, capsys):
    """The layer speaks of its own input; the user wants to hear of the picture."""
    net = models.build("fcn-alexnet", num_classes=2, width=1 / 64, padding="same", rng=0)
    minifcn.save(tmp_path / "net.safetensors", net)
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(tmp_path / "small.png")
    predict = ["predict", str(tmp_path / "net.safetensors"), str(tmp_path / "small.png"), "--out", str(tmp_path)]
    assert cli.main(predict) == 2
    error = capsys.readouterr().err
    assert error.startswith("minifcn: error: predict: expected an image that this network takes (rows: every size from")
    assert "got 20x40, where layer 'pool5': max_pool2d: expected" in error
    assert error.endswith("The nearest size that fits is 29x40.\n")


def test_command(capsys):
    assert cli.main(["explain", "size", "fcn8s"]) == 0
    assert capsys.readouterr().out == "fcn8s takes images with rows and columns: every size from 1\n"
    assert cli.main(["explain", "size", "fcn8s", "--size", "375x500", "--width", "0.1"]) == 0
    assert "375x500 is legal; out come score 21x375x500\n" in capsys.readouterr().out
    assert cli.main(["explain", "size", "vgg16", "--size", "100x230"]) == 1
    text = capsys.readouterr().out
    assert "100x230 is not legal. layer 'fc6': linear: expected rows of 25088 numbers, got an input of shape" in text
    assert "nearest legal size: 193x224, 93 rows more and 6 columns fewer; out come fc8 1000\n" in text
    assert cli.main(["explain", "size", "vgg16", "--size", "100x224", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["legal"], report["nearest"], report["rows"]) == (False, [193, 224], "193 to 224")
