"""Tiles put together are the whole, against SciPy's mirrored filters and against one large forward pass."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate

import minifcn
from minifcn import Graph, cli, models, training
from minifcn.data import read_label
from minifcn.layers import Conv2d, ConvTranspose2d, Crop, MaxPool2d, ReLU, ResizeBilinear
from minifcn.overlap_tile import Tiling, margin_of, scores_by_tiles, tiling_for
from minifcn.prediction import Predictor


def chain(*layers, inputs="data"):
    g = Graph(inputs)
    value = g.inputs[0]
    for number, layer in enumerate(layers):
        value = g.add(f"n{number}", layer, value)
    return g.eval()


def unet(padding="paper", **options):
    return models.build("unet", **{"num_classes": 3, "width": 1 / 32, "padding": padding, "rng": 1} | options).eval()


def by_tiles(net, *xs, tile=None):
    margin = margin_of(net)
    assert margin is not None
    tiling = tiling_for(net, margin, xs[0].shape[2:], tile)
    return scores_by_tiles(lambda *seen: net.forward(*seen, record=False), xs, tiling)


# The margin.

@pytest.mark.parametrize(("net", "margin"), [
    (unet(), ((92, 92), (16, 16))), (unet("same"), None), (models.build("fcn8s", width=1 / 64), None),
    (chain(Conv2d(3, 2, (3, 7)), Conv2d(2, 2, (5, 1))), ((3, 3), (1, 1))),
    (chain(Conv2d(3, 2, (1, 5))), ((0, 2), (1, 1))),
    (chain(MaxPool2d((2, 3)), ConvTranspose2d(3, 2, (2, 3), (2, 3)), Crop((2, 3), (4, 4))), ((2, 3), (2, 3))),
    (chain(Conv2d(3, 2, 2)), None), (chain(Conv2d(3, 2, 3, padding=2)), None), (chain(MaxPool2d(2)), None),
    (chain(Conv2d(3, 2, 3), ResizeBilinear((8, 9))), None), (Graph(), None),
])
def test_margins(net, margin):
    """None where there is a score for each pixel, or where scores are coarser, between pixels, or more than pixels."""
    assert margin_of(net) == margin


# Put together.

@pytest.mark.parametrize("image", [(1, 1), (1, 6), (2, 3), (7, 5), (12, 16)])
@pytest.mark.parametrize("tile", [(3, 5), (5, 6), (4, 13), (30, 30), None])
def test_a_filter_is_scipys_with_mirrored_borders(image, tile, rng):
    """SciPy's "mirror" runs to and fro too, so an image may be smaller than the margin."""
    net = chain(Conv2d(1, 1, (3, 5), bias=False, rng=2, dtype=np.float64))
    x = rng.standard_normal((2, 1, *image))
    expected = [correlate(plane, net["n0"].weight.data[0, 0], mode="mirror") for plane in x[:, 0]]
    np.testing.assert_allclose(by_tiles(net, x, tile=tile)[:, 0], expected, atol=1e-13)


def test_a_margin_that_is_larger_above(rng):
    """Three rows are lost above and one below; what is lost in all follows from the shapes."""
    net = chain(Conv2d(1, 2, 1, rng=1, dtype=np.float64))
    net.add("smaller", Conv2d(1, 1, (5, 3), dtype=np.float64), "data")
    net.add("cut", Crop((3, 1)), "n0", "smaller")
    assert margin_of(net) == ((3, 1), (1, 1))
    x = rng.standard_normal((1, 1, 9, 8))
    pixel_by_pixel = net["n0"].forward(x, record=False)
    for tile in ((5, 3), (7, 8), None):
        np.testing.assert_allclose(by_tiles(net, x, tile=tile), pixel_by_pixel, atol=1e-14)


def test_several_inputs(rng):
    net = Graph(("one", "other"))
    for name in net.inputs:
        net.add(f"{name}_conv", Conv2d(1, 2, 3, rng=len(name), dtype=np.float64), name)
    net.add("relu", ReLU(), "one_conv")
    net.add("sum", minifcn.layers.Add(), "relu", "other_conv")
    net.eval()
    xs = [rng.standard_normal((1, 1, 6, 7)) for _ in range(2)]
    whole = net.forward(*(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect") for x in xs))
    np.testing.assert_allclose(by_tiles(net, *xs, tile=(4, 5)), whole, atol=1e-14)


@pytest.mark.parametrize(("image", "tile"), [((50, 71), (204, 220)), ((3, 33), (188, 204)), ((100, 20), None)])
def test_a_unet_by_tiles_is_one_on_the_whole(image, tile, rng):
    """The image mirrored by 92, and beyond to the next legal size, in one forward pass."""
    net = unet(dtype=np.float64, in_channels=1)
    x = rng.standard_normal((1, 1, *image))
    more = [-(side + 184 - 60) % 16 for side in image]
    mirrored = np.pad(x, ((0, 0), (0, 0), *((92, 92 + rest) for rest in more)), mode="reflect")
    whole = net.forward(mirrored, record=False)[:, :, : image[0], : image[1]]
    found = by_tiles(net, x, tile=tile)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-12 * abs(whole).max())
    assert whole.std() > 0
    assert found.shape == (1, 3, *image)


# The tiles.

@pytest.mark.parametrize(("image", "tile", "steps"), [
    ((388, 388), (572, 572), (388, 388)), ((1, 20), (188, 204), (4, 20)), ((389, 21), (588, 220), (404, 36)),
    ((516, 517), (700, 460), (516, 272)), ((2000, 1033), (700, 540), (512, 352)),
])
def test_tiles_are_as_few_and_as_small_as_can_be(image, tile, steps):
    net = unet()
    found = tiling_for(net, margin_of(net), image)
    assert found == Tiling(tile, steps, (92, 92))
    for side, step, of_tile in zip(image, steps, tile, strict=True):
        assert step <= of_tile - 184
        assert step >= side or step % 16 == 0


def test_a_large_margin_leaves_enough_of_a_tile():
    net = chain(Conv2d(1, 1, 801, bias=False, weight_init=minifcn.init.zero))
    assert tiling_for(net, margin_of(net), (100, 700)).tile == (900, 1150)


def test_tiles_that_cannot_be_had():
    net = unet()
    with pytest.raises(ValueError, match=r"overlap_tile: expected a tile that this network takes, got 190x572: layer "
                                         r"'tile': LegalSize: .*crop it to 188x572, the nearest"):
        tiling_for(net, margin_of(net), (5, 5), (190, 572))
    with pytest.raises(ValueError, match=r"overlap_tile: expected a tile of which at least 16x16 pixels are scored, "
                                         r"the network's coarsest stride, got 188x204 with 4x20. Use a larger tile"):
        tiling_for(net, margin_of(net), (5, 5), (188, 204))
    assert tiling_for(net, margin_of(net), (4, 50), (188, 204)).step == (4, 16)
    net = chain(Conv2d(3, 2, 3), Crop(0, (300, 300)))
    with pytest.raises(ValueError, match=r"overlap_tile: expected a network that takes some square of 3 to 258 pixels, "
                                         r"got none. The last one: .*layer 'n1': crop: expected a rectangle inside"):
        tiling_for(net, margin_of(net), (1, 1))


# Pictures.

def picture(rng, h, w):
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


def test_predictor(rng):
    """By itself, by a tile that was asked for, and in the size of training."""
    net, image = unet(), picture(rng, 40, 25)
    x = (image.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    expected = by_tiles(net, x)[0]
    predictor = Predictor(net, {"scale": [1 / 255] * 3})
    scores = predictor.scores(image)
    assert scores.shape == (3, 40, 25)
    np.testing.assert_allclose(scores, expected, atol=1e-4 * abs(expected).max())
    assert len(np.unique(predictor.labels(image))) > 1
    predictor.use_tile((204, 220))
    np.testing.assert_allclose(predictor.scores(image), expected, atol=1e-4 * abs(expected).max())
    assert Predictor(net, {"size": [20, 30]}).scores(image).shape == (3, 40, 25)
    with pytest.raises(ValueError, match="expected a tile that this network takes, got 100x204"):
        predictor.use_tile((100, 204))
    with pytest.raises(ValueError, match=r"predict: expected a network without padding for tiles, .* Leave the tile"):
        Predictor(unet("same")).use_tile((188, 188))


def test_commands(scenes, tmp_path, capsys, monkeypatch):
    """Train as published, evaluate, and predict pictures of sizes that the network does not take."""
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)
    run = str(tmp_path / "run")
    assert cli.main(["train", "--data", f"folder:{scenes}", "--model", "unet", "--padding", "paper", "--width", "0.02",
                     "--size", "220x236", "--batch-size", "1", "--iterations", "2", "--evaluations", "1", "--out",
                     run]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", run, "--data", f"folder:{scenes}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3
    Image.fromarray(picture(np.random.default_rng(0), 30, 50)).save(tmp_path / "image.png")
    predict = ["predict", run, str(tmp_path / "image.png"), "--out", str(tmp_path)]
    assert cli.main(predict) == 0
    labels, _ = read_label(tmp_path / "image_labels.png")
    assert labels.shape == (30, 50)
    assert cli.main([*predict, "--tile", "204x220"]) == 0
    assert np.mean(read_label(tmp_path / "image_labels.png")[0] == labels) > 0.99  # but for rounding where scores tie
    capsys.readouterr()
    assert cli.main([*predict, "--tile", "190x220"]) == 2
    assert "expected a tile that this network takes, got 190x220: layer 'tile': LegalSize" in capsys.readouterr().err
