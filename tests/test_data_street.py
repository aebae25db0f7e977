"""Street scenes: the same for ever, different from each other, all classes to be seen, poles never too thin.

Widths and edges are measured on the pixels with SciPy and plain loops, not asked of the painter.
"""

import numpy as np
import pytest
from scipy import ndimage

from minifcn.data import Street
from minifcn.data.street.backdrop import paint_ground
from minifcn.data.street.canvas import Canvas
from minifcn.data.street.layout import place_things
from minifcn.data.street.view import CLASSES, PAVEMENT, POLE, ROAD, SKY, TREE, choose_view


def test_a_scene_depends_on_seed_split_and_number_alone():
    forward = [sample.image for sample in Street(length=4)]
    backward = [Street(length=9)[index] for index in (3, 2, 1, 0)][::-1]
    for image, sample in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(image, sample.image)
    np.testing.assert_array_equal(Street()[2].label, Street()[2].label)
    others = [Street("val")[2], Street("test")[2], Street(seed=1)[2], Street()[3]]
    assert all(not np.array_equal(forward[2], other.image) for other in others)
    assert not np.array_equal(others[0].image, others[1].image)
    assert [Street()[7].name, others[0].name] == ["street_train_0007", "street_val_0002"]


def test_sizes_of_the_splits():
    assert (len(Street()), len(Street("val")), len(Street("test")), len(Street(length=5))) == (256, 64, 64, 5)
    sample = Street()[255]
    assert (sample.image.shape, sample.image.dtype) == ((96, 128, 3), np.uint8)
    assert (sample.label.shape, sample.label.dtype) == ((96, 128), np.uint8)
    with pytest.raises(IndexError, match="below 256"):
        Street()[256]


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_class_has_its_share(split):
    labels = np.stack([sample.label for sample in Street(split, length=64)])
    share = [(labels == number).mean() for number in range(len(CLASSES))]
    assert min(share) > 0.02
    assert max(share) < 0.4
    images_with = [(labels == number).any(axis=(1, 2)).mean() for number in range(len(CLASSES))]
    assert min(images_with) > 0.75
    assert images_with[POLE] == 1
    assert 0.01 < (labels == 255).mean() < 0.08


@pytest.mark.parametrize("size", [(96, 128), (48, 64), (131, 97), (180, 240)])
def test_poles_are_thick_enough_for_stride_8(size):
    """Opening by a 7x7 square removes whatever is thinner than 7 pixels anywhere: nothing goes."""
    for index in range(24):
        pole = Street(size=size, void=0.0)[index].label == POLE
        assert pole.any()
        padded = np.pad(pole, 8, mode="edge")  # a head may be cut by the frame, not by thinness
        opened = ndimage.binary_opening(padded, np.ones((7, 7)))[8:-8, 8:-8]
        np.testing.assert_array_equal(opened, pole)


def test_poles_stay_thick_where_edges_are_void():
    """The width of shafts, row by row: the runs of pole pixels in the lower half of each pole, with void taken out."""
    widths = []
    for index in range(40):
        label = Street()[index].label
        exact = Street(void=0.0)[index].label
        parts, count = ndimage.label(exact == POLE)
        for part in range(1, count + 1):
            rows, _ = np.nonzero(parts == part)
            for row in range((rows.min() + rows.max()) // 2, rows.max() - 8):  # below the head, above the foot
                widths.append(np.count_nonzero((parts[row] == part) & (label[row] == POLE)))
    assert len(widths) > 500
    assert min(widths) == 7  # 8 less the one pixel that an edge may cost
    assert max(widths) <= 16


def test_other_things_are_larger():
    """Each car and tree painted alone: how wide it is, and how wide a trunk where it meets the ground."""
    widths, trunks = {"paint_car": [], "paint_tree": []}, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        view = choose_view(96, 128, rng)
        for thing in place_things(view, rng):
            kind = thing.paint.func.__name__
            if kind not in widths or thing.left < 0 or thing.right > 128:
                continue
            canvas = Canvas(96, 128)
            thing.paint(canvas, rng)
            rows, columns = np.nonzero(canvas.label != 255)
            widths[kind].append(np.ptp(columns) + 1)
            if kind == "paint_tree" and rows.max() < 95:
                trunks.append(np.ptp(columns[rows == rows.max() - 3]) + 1)
    assert min(len(widths["paint_car"]), len(trunks)) > 20
    assert min(widths["paint_car"]) >= 16
    assert min(widths["paint_tree"]) >= 22
    assert min(trunks) >= 7


def test_void_lies_on_half_of_the_edges():
    on_edge = chosen = 0
    for index in range(6):
        exact, label = Street(void=0.0)[index].label, Street()[index].label
        np.testing.assert_array_equal(label[label != 255], exact[label != 255])
        for i in range(96):
            for j in range(128):
                right = j < 127 and exact[i, j] != exact[i, j + 1]
                below = i < 95 and exact[i, j] != exact[i + 1, j]
                if right or below:
                    on_edge += 1
                    chosen += label[i, j] == 255
                else:
                    assert label[i, j] != 255
    assert abs(chosen / on_edge - 0.5) < 0.03
    assert not (Street(void=0.0)[0].label == 255).any()
    exact = Street(void=0.0)[0].label
    edges = np.count_nonzero(Street(void=1.0)[0].label == 255)
    right, below = exact[:, :-1] != exact[:, 1:], exact[:-1] != exact[1:]
    assert edges == np.count_nonzero(np.pad(right, ((0, 0), (0, 1))) | np.pad(below, ((0, 1), (0, 0))))


def test_a_larger_picture_shows_the_same_street_larger():
    """Twice the size: the same labels, but for pixels near edges, and poles, whose least width is in pixels."""
    for index in range(8):
        small, large = Street(void=0.0)[index].label, Street(size=(192, 256), void=0.0)[index].label
        compared = (small != POLE) & (large[::2, ::2] != POLE)
        assert (small == large[::2, ::2])[compared].mean() > 0.9


def test_pictures_look_like_streets():
    """Sky above, road below, trees greener than roads, skies bluer or lighter than roads."""
    means = {number: [] for number in (SKY, ROAD, TREE)}
    for sample in Street(length=48):
        rows = np.mgrid[:96, :128][0]
        assert rows[sample.label == SKY].mean() < 40 < 60 < rows[sample.label == ROAD].mean()
        for number in means:
            if (sample.label == number).any():
                means[number].append(sample.image[sample.label == number].mean(axis=0))
    sky, road, tree = (np.mean(means[number], axis=0) for number in (SKY, ROAD, TREE))
    assert tree[1] > tree[2] + 20
    assert (sky > road + 40).all()
    assert np.ptp(road) < 20  # asphalt is grey


def test_the_ground_inverts_the_projection():
    """Random points of the ground, projected: the pixel that they fall on has the class of the point."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        view = choose_view(96, 128, rng)
        canvas = Canvas(96, 128)
        paint_ground(canvas, view, rng)
        checked = 0
        for _ in range(2000):
            X, z = rng.uniform(-9, 9), rng.uniform(5, 25)
            x, y = view.project(X, 0, z)
            kerb = min(abs(X - view.road[0]), abs(X - view.road[1]))
            if 0 <= x < 128 and 0 <= y < 96 and kerb > 2 * z / view.focal:  # two pixels from the kerb
                on_road = view.road[0] < X < view.road[1]
                assert canvas.label[int(y), int(x)] == (ROAD if on_road else PAVEMENT)
                checked += 1
        assert checked > 300


def test_things_are_painted_from_far_to_near_and_hide_no_pole():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        view = choose_view(96, 128, rng)
        things = place_things(view, rng)
        depths = [thing.z for thing in things]
        assert depths == sorted(depths, reverse=True)
        poles = [thing for thing in things if thing.paint.func.__name__ == "paint_pole"]
        assert 1 <= len(poles) <= 2
        for pole in poles:
            nearer = [thing for thing in things if thing.z < pole.z and thing not in poles]
            assert all(thing.right <= pole.left or thing.left >= pole.right for thing in nearer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "trial"}, "one of train, val, test, got 'trial'"),
        ({"size": (31, 128)}, r"at least 32x32, got \(31, 128\)"),
        ({"size": (96.5, 128)}, r"street: expected a size \(H, W\)"),
        ({"seed": -1}, "a seed of 0 or more, got -1"),
        ({"void": 1.5}, "between 0 and 1, got 1.5"),
        ({"length": 0}, "at least one scene, got length 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Street(**options)
