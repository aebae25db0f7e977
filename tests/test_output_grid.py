"""Where scores lie, by experiment: a network of means, shown pictures in which each pixel holds its own coordinates."""

import numpy as np
import pytest

from minifcn import Graph, models, ops
from minifcn.data import resize_label
from minifcn.init import constant
from minifcn.layers import AvgPool2d, Conv2d, ConvTranspose2d, Crop, MaxPool2d, MaxUnpool2d, ResizeBilinear
from minifcn.learner import Learner, TrainingError
from minifcn.output_grid import labels_for, scores_for
from minifcn.prediction import Predictor
from minifcn.progress import Progress
from minifcn.settings import Settings


def mean(kernel_size, **options):
    """A convolution that takes the mean of its window, whose centre a ramp's mean is the coordinate of."""
    size = np.prod(np.broadcast_to(kernel_size, 2))
    return Conv2d(1, 1, kernel_size, bias=False, weight_init=constant(1 / size), dtype=np.float64, **options)


def chain(*layers):
    g = Graph()
    value = "data"
    for number, layer in enumerate(layers):
        value = g.add(f"n{number}", layer, value)
    return g.eval()


def places(net, h, w):
    """Where each score lies: rows (OH,) and columns (OW,) of the image, as the ramps come out."""
    ramps = np.indices((h, w))[:, None].astype(np.float64)  # (2, 1, H, W)
    rows, columns = net.forward(ramps)[:, 0]
    return rows[:, 0], columns[0]


REPEAT = ConvTranspose2d(1, 1, 2, stride=2, bias=False, weight_init=constant(1.0), dtype=np.float64)
UNPADDED = {
    "margin": (chain(mean(3), mean((5, 3))), 17, 20),
    "half a pixel": (chain(mean((2, 4))), 12, 15),
    "stride 8": (chain(AvgPool2d(2), mean(2, stride=2), AvgPool2d(2)), 40, 48),
    "stride 6, with a rest": (chain(mean((3, 2), stride=(2, 3)), AvgPool2d((3, 2))), 33, 29),
    "up and cropped": (chain(AvgPool2d(4), REPEAT, AvgPool2d(2, stride=1), Crop((1, 2), (3, 4))), 24, 28),
}


@pytest.mark.parametrize("name", UNPADDED)
def test_labels_are_those_of_the_nearest_pixels(name, rng):
    net, h, w = UNPADDED[name]
    rows, columns = places(net, h, w)
    labels = rng.integers(0, 200, (2, h, w))
    found = labels_for(net, net.outputs[0], labels, (len(rows), len(columns)))
    assert found.shape == (2, len(rows), len(columns))
    assert found.dtype == labels.dtype
    for p, row in enumerate(rows):
        for q, column in enumerate(columns):
            nearest = int(np.floor(row + 0.5 + 1e-9)), int(np.floor(column + 0.5 + 1e-9))
            np.testing.assert_array_equal(found[:, p, q], labels[:, nearest[0], nearest[1]])


@pytest.mark.parametrize("name", UNPADDED)
@pytest.mark.parametrize("zoom", [1, 2])
def test_scores_are_interpolated_between_their_places(name, zoom, rng):
    net, h, w = UNPADDED[name]
    rows, columns = places(net, h, w)
    scores = rng.standard_normal((2, 3, len(rows), len(columns)))
    wanted = zoom * h, 3 * w // 2
    found = scores_for(net, net.outputs[0], scores, (h, w), wanted)
    pixels = [(np.arange(n) + 0.5) * size / n - 0.5 for n, size in zip(wanted, (h, w), strict=True)]
    for n, k in np.ndindex(2, 3):
        across = np.array([np.interp(pixels[1], columns, line) for line in scores[n, k]])  # (OH, w)
        expected = np.array([np.interp(pixels[0], rows, line) for line in across.T]).T
        np.testing.assert_allclose(found[n, k], expected, atol=1e-12)


def test_windows_side_by_side_are_bilinear_resizing(rng):
    """Then the outer edges of image and scores match, which is what the op assumes."""
    net, _, _ = UNPADDED["stride 8"]
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 1e-6)):
        scores = rng.standard_normal((1, 2, 5, 6)).astype(dtype)
        expected, _ = ops.resize_bilinear(scores, output_size=(40, 48))
        found = scores_for(net, net.outputs[0], scores, (40, 48), (40, 48))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, atol=tolerance)


def test_a_last_window_that_hangs_over(rng):
    """37 rows, 5 scores: the last window has 5 rows. Spreading the scores evenly would move them by up to two rows."""
    net = chain(MaxPool2d(8, ceil_mode=True))
    column = np.arange(37)[None].repeat(1, axis=0)[:, :, None]  # (1, 37, 1)
    labels = np.broadcast_to(column, (1, 37, 8))
    found = labels_for(net, "n0", labels, (5, 1))
    assert found[0, :, 0].tolist() == [4, 12, 20, 28, 36]
    scores = np.array([3.5, 11.5, 19.5, 27.5, 35.5]).reshape(1, 1, 5, 1)
    found = scores_for(net, "n0", scores, (37, 8), (37, 8))[0, 0, :, 3]
    np.testing.assert_allclose(found, np.arange(37).clip(3.5, 35.5))


@pytest.mark.parametrize("net", [
    chain(AvgPool2d(4), ResizeBilinear((9, 11))),
    pytest.param(None, id="unpooling"),
])
def test_without_a_map_that_fits_scores_are_spread_evenly(net, rng):
    if net is None:  # an unpooling has no map of its own: the chain's says that scores lie 6 rows apart
        net = Graph()
        net.add("half", MaxPool2d(2), "data")
        net.add("pool", MaxPool2d(3, return_indices=True), "half")
        net.add("up", MaxUnpool2d(), "pool", "pool.record")
    labels = rng.integers(0, 9, (2, 18, 22))
    found = labels_for(net, net.outputs[0], labels, (9, 11))
    np.testing.assert_array_equal(found, [resize_label(label, (9, 11)) for label in labels])
    scores = rng.standard_normal((1, 2, 9, 11))
    expected, _ = ops.resize_bilinear(scores, output_size=(25, 22))
    np.testing.assert_allclose(scores_for(net, net.outputs[0], scores, (18, 22), (25, 22)), expected, atol=1e-14)


def test_one_score_for_each_pixel_is_left_alone():
    labels = np.zeros((1, 5, 6), np.int64)
    assert labels_for(chain(Conv2d(1, 1, 3)), "n0", labels, (5, 6)) is labels


# Training and prediction.

def coarse(*, num_classes=3, width=1.0, rng=0, dtype=np.float32):
    """Scores for every fourth pixel, learned from colours."""
    g = Graph()
    g.add("mean", AvgPool2d(4, ceil_mode=True), "data")
    g.add("score", Conv2d(3, num_classes, 1, rng=rng, dtype=dtype), "mean")
    return g


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(models.MODELS, "coarse", models.Model(coarse, "for tests", "here"))


def settings(folder, **given):
    return Settings(**{"data": f"folder:{folder}", "batch_size": 2, "evaluations": 1, "iterations": 2, "flip": False,
                       "class_weights": "none", "fuse": True, "device": "cpu"} | given)


def by_hand(scores, labels):
    """Mean cross-entropy over the pixels that are not void, and how many are right."""
    terms, right = [], 0
    for n, p, q in np.argwhere(labels != 255):
        line = scores[n, :, p, q].astype(np.float64)
        terms.append(np.log(np.exp(line - line.max()).sum()) + line.max() - line[labels[n, p, q]])
        right += int(line.argmax() == labels[n, p, q])
    return np.mean(terms), right


@pytest.mark.parametrize(("given", "cut"), [
    ({"model": "coarse"}, np.s_[:, 2::4, 2::4]),
    ({"model": "unet", "padding": "paper", "width": 1 / 32, "size": (204, 220)}, np.s_[:, 92:112, 92:128]),
])
def test_the_loss_compares_scores_with_their_labels(scenes, registered, given, cut):
    learner = Learner(settings(scenes, **given), Progress())
    learner.net.eval()  # no dropout: by hand there is none
    x, target = learner.batches.batch(0)
    labels = target[cut]
    expected, right = by_hand(learner.net.forward(x, record=False), labels)
    _, _, truth = learner.batches.for_loss(0)
    np.testing.assert_array_equal(truth, labels)
    seen = learner.add_gradients(0)
    assert seen.loss == pytest.approx(expected, rel=1e-5)
    assert (seen.right, seen.labelled) == (right, (labels != 255).sum())
    assert all(p.grad is not None for p in learner.net.parameters().values())


def test_predictions_of_coarse_scores(registered):
    """The border between two classes comes out where it lies in the picture, whatever is left over at the bottom."""
    net = models.build("coarse", num_classes=2)
    net["score"].weight.data[..., 0, 0] = (0, -1, 1), (0, 1, -1)  # blue against green
    for h in (32, 33, 37, 39):
        image = np.empty((h, 48, 3), np.uint8)
        image[:16], image[16:] = (60, 60, 200), (60, 200, 60)
        expected = (np.arange(h) >= 16)[:, None].repeat(48, axis=1)
        np.testing.assert_array_equal(Predictor(net).labels(image), expected)
    assert Predictor(net).scores(image, (20, 24)).shape == (2, 20, 24)


def test_a_centre_of_void_is_told(scenes, tmp_path):
    learner = Learner(settings(scenes, model="unet", padding="paper", width=1 / 64, size=(188, 188)), Progress())
    target = np.full((2, 188, 188), 255)
    target[:, :92] = 0  # labelled, but not where scores are
    learner.batches._load = lambda dataset, number: (np.zeros((2, 3, 188, 188), np.float32), target)
    with pytest.raises(TrainingError, match=r"expected some labelled pixels in each batch, got only void ones in "
                                            r"iteration 0 .*use a larger crop or larger batches"):
        learner.add_gradients(0)


@pytest.mark.parametrize(("given", "got"), [({}, "32x48"), ({"crop": (190, 204)}, "190x204"),
                                            ({"size": (100, 188), "batch_size": 1}, "100x188")])
def test_training_on_sizes_that_are_not_legal(scenes, given, got):
    with pytest.raises(ValueError, match=rf"train: expected an image that this network takes \(rows: 188, 204, 220 and "
                                         rf"so on, in steps of 16; columns: 188.*got {got}, where .* The nearest size "
                                         rf"that fits is 188x\d+. Set it with --size or --crop, or add --pad."):
        Learner(settings(scenes, model="unet", padding="paper", width=1 / 64, **given), Progress())
