"""Images of a size that a network does not take: what --pad adds, and that nobody sees it afterwards."""

import numpy as np
import pytest

import minifcn
from minifcn import models
from minifcn.data import VOID
from minifcn.enlarging import enlarged, size_taken
from minifcn.learner import Learner
from minifcn.prediction import Predictor
from minifcn.progress import Progress
from minifcn.settings import Settings


@pytest.fixture(scope="module")
def net():
    return models.build("unet", num_classes=3, width=1 / 32, padding="paper", rng=0).eval()


@pytest.mark.parametrize(("size", "taken"), [((188, 204), (188, 204)), ((189, 188), (204, 188)), ((30, 200), None)])
def test_the_next_size_that_it_takes(net, size, taken):
    if taken is None:
        with pytest.raises(ValueError, match=r"pad: expected a network that takes some image up to 63 pixels larger "
                                             r"than 30x200, got none\. The last one: layer 'tile'"):
            size_taken(net, size)
    else:
        assert size_taken(net, size) == taken


def test_what_is_added():
    x = np.arange(1.0, 7).reshape(1, 2, 3)
    larger = enlarged(x, (4, 3), 9)
    assert np.array_equal(larger[:, :2], x)
    assert (larger[:, 2:] == 9).all()
    assert larger.dtype == x.dtype
    assert enlarged(x, (2, 3)) is x


def settings(scenes, **given):
    base = {"data": f"folder:{scenes}", "model": "unet", "width": 1 / 32, "padding": "paper", "size": (190, 200),
            "iterations": 1, "evaluations": 1, "batch_size": 2, "class_weights": "none", "device": "cpu"}
    return Settings(**base | given)


def test_training_adds_void(scenes):
    learner = Learner(settings(scenes, pad=True), Progress())
    x, target = learner.batches.batch(0)
    assert x.shape[2:] == target.shape[1:] == (204, 204)
    assert (target[:, 190:] == VOID).all()
    assert (target[:, :, 200:] == VOID).all()
    assert not x[:, :, 190:].any()
    assert learner.meta()["pad"] is True
    assert learner.predictor.pad
    with pytest.raises(ValueError, match=r"190x200, where .* Set it with --size or --crop, or add --pad"):
        Learner(settings(scenes), Progress())


def test_what_is_predicted_in_tiles_may_have_any_size(scenes):
    """Windows of a legal size are cut out of images that have none."""
    assert Learner(settings(scenes, size=None, crop=(188, 204)), Progress()).batches.batch(0)[0].shape[2:] == (188, 204)


def strided():
    """A network that scores each pixel, and takes multiples of 4 only."""
    from minifcn.layers import Conv2d, ConvTranspose2d
    from minifcn.layers._legal_size import LegalSize
    net = minifcn.Graph()
    net.add("gate", LegalSize(4, 4), "data")
    net.add("down", Conv2d(3, 5, 4, stride=4, rng=0), "gate")
    net.add("up", ConvTranspose2d(5, 2, 4, stride=4, rng=1), "down")
    return net.eval()


def test_prediction_cuts_off_what_was_added():
    predictor = Predictor(strided())
    image = np.random.default_rng(0).integers(1, 256, (7, 10, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="got 7x10"):
        predictor.scores(image)
    predictor.pad = True
    scores = predictor.scores(image)
    assert scores.shape == (2, 7, 10)
    by_hand = np.zeros((8, 12, 3), np.uint8)
    by_hand[:7, :10] = image
    np.testing.assert_allclose(scores, Predictor(strided()).scores(by_hand)[:, :7, :10], rtol=1e-6)
    assert predictor.scores(image, (14, 20)).shape == (2, 14, 20)

