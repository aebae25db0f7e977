"""U-Net against its paper: the figure's sizes, its crops and parameters, legal sizes, and what other sizes become."""

import re

import numpy as np
import pytest

from minifcn import cli, fuse, init, models
from minifcn.cutting import scores_of
from minifcn.gradcheck.network import check_network, randomise
from minifcn.layers import Conv2d, ConvTranspose2d, Crop, Dropout
from minifcn.layers._legal_size import LegalSize
from minifcn.shapes import shapes_of
from minifcn.testing import tie_free

# Rows of the maps in figure 1, for a tile of 572.
FIGURE = {
    "conv_d0_1": 570, "conv_d0_2": 568, "pool0": 284, "conv_d1_1": 282, "conv_d1_2": 280, "pool1": 140,
    "conv_d2_1": 138, "conv_d2_2": 136, "pool2": 68, "conv_d3_1": 66, "conv_d3_2": 64, "pool3": 32,
    "conv_d4_1": 30, "conv_d4_2": 28, "up3": 56, "conv_u3_1": 54, "conv_u3_2": 52, "up2": 104, "conv_u2_1": 102,
    "conv_u2_2": 100, "up1": 200, "conv_u1_1": 198, "conv_u1_2": 196, "up0": 392, "conv_u0_1": 390, "conv_u0_2": 388,
    "score": 388,
}
CHANNELS = {"d0": 64, "d1": 128, "d2": 256, "d3": 512, "d4": 1024, "u3": 512, "u2": 256, "u1": 128, "u0": 64}


def tiny(padding="paper", **options):
    return models.build("unet", **{"width": 1 / 64, "padding": padding, "rng": 0} | options)


def halves_even_numbers(size):
    """Whether an unpadded U-Net, followed with a pencil, halves even numbers only and has scores in the end."""
    for _ in range(4):
        size -= 4
        if size < 2 or size % 2:
            return False
        size //= 2
    size -= 4
    for _ in range(4):
        size = 2 * size - 4
    return size > 0


# Figure 1.

def test_sizes_and_channels_of_the_figure():
    with init.shapes_only():
        net = models.build("unet")
    shapes = shapes_of(net, (572, 188))
    for name, rows in FIGURE.items():
        assert shapes[name][2] == rows, name
    for place, channels in CHANNELS.items():
        assert shapes[f"relu_{place}_1"][1] == shapes[f"relu_{place}_2"][1] == channels
    assert [shapes[f"concat{level}"][1] for level in (3, 2, 1, 0)] == [1024, 512, 256, 128]
    assert shapes["score"] == (1, 2, 388, 4)


def test_crops_are_the_figures():
    crops = {node.name: (node.layer.offset, *node.inputs) for node in tiny().nodes if isinstance(node.layer, Crop)}
    assert crops == {"crop3": ((4, 4), "drop_d3", "up3"), "crop2": ((16, 16), "relu_d2_2", "up2"),
                     "crop1": ((40, 40), "relu_d1_2", "up1"), "crop0": ((88, 88), "relu_d0_2", "up0")}
    crops = {node.name: (node.layer.offset, *node.inputs) for node in tiny("same").nodes
             if isinstance(node.layer, Crop)}
    assert crops == {f"crop{level}": ((0, 0), f"up{level}", "drop_d3" if level == 3 else f"relu_d{level}_2")
                     for level in (3, 2, 1, 0)}


def test_order_and_names_of_the_layers():
    nodes = [node for node in tiny().nodes if not node.name.startswith("relu")]
    assert " ".join(node.name for node in nodes) == (
        "tile conv_d0_1 conv_d0_2 pool0 conv_d1_1 conv_d1_2 pool1 conv_d2_1 conv_d2_2 pool2 conv_d3_1 conv_d3_2 "
        "drop_d3 pool3 conv_d4_1 conv_d4_2 drop_d4 up3 crop3 concat3 conv_u3_1 conv_u3_2 up2 crop2 concat2 conv_u2_1 "
        "conv_u2_2 up1 crop1 concat1 conv_u1_1 conv_u1_2 up0 crop0 concat0 conv_u0_1 conv_u0_2 score")
    inputs = {node.name: node.inputs for node in nodes}
    assert inputs["pool3"] == ("drop_d3",)  # and so does crop3, see above: the skip carries the drop-out
    assert inputs["up3"] == ("drop_d4",)
    assert inputs["concat3"] == ("up3", "crop3")
    assert inputs["up2"] == ("relu_u3_2",)  # no ReLU behind an up-convolution
    assert [node.layer.p for node in nodes if isinstance(node.layer, Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize(("options", "count"), [
    ({"in_channels": 1}, 31_030_658), ({}, 31_030_658 + 2 * 9 * 64), ({"num_classes": 21}, 31_031_810 + 19 * 65),
])
def test_published_number_of_parameters(padding, options, count):
    with init.shapes_only():
        net = models.build("unet", padding=padding, **options)
    assert models.count_parameters(net) == {"trainable": count, "frozen": 0}


def test_first_weights_have_the_papers_deviation():
    """sqrt(2/N), N the numbers that one neuron adds up."""
    net = models.build("unet", width=1 / 8, padding="same", rng=3)
    for node in net.nodes:
        layer = node.layer
        if isinstance(layer, (Conv2d, ConvTranspose2d)):
            taps = 1 if isinstance(layer, ConvTranspose2d) else layer.weight.data[0, 0].size
            expected, count = np.sqrt(2 / (layer.in_channels * taps)), layer.weight.data.size
            assert layer.weight.data.std() == pytest.approx(expected, rel=4 / np.sqrt(count)), node.name
            assert not layer.bias.data.any()


# Where scores lie.

@pytest.mark.parametrize(("padding", "size"), [("paper", (204, 188)), ("same", (32, 48))])
def test_a_turned_network_on_a_turned_image(padding, size, rng):
    """Turning image and filters by 180 degrees turns the scores: true only if what is cropped is centred."""
    net, turned = (tiny(padding, width=1 / 32, dtype=np.float64, rng=1).eval() for _ in range(2))
    for parameter in turned.parameters().values():
        if parameter.data.ndim == 4:
            parameter.data = np.ascontiguousarray(parameter.data[:, :, ::-1, ::-1])
    x = rng.standard_normal((1, 3, *size))
    y = net.forward(x, record=False)
    found = turned.forward(np.ascontiguousarray(x[:, :, ::-1, ::-1]), record=False)[:, :, ::-1, ::-1]
    np.testing.assert_allclose(found, y, rtol=0, atol=1e-12 * abs(y).max())
    assert y.std() > 0


# Which sizes.

def test_tiles_without_padding():
    """Every size up to 400, and the answer for the others names the nearest ones."""
    net = tiny(width=1e-9)
    legal = [size for size in range(1, 401) if halves_even_numbers(size)]
    assert legal == [16 * k + 60 for k in range(8, 22)]
    for size in range(1, 401):
        if size in legal:
            assert shapes_of(net, (size, 188))["score"][2:] == (size - 184, 4)
            continue
        with pytest.raises(ValueError, match="LegalSize: expected an image with rows and columns among 188, 204, 220 "
                                             f"and so on, got {size}x188") as error:
            shapes_of(net, (size, 188))
        nearest = int(re.search(r"crop it to (\d+)x188", str(error.value)).group(1))
        assert nearest in legal
        assert abs(nearest - size) == min(abs(other - size) for other in (*legal, 412))


@pytest.mark.parametrize("size", [(190, 204), (204, 100), (3, 3)])
def test_other_tiles_are_refused_at_once(size):
    for net in (tiny().eval(), fuse(tiny())):
        with pytest.raises(ValueError, match=r"layer 'tile': LegalSize: .*, the nearest, or have pixels added "
                                             r"\(--pad\)"):
            net.forward(np.zeros((1, 3, *size), np.float32))
    with pytest.raises(ValueError, match=r"LegalSize: expected x with 4 axes"):
        tiny().forward(np.zeros((3, 188, 188), np.float32))


def test_the_gate_lets_everything_through():
    gate, x = LegalSize(3, 2), np.ones((1, 1, 5, 7))
    assert repr(gate) == "LegalSize(least=3, step=2)"
    assert gate.forward(x) is x
    assert gate.backward(x) is x
    gate.forward(x)
    assert gate.backward(x, needs=(False,)) is None
    assert [gate.nearest(side) for side in (1, 3, 4, 5, 6)] == [3, 3, 5, 5, 7]


def test_any_size_with_padding():
    net = tiny("same").eval()
    for h in range(1, 41):
        assert net.forward(np.zeros((1, 3, h, 41 - h), np.float32)).shape == (1, 2, h, 41 - h)


def test_what_the_registry_says():
    least, size = models.MODELS["unet"].least, models.MODELS["unet"].size
    assert halves_even_numbers(least)
    assert not any(halves_even_numbers(smaller) for smaller in range(least))
    assert size == 572
    assert models.MODELS["unet"].task == "segmentation"


def test_the_trunk_takes_other_sizes():
    """Which shift-and-stitch needs: what is legal is a matter of the way up."""
    trunk = scores_of(tiny())
    assert trunk.nodes[0].inputs == ("data",)
    assert not any(isinstance(node.layer, LegalSize) for node in trunk.nodes)
    assert trunk.outputs == ("drop_d4",)
    assert shapes_of(trunk, (190, 201))["drop_d4"][2:] == (5, 5)
    same = scores_of(tiny("same"))
    assert same.nodes[0].name == "conv_d0_1"


def test_commands(capsys):
    assert cli.main(["explain", "size", "unet", "--size", "190x572"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("unet takes images with rows and columns: 188, 204, 220 and so on, in steps of 16\n")
    assert "nearest legal size: 188x572" in text
    assert cli.main(["explain", "crop", "unet"]) == 0  # of 572x572
    text = capsys.readouterr().out
    for offset in ("4", "16", "40", "88"):
        assert re.search(rf"\b{offset}\b", text)
    assert cli.main(["inspect", "unet", "--json"]) == 0
    assert '"score"' in capsys.readouterr().out


# Gradients and options.

@pytest.mark.parametrize(("padding", "size"), [("paper", (188, 188)), ("same", (19, 22))])
def test_gradients_by_samples(padding, size):
    net = tiny(padding, width=1 / 32, dtype=np.float64)
    randomise(net, np.random.default_rng(1))
    check_network(net, tie_free((1, 3, *size)), samples=1).raise_if_failed()


def test_rng_and_dtype():
    one, same, other = (tiny(rng=rng).state() for rng in (4, np.random.default_rng(4), 5))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["up0.weight"], other["up0.weight"])
    assert {array.dtype for array in tiny(dtype=np.float64).state().values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(("options", "message"), [
    ({"padding": "valid"}, "unet: expected padding 'paper' or 'same', got 'valid'. Choose one"),
    ({"width": -1}, "unet: expected width above 0, got -1. 1.0 is the paper's"),
    ({"in_channels": 0}, "Conv2d: expected positive channel counts"),
])
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)
