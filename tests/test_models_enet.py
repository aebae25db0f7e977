"""ENet against its paper: sizes, parameters, the layers of each kind of bottleneck, and the sizes that it refuses."""

import re

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn import cli, init, models
from minifcn.explain.sizes import legal_sizes
from minifcn.layers import BatchNorm2d, Conv2d, ConvTranspose2d, PReLU, ReLU, SpatialDropout
from minifcn.learner import Learner
from minifcn.preparation import loss_weights
from minifcn.progress import Progress
from minifcn.published import load_published
from minifcn.settings import Settings
from minifcn.shapes import complaint, shapes_of

BOTH = ("enet", "enet-encoder")

# Output of each block for an image of 512x512, from table 1 of the paper.
OUTPUTS = {
    "initial": (16, 256), "bottleneck1_0": (64, 128), "bottleneck1_4": (64, 128), "bottleneck2_0": (128, 64),
    "bottleneck2_8": (128, 64), "bottleneck3_8": (128, 64), "bottleneck4_0": (64, 128), "bottleneck4_2": (64, 128),
    "bottleneck5_0": (16, 256), "bottleneck5_1": (16, 256), "fullconv": (20, 512),
}

# Parameters of a block, convolutions first, then twice the channels for each batch norm, then PReLU's slopes.
REGULAR_64 = 64 * 16 + 16 * 16 * 9 + 16 + 16 * 64 + 2 * (16 + 16 + 64) + 16 + 16 + 64
REGULAR_128 = 128 * 32 + 32 * 32 * 9 + 32 + 32 * 128 + 2 * (32 + 32 + 128) + 32 + 32 + 128
ASYMMETRIC = REGULAR_128 - 32 * 32 * 9 + 2 * 32 * 32 * 5
PARAMETERS = {
    "initial": 3 * 13 * 9 + 13 + 2 * 16 + 16,
    "bottleneck1_0": REGULAR_64 - 64 * 16 + 16 * 16 * 4, "bottleneck1_1": REGULAR_64, "bottleneck1_4": REGULAR_64,
    "bottleneck2_0": REGULAR_128 - 128 * 32 + 64 * 32 * 4,
    **{f"bottleneck{stage}_{index}": ASYMMETRIC if index in (3, 7) else REGULAR_128
       for stage in (2, 3) for index in range(1, 9)},
    "bottleneck4_0": 128 * 16 + 16 * 16 * 9 + 16 + 16 * 64 + 128 * 64 + 2 * (16 + 16 + 64 + 64),
    "bottleneck4_1": REGULAR_64 - 16 - 16 - 64,
    "bottleneck5_0": 64 * 4 + 4 * 4 * 9 + 4 + 4 * 16 + 64 * 16 + 2 * (4 + 4 + 16 + 16),
    "bottleneck5_1": 16 * 4 + 4 * 4 * 9 + 4 + 4 * 16 + 2 * (4 + 4 + 16),
    "fullconv": 16 * 20 * 4 + 20,
}


def tiny(name="enet", **options):
    return models.build(name, **{"num_classes": 3, "width": 1 / 16, "rng": 0} | options)


def full(name="enet"):
    with init.shapes_only():
        return models.build(name)


def inside(net, block):
    """The nodes of a block, without its name; its last one is called ""."""
    return {node.name.removeprefix(block).removeprefix("/"): node for node in net.nodes
            if node.name == block or node.name.startswith(f"{block}/")}


# As published.

def test_sizes_of_the_blocks():
    shapes = shapes_of(full(), (512, 512))
    for name, (channels, side) in OUTPUTS.items():
        assert shapes[name] == (1, channels, side, side), name
    assert shapes["initial/conv"] == (1, 13, 256, 256)
    assert shapes_of(full("enet-encoder"), (360, 480))["score"] == (1, 20, 45, 60)  # as the authors say for CamVid


def test_published_numbers_of_parameters():
    assert models.count_parameters(full()) == {"trainable": 364_376, "frozen": 0}
    assert models.count_parameters(full("enet-encoder")) == {"trainable": 338_156 + 128 * 20 + 20, "frozen": 0}
    sizes = {name: p.data.size for name, p in full().parameters().items()}
    for block, count in PARAMETERS.items():
        assert sum(n for name, n in sizes.items() if re.match(rf"{block}[/.]", name)) == count, block


def test_order_of_the_blocks():
    blocks = dict.fromkeys(node.name.split("/")[0] for node in full().nodes)
    stages = {1: range(5), 2: range(9), 3: range(1, 9), 4: range(3), 5: range(2)}
    bottlenecks = [f"bottleneck{stage}_{index}" for stage, indices in stages.items() for index in indices]
    assert list(blocks) == ["gate", "initial", *bottlenecks, "fullconv"]


@pytest.mark.parametrize("name", BOTH)
def test_dilations_and_asymmetric_convolutions(name):
    net = full(name)
    for stage in (2, 3):
        dilations = [inside(net, f"bottleneck{stage}_{index}").get("conv") for index in range(1, 9)]
        assert [node and node.layer.dilation[0] for node in dilations] == [1, 2, None, 4, 1, 8, None, 16]
        assert all(node is None or node.layer.padding == (node.layer.dilation[0],) * 4 for node in dilations)


def test_layers_of_an_asymmetric_bottleneck():
    """Width first, without a bias and without anything before the other."""
    nodes = inside(full(), "bottleneck2_3")
    assert list(nodes) == ["reduce", "reduce_bn", "reduce_prelu", "conv1x5", "conv5x1", "conv5x1_bn", "conv5x1_prelu",
                           "expand", "expand_bn", "drop", "sum", ""]
    row, column = nodes["conv1x5"], nodes["conv5x1"]
    assert (row.layer.kernel_size, row.layer.padding, row.layer.bias) == ((1, 5), (0, 0, 2, 2), None)
    assert (column.layer.kernel_size, column.layer.padding) == ((5, 1), (2, 2, 0, 0))
    assert column.layer.bias is not None
    assert column.inputs == ("bottleneck2_3/conv1x5",)
    assert nodes["sum"].inputs == ("bottleneck2_3/drop", "bottleneck2_2")


def test_layers_of_a_downsampling_bottleneck():
    nodes = inside(full(), "bottleneck2_0")
    assert list(nodes) == ["reduce", "reduce_bn", "reduce_prelu", "conv", "conv_bn", "conv_prelu", "expand",
                           "expand_bn", "drop", "pool", "pad", "sum", ""]
    reduce = nodes["reduce"].layer
    assert (reduce.kernel_size, reduce.stride, reduce.padding) == ((2, 2), (2, 2), (0, 0, 0, 0))
    assert nodes["pool"].inputs == nodes["reduce"].inputs == ("bottleneck1_4",)
    assert nodes["sum"].inputs == ("bottleneck2_0/drop", "bottleneck2_0/pad")


@pytest.mark.parametrize(("block", "below", "pooling"), [
    ("bottleneck4_0", "bottleneck3_8", "bottleneck2_0"), ("bottleneck5_0", "bottleneck4_2", "bottleneck1_0")])
def test_layers_of_an_upsampling_bottleneck(block, below, pooling):
    """Whose places are used is what makes the way up ENet's."""
    nodes = inside(full(), block)
    assert list(nodes) == ["reduce", "reduce_bn", "reduce_relu", "conv", "conv_bn", "conv_relu", "expand", "expand_bn",
                           "skip", "skip_bn", "unpool", "sum", ""]
    conv = nodes["conv"].layer
    assert isinstance(conv, ConvTranspose2d)
    assert (conv.kernel_size, conv.stride, conv.padding, conv.output_padding) == ((3, 3), (2, 2), (1, 1, 1, 1), 1)
    assert nodes["reduce"].inputs == nodes["skip"].inputs == (below,)
    assert nodes["unpool"].inputs == (f"{block}/skip_bn", f"{pooling}/pool.record")
    assert nodes["sum"].inputs == (f"{block}/expand_bn", f"{block}/unpool")


def test_which_convolutions_have_a_bias():
    for node in full().nodes:
        if isinstance(node.layer, (Conv2d, ConvTranspose2d)):
            with_bias = node.name in ("initial/conv", "fullconv") or node.name.endswith(("/conv", "/conv5x1"))
            assert (node.layer.bias is not None) == with_bias, node.name


def test_prelu_on_the_way_down_and_relu_on_the_way_up():
    for node in tiny().nodes:
        assert not isinstance(node.layer, ReLU) or node.name.startswith(("bottleneck4", "bottleneck5")), node.name
        if isinstance(node.layer, PReLU):
            assert node.name.startswith(("initial", "bottleneck1", "bottleneck2", "bottleneck3"))
            assert (node.layer.weight.data == 0.25).all()
        assert not isinstance(node.layer, BatchNorm2d) or (node.layer.eps, node.layer.momentum) == (1e-3, 0.1)


def test_dropout():
    drops = {node.name.removesuffix("/drop"): node.layer.p for node in full().nodes
             if isinstance(node.layer, SpatialDropout)}
    late = [f"bottleneck{stage}_{index}" for stage, first in ((2, 0), (3, 1)) for index in range(first, 9)]
    assert drops == dict.fromkeys((f"bottleneck1_{index}" for index in range(5)), 0.01) | dict.fromkeys(late, 0.1)
    masks = [node.layer.forward(np.ones((1, 40, 1, 1))) for node in tiny().nodes
             if isinstance(node.layer, SpatialDropout) and node.layer.p == 0.1]
    assert (np.ptp(masks, axis=0) > 0).any(), "each layer draws masks of its own"


# What runs.

@pytest.mark.parametrize("name", BOTH)
def test_forward_and_backward(name, rng):
    """Every number that trains gets a gradient; a bias before batch norm gets none but rounding."""
    net, x = tiny(name, dtype=np.float64), rng.standard_normal((2, 3, 32, 40))
    y = net.forward(x, record=True)
    assert y.shape == ((2, 3, 32, 40) if name == "enet" else (2, 3, 4, 5))
    assert net.backward(rng.standard_normal(y.shape)).shape == x.shape
    for key, parameter in net.parameters().items():
        idle = key.endswith(("/conv.bias", "/conv5x1.bias"))
        assert (abs(parameter.grad).max() < 1e-9) == idle, key


def test_appended_channels_and_unpooled_places(rng):
    net, x = tiny().eval(), rng.standard_normal((1, 3, 32, 40)).astype(np.float32)
    values = dict(net.walk(x))
    for block, count in (("bottleneck1_0", 4), ("bottleneck2_0", 8)):
        pooled, padded = values[f"{block}/pool"], values[f"{block}/pad"]
        np.testing.assert_array_equal(padded[:, : pooled.shape[1]], pooled)
        assert padded.shape[1] == count
        assert not padded[:, pooled.shape[1] :].any()
    for block, pooling, below in (("bottleneck4_0", "bottleneck2_0", "bottleneck1_4"),
                                  ("bottleneck5_0", "bottleneck1_0", "initial")):
        pooled, skip = values[f"{pooling}/pool"], values[f"{block}/skip_bn"]
        places = values[f"{pooling}/pool.record"].indices.reshape(1, 4, -1)
        for whole, small in ((values[below], pooled), (values[f"{block}/unpool"], skip)):
            assert whole.shape[2:] == (2 * small.shape[2], 2 * small.shape[3])
            found = np.take_along_axis(whole.reshape(1, 4, -1), places, axis=2)
            np.testing.assert_array_equal(found.reshape(small.shape), small)
        assert np.count_nonzero(values[f"{block}/unpool"]) == np.count_nonzero(skip) > 0


# Sizes.

def test_other_sizes_would_not_fit_inside():
    """Without the check an odd map meets its half rounded the other way; the encoder would only lose rows."""
    net, encoder = full(), full("enet-encoder")
    for each in (net, encoder):
        assert all((complaint(each, (h, 64)) is None) == (h % 8 == 0) for h in range(1, 40))
        assert all((complaint(each, (64, w)) is None) == (w % 8 == 0) for w in range(1, 40))
    for each in (net, encoder):
        gate = each["gate"]
        assert (gate.least, gate.step) == (8, 8)
        gate.least = gate.step = 1
    assert all((complaint(net, (h, 64)) is None) == (h % 8 == 0) for h in range(1, 40))
    assert shapes_of(encoder, (12, 64))["score"] == (1, 20, 1, 8)


@pytest.mark.parametrize("name", BOTH)
def test_what_is_said_of_sizes(name, capsys):
    net = full(name)
    assert [axis.told() for axis in legal_sizes(net)] == ["multiples of 8"] * 2
    with pytest.raises(ValueError, match=r"^layer 'gate': LegalSize: expected an image with rows and columns among 8, "
                                         r"16, 24 and so on, got 33x44\. Resize or crop it to 32x48, the nearest"):
        tiny(name).forward(np.zeros((1, 3, 33, 44), np.float32))
    assert cli.main(["explain", "size", name, "--size", "500x512"]) == 1
    text = capsys.readouterr().out
    assert f"{name} takes images with rows and columns: multiples of 8\n500x512 is not legal. layer 'gate': " in text
    assert "nearest legal size: 504x512, 4 rows more; out come" in text
    assert cli.main(["inspect", name, "--size", "500x500"]) == 2
    assert re.search(r"inspect: expected an image that this network takes .rows: multiples of 8; .* got 500x500, .* "
                     r"nearest size that fits is 504x504", capsys.readouterr().err)


def test_inspect_takes_the_papers_size(capsys):
    assert cli.main(["inspect", "enet"]) == 0
    text = capsys.readouterr().out
    assert "364,376 trainable + 0 frozen parameters" in text
    assert "One image of 512x512" in text


def test_predict_says_which_size(tmp_path, capsys):
    minifcn.save(tmp_path / "net.safetensors", tiny())
    Image.fromarray(np.zeros((30, 44, 3), np.uint8)).save(tmp_path / "picture.png")
    predict = ["predict", str(tmp_path / "net.safetensors"), str(tmp_path / "picture.png"), "--out", str(tmp_path)]
    assert cli.main(predict) == 2
    assert re.match(r"minifcn: error: predict: expected an image that this network takes .rows: multiples of 8; .* got "
                    r"30x44, .* nearest size that fits is 32x48", capsys.readouterr().err)


@pytest.mark.parametrize(("given", "message"), [
    ({"size": (36, 48)}, r"rows: multiples of 8; .* got 36x48, .* is 40x48\. Set it with --size or --crop, or"),
    ({"crop": (24, 36)}, r"got 24x36, .* is 24x40\. Set it with --size or --crop, or add --pad"),
])
def test_train_says_it_before_it_begins(scenes, given, message):
    settings = Settings(model="enet", data=f"folder:{scenes}", iterations=1, width=1 / 16, batch_size=2, **given)
    with pytest.raises(ValueError, match=f"^train: expected an image that this network takes .*{message}"):
        Learner(settings, Progress())


def test_the_validation_images_must_fit_too(scenes, tmp_path):
    for file in sorted(scenes.rglob("*.png")):
        target = tmp_path / file.relative_to(scenes)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as picture:
            picture.crop((0, 0, 44, 32)).save(target)
    settings = Settings(model="enet", data=f"folder:{tmp_path}", iterations=1, width=1 / 16, crop=(24, 32))
    with pytest.raises(ValueError, match=r"^train: expected .* got 32x44, .* is 32x48\. Set it with --size"):
        Learner(settings, Progress())


# From the encoder to the whole.

def test_a_trained_encoder_starts_the_whole_network(scenes, tmp_path):
    encoder = tiny("enet-encoder", num_classes=5, rng=7)
    minifcn.save(tmp_path / "encoder.safetensors", encoder, mean=[1, 2, 3], scale=[0.1, 0.2, 0.3])
    settings = Settings(model="enet", data=f"folder:{scenes}", iterations=1, width=1 / 16,
                        weights=str(tmp_path / "encoder.safetensors"))
    learner = Learner(settings, Progress())
    given, fresh = encoder.state(), models.build("enet", num_classes=3, width=1 / 16, rng=settings.seed).state()
    for name, array in learner.net.state().items():
        np.testing.assert_array_equal(array, given[name] if name in given else fresh[name], err_msg=name)
    assert set(given) - set(fresh) == {"score.weight", "score.bias"}
    assert learner.preprocessing.mean == (1, 2, 3)


def test_a_whole_network_must_be_whole(tmp_path):
    """What the encoder lacks may be missing altogether, but not in parts."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "net.safetensors"
    minifcn.save(path, tiny())
    with safe_open(path, framework="numpy") as file:
        header, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file({n: a for n, a in arrays.items() if not n.startswith("bottleneck5_1/conv.")}, path, header)
    with pytest.raises(ValueError, match=r"expected the layers bottleneck5_1/conv \(1, 1, 3, 3\) in .*net.safetensors"):
        load_published(tiny(), path)
    save_file({n: a for n, a in arrays.items() if re.match("initial|bottleneck1", n)}, path, header)
    with pytest.raises(ValueError, match="expected the layers bottleneck2_0/reduce "):
        load_published(tiny(), path)


def test_class_weights_of_both_stages():
    street = minifcn.data.Street("train", size=(32, 32), length=3)
    share = np.bincount(np.concatenate([sample.label.ravel() for sample in street]), minlength=256)[:255]
    share = share[: len(street.classes)] / share.sum()
    for kind, c in (("enet", 1.02), ("enet-encoder", 1.2)):
        np.testing.assert_allclose(loss_weights(kind, street), np.where(share > 0, 1 / np.log(c + share), 0))


# Options.

def test_width_scales_every_layer_but_the_scores():
    def channels(width):
        with init.shapes_only():
            net = models.build("enet", num_classes=5, width=width)
        assert net["fullconv"].out_channels == 5
        assert net["initial/conv"].out_channels == net["bottleneck5_1/expand"].out_channels - 3
        return [net[name].out_channels for name in ("bottleneck5_1/expand", "bottleneck1_0/expand",
                                                    "bottleneck2_0/expand", "bottleneck2_0/conv")]

    assert channels(1) == [16, 64, 128, 32]
    assert channels(0.5) == [9, 32, 64, 16]
    assert channels(1e-9) == [4, 4, 4, 1]
    for width in np.linspace(0.05, 0.3, 11):  # a map that came in never has more channels than the one it is added to
        half, quarter, eighth, few = channels(width)
        assert half <= quarter <= eighth == 4 * few


def test_architecture_rng_and_dtype():
    net = tiny(dtype=np.float64)
    assert net.architecture == {"model": "enet", "num_classes": 3, "width": 1 / 16}
    assert {array.dtype for array in net.state().values()} == {np.dtype(np.float64)}
    assert net.training
    weights = [tiny(rng=seed)["bottleneck3_8/conv"].weight.data for seed in (1, 1, 2)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


@pytest.mark.parametrize("name", BOTH)
def test_wrong_options(name):
    with pytest.raises(ValueError, match=f"^{name}: expected width above 0, got 0. 1.0 is the paper's"):
        tiny(name, width=0)
    with pytest.raises(ValueError, match=f"build: expected no padding for {name}, which has one form only, got 'same'"):
        tiny(name, padding="same")
