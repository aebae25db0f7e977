"""The FCN family against its paper: sizes, parameters, multipliers, and a gradient check of a whole network."""

import numpy as np
import pytest

from minifcn import init, models
from minifcn.layers import Conv2d, ConvTranspose2d, Crop, Scale

FAMILY = ("fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce")
MARGINS = {"fcn32s": 19, "fcn16s": 27, "fcn8s": 31}  # rows cut off at the top, as published

# Height of each value for inputs of 500, 375, 333, 256 and 1 rows.
SHAPES = {
    "conv1_1": (698, 573, 531, 454, 199), "conv1_2": (698, 573, 531, 454, 199), "pool1": (349, 287, 266, 227, 100),
    "pool2": (175, 144, 133, 114, 50), "pool3": (88, 72, 67, 57, 25), "pool4": (44, 36, 34, 29, 13),
    "pool5": (22, 18, 17, 15, 7), "fc6": (16, 12, 11, 9, 1), "fc7": (16, 12, 11, 9, 1), "score_fr": (16, 12, 11, 9, 1),
    "upscore": (544, 416, 384, 320, 64), "upscore2": (34, 26, 24, 20, 4), "upscore16": (560, 432, 400, 336, 80),
    "score_pool4": (44, 36, 34, 29, 13), "score_pool4c": (34, 26, 24, 20, 4), "upscore_pool4": (70, 54, 50, 42, 10),
    "score_pool3": (88, 72, 67, 57, 25), "score_pool3c": (70, 54, 50, 42, 10), "upscore8": (568, 440, 408, 344, 88),
    "score": (500, 375, 333, 256, 1),
}
HEIGHTS = SHAPES["score"]


def tiny(name="fcn8s", padding="paper", **options):
    return models.build(name, **{"num_classes": 2, "width": 1 / 64, "padding": padding, "rng": 0} | options)


@pytest.mark.parametrize("name", FAMILY)
def test_sizes_of_all_values(name):
    """Each height paired with another width: the two axes go their own ways."""
    net, seen = tiny(name).eval(), set()
    for h, w in ((0, 4), (1, 2), (2, 3), (3, 4), (4, 1)):
        for value, y in net.walk(np.zeros((1, 3, HEIGHTS[h], HEIGHTS[w]), np.float32)):
            if value in SHAPES:
                assert y.shape[2:] == (SHAPES[value][h], SHAPES[value][w]), value
                seen.add(value)
    ups = {"fcn32s": {"upscore"}, "fcn16s": {"upscore2", "upscore16"}}.get(
        name, {"upscore2", "upscore_pool4", "upscore8"})
    assert seen >= ups | {"conv1_1", "pool5", "fc6", "fc7", "score_fr", "score"}


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("name", FAMILY)
def test_any_size_comes_back_as_it_was(name, padding):
    net = tiny(name, padding).eval()
    for h in range(1, 41):
        x = np.zeros((1, 3, h, 41 - h), np.float32)
        assert net.forward(x).shape == (1, 2, h, 41 - h)


@pytest.mark.parametrize(("name", "least", "most"), [("fcn32s", 19, 50), ("fcn16s", 27, 58), ("fcn8s", 31, 62)])
def test_the_last_crop_has_enough_to_cut(name, least, most):
    """Rows beyond the crop's offset, at every residue of 32."""
    net, before = tiny(name).eval(), {"fcn32s": "upscore", "fcn16s": "upscore16", "fcn8s": "upscore8"}[name]
    slack = [dict(net.walk(np.zeros((1, 3, h, 1), np.float32)))[before].shape[2] - h - MARGINS[name]
             for h in range(1, 33)]
    assert (min(slack), max(slack)) == (least, most)


# Parameters.

@pytest.mark.parametrize(("name", "trainable", "frozen"), [
    ("fcn32s", 134_346_581, 1_806_336),
    ("fcn16s", 134_346_581 + 10_773, 21 * 21 * (4 * 4 + 32 * 32)),
    ("fcn8s", 134_362_751, 127_008),
    ("fcn8s-atonce", 134_362_751, 127_008),
])
def test_published_numbers_of_parameters(name, trainable, frozen):
    with init.shapes_only():
        net = models.build(name)
    assert models.count_parameters(net) == {"trainable": trainable, "frozen": frozen}
    sizes = {key: p.data.size for key, p in net.parameters().items()}
    parts = {"conv": 14_714_688, "fc6": 102_764_544, "fc7": 16_781_312, "score_fr": 86_037}
    for part, count in parts.items():
        assert sum(size for key, size in sizes.items() if key.startswith(part)) == count, part


def test_shapes_only_takes_no_memory():
    with init.shapes_only():
        weight = models.build("fcn32s")["fc6"].weight.data
    assert weight.shape == (4096, 512, 7, 7)
    assert weight.strides == (0, 0, 0, 0)


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("name", FAMILY)
def test_multipliers_and_first_values(name, padding):
    net = tiny(name, padding)
    for node in net.nodes:
        if isinstance(node.layer, Conv2d):
            weight, bias = node.layer.weight, node.layer.bias
            assert (weight.lr_mult, weight.decay_mult, bias.lr_mult, bias.decay_mult) == (1, 1, 2, 0)
            assert not bias.data.any()
            assert weight.data.any() != node.name.startswith("score")  # scores start at zero
        elif isinstance(node.layer, ConvTranspose2d):
            assert node.layer.bias is None
            assert node.layer.weight.lr_mult == 0
            assert_bilinear(node.layer.weight.data)
    assert net.training


def assert_bilinear(weight):
    """FCN's surgery.py, element by element: each channel to itself only."""
    channels, _, k, _ = weight.shape
    factor = (k + 1) // 2
    centre = factor - 1 if k % 2 else factor - 0.5
    for a, b, i, j in np.ndindex(weight.shape):
        expected = (1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor) if a == b else 0
        assert weight[a, b, i, j] == pytest.approx(expected, abs=1e-7)
    assert channels == 2


def test_scaled_skips_of_the_at_once_variant():
    net = tiny("fcn8s-atonce")
    scales = {node.name: (node.layer.factor, node.inputs) for node in net.nodes if isinstance(node.layer, Scale)}
    assert scales == {"scale_pool4": (0.01, ("pool4",)), "scale_pool3": (0.0001, ("pool3",))}
    readers = {node.name: node.inputs for node in net.nodes}
    assert readers["score_pool4"] == ("scale_pool4",)
    assert readers["score_pool3"] == ("scale_pool3",)


def test_order_and_names_of_the_layers():
    names = [node.name for node in tiny().nodes if not node.name.startswith("relu")]
    assert " ".join(names) == (
        "conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 conv3_3 pool3 conv4_1 conv4_2 conv4_3 pool4 "
        "conv5_1 conv5_2 conv5_3 pool5 fc6 drop6 fc7 drop7 score_fr upscore2 score_pool4 score_pool4c fuse_pool4 "
        "upscore_pool4 score_pool3 score_pool3c fuse_pool3 upscore8 score")


# Options.

def test_width_scales_every_layer_but_the_scores():
    half = models.build("fcn8s", num_classes=5, width=1 / 8, padding="same", rng=0)
    channels = {node.name: node.layer.out_channels for node in half.nodes if isinstance(node.layer, Conv2d)}
    assert [channels[name] for name in ("conv1_1", "conv2_2", "conv3_3", "conv5_3", "fc6", "fc7")] == [
        8, 16, 32, 64, 512, 512]
    assert {channels[name] for name in channels if name.startswith("score")} == {5}
    assert tiny(width=1e-9)["fc7"].out_channels == 1


def test_rng_and_dtype():
    def weights(**options):
        return tiny(**options).state()

    one, same, other = weights(rng=4), weights(rng=np.random.default_rng(4)), weights(rng=5)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["fc6.weight"], other["fc6.weight"])
    assert {array.dtype for array in weights(dtype=np.float64).values()} == {np.dtype(np.float64)}


def test_architecture_is_kept():
    net = tiny("fcn16s", "same", num_classes=4, dtype=np.float64)
    assert net.architecture == {"model": "fcn16s", "num_classes": 4, "width": 1 / 64, "padding": "same"}


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"name": "fcn9s"}, ValueError, "build: expected one of fcn32s, fcn16s, .* got 'fcn9s'. See `minifcn models`"),
    ({"padding": "valid"}, ValueError, "fcn: expected padding 'paper' or 'same', got 'valid'. Choose one"),
    ({"width": 0}, ValueError, "fcn: expected width above 0, got 0. 1.0 is the paper's"),
    ({"width": float("nan")}, ValueError, "fcn: expected width above 0, got nan"),
    ({"depth": 3}, TypeError, "depth"),
])
def test_wrong_options(options, kind, message):
    with pytest.raises(kind, match=message):
        tiny(**options)


# The gradients of a whole network.

@pytest.mark.parametrize(("padding", "size"), [("same", (2, 3, 35, 41)), ("paper", (1, 3, 9, 14))])
def test_gradients_by_samples(padding, size, rng):
    """At the element with the largest gradient of each tensor and at a random one; no weight or bias is zero."""
    net = tiny(padding=padding, width=1 / 128, dtype=np.float64).eval()
    for name, p in net.parameters().items():
        fan_in = p.data[0].size if p.data.ndim > 1 else 16
        if p.trains:
            p.data[...] = rng.normal(0, np.sqrt(2 / fan_in), p.data.shape) + (0.3 if name.endswith("bias") else 0)
    x = rng.normal(size=size)
    y = net.forward(x, record=True)
    gy = rng.normal(size=y.shape)
    gx = net.backward(gy)
    checked = [(x, gx, "x"), *((p.data, p.grad, name) for name, p in net.parameters().items() if p.trains)]
    for array, gradient, name in checked:
        largest = np.unravel_index(abs(gradient).argmax(), gradient.shape)
        assert abs(gradient[largest]) > 0.01, name
        for place in (largest, tuple(rng.integers(array.shape))):
            assert gradient[place] == pytest.approx(slope(net, x, gy, array, place), rel=1e-6, abs=1e-6), (name, place)
    assert all(p.grad is None for p in net.parameters().values() if not p.trains)


def slope(net, x, gy, array, place, step=1e-6):
    """The derivative of sum(gy * net(x)) along one number, by a central difference."""
    kept, values = array[place], []
    for change in (step, -step):
        array[place] = kept + change
        values.append(np.sum(gy * net.forward(x, record=False)))
    array[place] = kept
    return (values[0] - values[1]) / (2 * step)


def test_crops_read_what_they_are_cropped_to():
    crops = {node.name: node.inputs for node in tiny().nodes if isinstance(node.layer, Crop)}
    assert crops == {"score_pool4c": ("score_pool4", "upscore2"), "score_pool3c": ("score_pool3", "upscore_pool4"),
                     "score": ("upscore8", "data")}


def test_same_padding_only_where_there_is_a_choice(monkeypatch):
    assert models.same_padding("fcn8s") == {"padding": "same"}
    fixed = models.Model(models.MODELS["fcn8s"].make, "no choice", "nowhere")
    monkeypatch.setitem(models.MODELS, "fixed", fixed)
    assert models.same_padding("fixed") == {}
    assert models.same_padding("no such model") == {}  # `build` is the one to complain
