"""The networks for NYUDv2 and SIFT Flow, against the authors' network files and against fcn32s and fcn8s themselves."""

import numpy as np
import pytest

from minifcn import init, models
from minifcn.coordinates import crop_offset
from minifcn.gradcheck.network import check_network, randomise
from minifcn.layers import Conv2d, Crop
from minifcn.models.fcn_nyud import with_depth
from minifcn.surgery import transplant
from minifcn.testing import tie_free

RGBD, FUSED = "nyud-fcn32s-color-d", "nyud-fcn32s-color-hha"


def tiny(name, **options):
    return models.build(name, **{"width": 1 / 64, "padding": "same", "rng": 0, "dtype": np.float64} | options)


def filled(net, seed=0):
    """Score layers start at zero: random numbers instead, so that there is something to compare."""
    randomise(net, np.random.default_rng(seed))
    return net.eval()


def names(net, *beginnings):
    return [node.name for node in net.nodes if node.name.startswith(beginnings)]


# As published.

@pytest.mark.parametrize(("name", "classes"), [(RGBD, (40,)), (FUSED, (40,)), ("siftflow-fcn32s", (33, 3)),
                                               ("siftflow-fcn16s", (33, 3)), ("siftflow-fcn8s", (33, 3))])
def test_inputs_and_outputs(name, classes):
    model, net = models.MODELS[name], tiny(name, padding="paper").eval()
    assert (len(net.inputs), len(net.outputs)) == (len(model.channels), model.heads)
    ys = net.forward(*(np.zeros((2, channels, 37, 50)) for channels in model.channels))
    assert [y.shape for y in (ys if isinstance(ys, tuple) else (ys,))] == [(2, k, 37, 50) for k in classes]
    assert not any(p.trains for key, p in net.parameters().items() if key.startswith("up"))


def test_names_of_early_fusion():
    net = tiny(RGBD)
    assert names(net, "conv1") == ["conv1_1_bgrd", "conv1_2"]
    assert net["conv1_1_bgrd"].in_channels == 4
    assert [node.name for node in net.nodes][1:] == [node.name for node in tiny("fcn32s").nodes][1:]


def test_names_of_late_fusion():
    net = tiny(FUSED, padding="paper")
    plain = [node.name for node in tiny("fcn32s").nodes if node.name not in ("upscore", "score")]
    expected = [f"{name}{stream}" for stream in ("color", "hha") for name in plain]
    assert [node.name for node in net.nodes] == [*expected, "score_sum", "score_fused", "upscore", "score"]
    assert net.inputs == ("color", "hha")
    assert crop_offset(net, "upscore", "color") == (19, 19) == net["score"].offset


def test_names_of_the_two_heads():
    """As in the authors' siftflow-fcn8s."""
    net = tiny("siftflow-fcn8s", padding="paper")
    for kind in ("sem", "geo"):
        found = [node.name for node in net.nodes if kind in node.name]
        assert found == [f"{name}_{kind}{end}" for name, end in (
            ("score_fr", ""), ("upscore2", ""), ("score_pool4", ""), ("score_pool4", "c"), ("fuse_pool4", ""),
            ("upscore_pool4", ""), ("score_pool3", ""), ("score_pool3", "c"), ("fuse_pool3", ""), ("upscore8", ""),
            ("score", ""))]
        crops = {node.name: node.layer.offset for node in net.nodes if isinstance(node.layer, Crop)}
        assert (crops[f"score_pool4_{kind}c"], crops[f"score_pool3_{kind}c"], crops[f"score_{kind}"]) == (
            (5, 5), (9, 9), (31, 31))
    assert names(tiny("siftflow-fcn32s", padding="paper"), "up") == ["upscore_sem", "upscore_geo"]
    assert names(tiny("siftflow-fcn16s", padding="paper"), "up") == [
        "upscore2_sem", "upscore16_sem", "upscore2_geo", "upscore16_geo"]
    assert net.outputs == ("score_sem", "score_geo")


def test_parameters():
    """Counted from the table of layers: VGG-16's, one or two more times the scores, and the upsampling."""
    trunk, score = 14_714_688 + 102_764_544 + 16_781_312, 4096 + 1
    expected = {
        RGBD: (trunk + 64 * 9 + 40 * score, 40 * 40 * 64 * 64),
        FUSED: (2 * (trunk + 40 * score), 40 * 40 * 64 * 64),
        "siftflow-fcn32s": (trunk + 36 * score, (33**2 + 3**2) * 64 * 64),
        "siftflow-fcn8s": (trunk + 36 * (score + 513 + 257), (33**2 + 3**2) * (16 + 16 + 256)),
    }
    for name, (trainable, frozen) in expected.items():
        with init.shapes_only():
            assert models.count_parameters(models.build(name)) == {"trainable": trainable, "frozen": frozen}


@pytest.mark.parametrize("name", [RGBD, FUSED, "siftflow-fcn8s"])
def test_multipliers_and_first_values(name):
    for node in tiny(name).nodes:
        if isinstance(node.layer, Conv2d):
            assert (node.layer.bias.lr_mult, node.layer.bias.decay_mult) == (2, 0)
            assert node.layer.weight.data.any() != node.name.startswith("score")


# Against the networks that they are made from.

def test_early_fusion_starts_as_colour_with_a_mean_of_filters_for_depth(rng):
    """Where depth is zero the scores are the colour network's; a grey image as depth adds what a grey image would."""
    color, net = filled(tiny("fcn32s", num_classes=40)), tiny(RGBD).eval()
    transplant(with_depth(color.state()), net)
    x = rng.standard_normal((1, 3, 40, 33))
    no_depth = np.concatenate([x, np.zeros((1, 1, 40, 33))], axis=1)
    np.testing.assert_allclose(net.forward(no_depth), color.forward(x), rtol=1e-9)
    depth = rng.standard_normal((1, 1, 40, 33))
    both = net.forward(np.concatenate([x, depth], axis=1))
    np.testing.assert_allclose(both, color.forward(x + depth / 3), rtol=1e-9)


def test_late_fusion_averages_two_trained_networks(rng):
    color, hha = (filled(tiny("fcn32s", num_classes=40), seed) for seed in (1, 2))
    net = tiny(FUSED).eval()
    for source, suffix in ((color, "color"), (hha, "hha")):
        transplant(source, net, suffix=suffix, skip=["upscore"])
    xs = [rng.standard_normal((1, 3, 40, 33)) for _ in range(2)]
    expected = (color.forward(xs[0]) + hha.forward(xs[1])) / 2
    np.testing.assert_allclose(net.forward(*xs), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("stage", ["32s", "16s", "8s"])
def test_each_head_is_an_fcn_of_its_own(stage, rng):
    net, x = filled(tiny(f"siftflow-fcn{stage}", num_classes=5)), rng.standard_normal((1, 3, 40, 33))
    for suffix, y in zip(("_sem", "_geo"), net.forward(x), strict=True):
        alone = tiny(f"fcn{stage}", num_classes=y.shape[1]).eval()
        alone.load({name: next(array for key, array in net.state().items()
                               if key in (name, name.replace(".", f"{suffix}.")))
                    for name in alone.state()})
        np.testing.assert_allclose(alone.forward(x), y, rtol=1e-12)


@pytest.mark.parametrize("name", [RGBD, FUSED, "siftflow-fcn8s"])
def test_gradients(name):
    net = tiny(name, num_classes=2)
    randomise(net, np.random.default_rng(1))
    xs = [tie_free((1, channels, 33, 40), rng=index) for index, channels in enumerate(models.MODELS[name].channels)]
    check_network(net, *xs, samples=1).raise_if_failed()


def test_every_network_is_for_the_commands_except_classifiers():
    assert models.names_of("RGB-D segmentation") == [RGBD, FUSED]
    assert models.names_of("double segmentation") == [f"siftflow-fcn{stage}" for stage in ("32s", "16s", "8s")]
    assert not set(models.names_of("segmentation")) & {RGBD, FUSED, "siftflow-fcn8s"}
    for name in (RGBD, FUSED, "siftflow-fcn8s"):
        models.check_segments("train", name)
