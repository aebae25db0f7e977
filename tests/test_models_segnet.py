"""SegNet, SegNet-Basic and their Bayesian forms against their papers: sizes, parameters, names, multipliers."""

import numpy as np
import pytest

from minifcn import init, models
from minifcn.layers import BatchNorm2d, Conv2d, Dropout, MaxPool2d, ReLU
from minifcn.shapes import shapes_of

NAMES = ("segnet", "segnet-basic", "bayesian-segnet", "bayesian-segnet-basic")


def shapes_only(name, **options):
    with init.shapes_only():
        return models.build(name, **options)


def tiny(name, **options):
    return models.build(name, **{"num_classes": 2, "width": 1 / 64, "rng": 0} | options)


@pytest.mark.parametrize(("name", "trainable"), [
    ("segnet", 29_449_355), ("bayesian-segnet", 29_449_355), ("segnet-basic", 1_416_587),
    ("bayesian-segnet-basic", 1_416_587)])
def test_published_numbers_of_parameters(name, trainable):
    assert models.count_parameters(shapes_only(name)) == {"trainable": trainable, "frozen": 0}


def test_published_sizes():
    """Of 360x480, the size of CamVid's pictures; the authors typed those of stages 5 and 4 by hand."""
    found = shapes_of(shapes_only("segnet"), (360, 480))
    sizes = {1: (360, 480), 2: (180, 240), 3: (90, 120), 4: (45, 60), 5: (23, 30)}
    for stage, size in sizes.items():
        assert found[f"conv{stage}_2"][2:] == size
        assert found[f"upsample{stage}"][2:] == size
    assert found["pool5"] == (1, 512, 12, 15)
    assert [found[f"conv{stage}_1_D"][1] for stage in (5, 4, 3, 2, 1)] == [512, 256, 128, 64, 11]
    assert found["conv4_2_D"][1] == 512


@pytest.mark.parametrize("name", NAMES)
def test_each_unpooling_has_the_record_of_its_own_pooling(name):
    unpoolings = [node for node in shapes_only(name).nodes if node.name.startswith("upsample")]
    assert len(unpoolings) == (4 if "basic" in name else 5)
    assert all(node.inputs[1] == f"pool{node.name[-1]}.record" for node in unpoolings)


def test_names_in_order():
    names = [node.name for node in shapes_only("segnet").nodes]
    assert names[:7] == ["conv1_1", "conv1_1_bn", "relu1_1", "conv1_2", "conv1_2_bn", "relu1_2", "pool1"]
    assert names[-5:] == ["upsample1", "conv1_2_D", "conv1_2_D_bn", "relu1_2_D", "conv1_1_D"]
    basic = [node.name for node in shapes_only("segnet-basic").nodes]
    assert basic[:5] == ["norm", "conv1", "conv1_bn", "relu1", "pool1"]
    assert basic[-4:] == ["upsample1", "conv_decode1", "conv_decode1_bn", "conv_classifier"]


def test_the_decoder_of_basic_has_no_relu_and_windows_of_seven():
    net = shapes_only("segnet-basic")
    assert sum(isinstance(node.layer, ReLU) for node in net.nodes) == 4
    kernels = [node.layer.kernel_size for node in net.nodes if isinstance(node.layer, Conv2d)]
    assert kernels == [(7, 7)] * 8 + [(1, 1)]


@pytest.mark.parametrize(("name", "behind"), [
    ("bayesian-segnet", ["pool3", "pool4", "pool5", "relu5_1_D", "relu4_1_D", "relu3_1_D"]),
    ("bayesian-segnet-basic", ["pool3", "pool4", "conv_decode4_bn", "conv_decode3_bn"]),
    ("segnet", []), ("segnet-basic", [])])
def test_places_of_dropout(name, behind):
    net = shapes_only(name)
    assert [node.inputs[0] for node in net.nodes if isinstance(node.layer, Dropout)] == behind
    assert all(node.layer.p == 0.5 for node in net.nodes if isinstance(node.layer, Dropout))
    read = {value for node in net.nodes for value in node.inputs}
    assert all(node.name in read for node in net.nodes[:-1])  # nothing goes past a dropout


def test_multipliers():
    for node in tiny("segnet").nodes:
        if isinstance(node.layer, (Conv2d, BatchNorm2d)):
            weight, bias = node.layer.weight, node.layer.bias
            assert (weight.lr_mult, weight.decay_mult) == (1, 1)
            assert (bias.lr_mult, bias.decay_mult) == ((2, 0) if isinstance(node.layer, Conv2d) else (1, 0)), node.name
    basic = [node.layer for node in tiny("segnet-basic").nodes if isinstance(node.layer, BatchNorm2d)]
    assert all((layer.bias.lr_mult, layer.bias.decay_mult) == (1, 1) for layer in basic)


def test_shifts_of_batch_norm():
    assert all(layer.bias.data == pytest.approx(0.001) for layer in tiny("segnet").layers()
               if isinstance(layer, BatchNorm2d))


@pytest.mark.parametrize("name", ["segnet", "segnet-basic"])
def test_any_size_comes_back_as_it_was(name):
    net = tiny(name).eval()
    for h in range(1, 35):
        assert net.forward(np.ones((1, 3, h, 36 - h), np.float32)).shape == (1, 2, h, 36 - h)


def test_unpooled_values_stand_where_the_maxima_stood():
    net = tiny("segnet-basic", width=1 / 16)
    values = dict(net.eval().walk(np.random.default_rng(0).normal(size=(1, 3, 20, 27)).astype(np.float32)))
    before, after = values["relu4"], values["upsample4"]
    assert after.any()
    assert np.array_equal(after[after != 0], before[after != 0])
    assert MaxPool2d(2, ceil_mode=True).forward(after, record=False) == pytest.approx(values["pool4"])


@pytest.mark.parametrize("name", NAMES)
def test_one_value_a_channel_has_no_variance(name):
    size = 8 if "basic" in name else 16
    net = tiny(name)
    with pytest.raises(ValueError, match=r"layer 'conv\w+_bn': batch_norm: expected more than one value per channel .* "
                                         r"Use a larger batch .*; or call eval\(\)"):
        net.forward(np.ones((1, 3, size, size), np.float32))


def test_there_is_no_padding_to_choose():
    with pytest.raises(ValueError, match="build: expected no padding for segnet, which has one form only, got 'same'"):
        models.build("segnet", padding="same")


@pytest.mark.parametrize("name", NAMES)
def test_wrong_width(name):
    with pytest.raises(ValueError, match="expected width above 0, got 0"):
        models.build(name, width=0)
