"""FCN-AlexNet and FCN-GoogLeNet against their paper: sizes, parameters, multipliers, receptive fields."""

import numpy as np
import pytest

from minifcn import init, models
from minifcn.coordinates import coordinate_map
from minifcn.layers import Conv2d, MaxPool2d

# Height of each value of FCN-AlexNet for inputs of 500, 375, 333, 256 and 1 rows; 500 as published, the others by the
# published rules (convolutions round down, poolings up).
SHAPES = {
    "conv1": (173, 142, 131, 112, 48), "pool1": (86, 71, 65, 56, 24), "pool2": (43, 35, 32, 28, 12),
    "conv5": (43, 35, 32, 28, 12), "pool5": (21, 17, 16, 14, 6), "fc6": (16, 12, 11, 9, 1), "fc7": (16, 12, 11, 9, 1),
    "score_fr": (16, 12, 11, 9, 1), "upscore": (543, 415, 383, 319, 63), "score": (500, 375, 333, 256, 1),
}
HEIGHTS = SHAPES["score"]


def tiny(name, **options):
    return models.build(name, **{"num_classes": 2, "width": 1 / 64, "rng": 0} | options)


def test_sizes_of_all_values():
    net, seen = tiny("fcn-alexnet").eval(), set()
    for h, w in ((0, 4), (1, 2), (2, 3), (3, 4), (4, 1)):
        for value, y in net.walk(np.zeros((1, 3, HEIGHTS[h], HEIGHTS[w]), np.float32)):
            if value in SHAPES:
                assert y.shape[2:] == (SHAPES[value][h], SHAPES[value][w]), value
                seen.add(value)
    assert seen == SHAPES.keys()


@pytest.mark.parametrize(("name", "options", "least"), [
    ("fcn-alexnet", {}, 1), ("fcn-alexnet", {"padding": "same"}, 29), ("fcn-googlenet", {}, 31)])
def test_any_size_comes_back_as_it_was(name, options, least):
    net = tiny(name, **options).eval()
    for h in range(least, least + 66):  # all remainders of 32, twice
        shape = (h, 2 * least + 66 - h)
        assert net.forward(np.zeros((1, 3, *shape), np.float32)).shape == (1, 2, *shape)
    if least > 1:
        with pytest.raises(ValueError, match="expected an input of at least"):
            net.forward(np.zeros((1, 3, least - 1, 50), np.float32))


def test_published_crop_and_upsampling():
    net = tiny("fcn-alexnet")
    assert net["score"].offset == (18, 18)
    assert (net["upscore"].kernel_size, net["upscore"].stride, net["upscore"].bias) == ((63, 63), (32, 32), None)
    assert tiny("fcn-googlenet")["score"].offset == (1, 1)


@pytest.mark.parametrize(("name", "trainable"), [
    ("fcn-alexnet", 56_954_261),
    ("fcn-googlenet", 6_998_552 - 1_025_000 + 21 * 1024 + 21),  # the classifier's, its scores replaced: about 6 million
])
def test_published_numbers_of_parameters(name, trainable):
    with init.shapes_only():
        net = models.build(name)
    assert models.count_parameters(net) == {"trainable": trainable, "frozen": 21 * 21 * 63 * 63}


def test_only_the_scores_of_alexnet_have_caffes_multipliers():
    for node in tiny("fcn-alexnet").nodes:
        if isinstance(node.layer, Conv2d):
            bias = node.layer.bias
            assert (bias.lr_mult, bias.decay_mult) == ((2, 0) if node.name == "score_fr" else (1, 1)), node.name
    convs = [node.layer for node in tiny("fcn-googlenet").nodes if isinstance(node.layer, Conv2d)]
    assert all((conv.bias.lr_mult, conv.bias.decay_mult) == (2, 0) for conv in convs)


@pytest.mark.parametrize("name", ["fcn-alexnet", "fcn-googlenet"])
def test_scores_start_at_zero_and_upsampling_is_frozen(name):
    net = tiny(name)
    assert not net["score_fr"].weight.data.any()
    assert net["upscore"].weight.lr_mult == 0
    taps = 1 - abs(np.arange(63) - 31) / 32
    np.testing.assert_allclose(net["upscore"].weight.data[1, 1], np.outer(taps, taps), atol=1e-7)
    assert not net["upscore"].weight.data[0, 1].any()
    assert net.eval().forward(np.ones((1, 3, 40, 50), np.float32)).any() == np.False_


@pytest.mark.parametrize(("name", "sees"), [("fcn-alexnet", 355), ("fcn-googlenet", 715)])
def test_receptive_field_and_stride(name, sees):
    """715 is the paper's 907 without the average over 7x7 cells of 32 pixels, which FCN-GoogLeNet discards."""
    net = tiny(name)
    field, step = 1, 1
    for node in net.nodes:
        if isinstance(node.layer, (Conv2d, MaxPool2d)) and ("inception" not in node.name or "5x5" in node.name):
            field += (node.layer.kernel_size[0] - 1) * step
            step *= node.layer.stride[0]
    assert (field, step) == (sees, 32)
    assert coordinate_map(net, "score_fr")[0][0] == 1 / 32


@pytest.mark.parametrize(("name", "message"), [
    ("fcn-alexnet", "fcn-alexnet: expected padding 'paper' or 'same', got 'valid'"),
    ("fcn-googlenet", "fcn-googlenet: expected padding 'paper', got 'valid'"),
])
def test_wrong_padding(name, message):
    with pytest.raises(ValueError, match=message):
        tiny(name, padding="valid")
