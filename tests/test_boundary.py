"""The boundary F1 score, against every pair of outline pixels looked at by itself, and SciPy's distance transform."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy import ndimage

import minifcn
from minifcn import cli
from minifcn.boundary import MATCHINGS, BoundaryF1, outline
from minifcn.cli.options import show_scores
from minifcn.data import open_dataset

VOID = 255


def outline_pixels(label, valid, k):
    """The definition, one pixel and one neighbour at a time."""
    h, w = label.shape
    found = set()
    for y, x in itertools.product(range(h), range(w)):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [p for p in around if 0 <= p[0] < h and 0 <= p[1] < w and valid[p]]
        if valid[y, x] and label[y, x] == k and any(label[p] != k for p in inside):
            found.add((y, x))
    return found


def most_pairs(near, right):
    """The largest number of rows with a column each and no column twice; `near` lists the columns of each row."""
    partner = dict.fromkeys(range(right))

    def place(row, tried):
        for column in near[row]:
            if column not in tried:
                tried.add(column)
                if partner[column] is None or place(partner[column], tried):
                    partner[column] = row
                    return True
        return False

    return sum(place(row, set()) for row in range(len(near)))


def pair_by_pair(prediction, target, k, tolerance, matching):
    """F1 of one class from its definition, None if the class does not count."""
    valid = target != VOID
    guessed, true = sorted(outline_pixels(prediction, valid, k)), sorted(outline_pixels(target, valid, k))
    if not guessed and not true:
        return None
    near = [[j for j, q in enumerate(true) if math.dist(p, q) <= tolerance] for p in guessed]
    if matching == "one-to-one":
        hits = found = most_pairs(near, len(true))
    else:
        hits, found = sum(map(bool, near)), len({j for row in near for j in row})
    if not hits:
        return 0.0
    precision, recall = hits / len(guessed), found / len(true)
    return 2 / (1 / precision + 1 / recall)


def mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def patches(rng, h, w, classes=4, side=5, void=0.04):
    """A label map of patches, with some void lines and pixels."""
    label = rng.integers(0, classes, (h // side + 1, w // side + 1)).repeat(side, 0).repeat(side, 1)[:h, :w]
    label[rng.random(label.shape) < void] = VOID
    label[:, w // 2][rng.random(h) < 10 * void] = VOID
    return label


def square(top, left, side=10, shape=(60, 80), k=1):
    """A square of class k on class 0; the diagonal of the image is 100 pixels."""
    label = np.zeros(shape, np.uint8)
    label[top: top + side, left: left + side] = k
    return label


def f1_of(prediction, target, num_classes=2, **options):
    scorer = BoundaryF1(num_classes, **options)
    scorer.add(prediction, target)
    return scorer.score()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_outline(rng, dtype):
    for _ in range(5):
        label = patches(rng, 13, 17)
        found = outline(label.astype(dtype), label != VOID)
        for k in range(4):
            assert set(zip(*np.nonzero(found & (label == k)), strict=True)) == outline_pixels(label, label != VOID, k)
        assert not found[label == VOID].any()


def test_an_outline_is_one_pixel_wide_and_inside():
    label = np.zeros((5, 9), int)
    label[1:4, 3:6] = 1
    label[:, 8] = VOID
    assert outline(label, label != VOID).astype(int).tolist() == [
        [0, 0, 0, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 1, 1, 0, 0, 0],
    ]


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("pixels", [0.5, 1, math.sqrt(2), 2.9, 4])
def test_the_definition(rng, matching, pixels):
    """Over three images of different sizes, one class predicted only, one that is true only, and one nowhere."""
    shapes = [(12, 16), (15, 8), (7, 21)]
    pictures = []
    for shape in shapes:
        target = patches(rng, *shape)
        prediction = np.where(rng.random(shape) < 0.1, 4, np.roll(target, 1, axis=1))
        pictures.append((np.where((prediction == VOID) | (prediction == 3), 0, prediction), target))
    tolerance = pixels / 20  # of a diagonal of 20, 17 and 22.1 pixels
    scorer, expected = BoundaryF1(6, tolerance, matching=matching), []
    for prediction, target in pictures:
        scorer.add(prediction, target)
        reach = tolerance * math.hypot(*target.shape) + 1e-9
        expected.append([pair_by_pair(prediction, target, k, reach, matching) for k in range(6)])
    overall, by_class = scorer.score()
    assert overall == pytest.approx(mean([mean(row) for row in expected]), abs=1e-12)
    assert by_class == pytest.approx([mean(column) for column in zip(*expected, strict=True)], abs=1e-12, nan_ok=True)
    assert by_class[3:5] == (0, 0)  # true only, predicted only
    assert math.isnan(by_class[5])
    assert 0 < overall < 1


def test_scipys_distance_transform(rng):
    """On a larger map: hits are the outline pixels where the distance to the other outline is within the tolerance."""
    target = patches(rng, 90, 120, side=17)
    prediction = np.where(target == VOID, 0, np.roll(target, (1, 2), (0, 1)))
    prediction[prediction == VOID] = 1
    _, by_class = f1_of(prediction, target, 4, tolerance=0.02)  # 3 pixels of 150
    valid = target != VOID
    for k in range(4):
        true = outline(target, valid) & (target == k)
        guessed = outline(prediction, valid) & (prediction == k)
        precision = np.mean(ndimage.distance_transform_edt(~true)[guessed] <= 3)
        recall = np.mean(ndimage.distance_transform_edt(~guessed)[true] <= 3)
        assert by_class[k] == pytest.approx(2 * precision * recall / (precision + recall))


def test_pairing_one_to_one_is_never_higher(rng):
    lower = 0
    for _ in range(20):
        target = patches(rng, 24, 30)
        prediction = patches(rng, 24, 30, void=0)
        distance, pairs = (f1_of(prediction, target, 4, tolerance=0.05, matching=matching) for matching in MATCHINGS)
        assert (np.array(pairs[1]) <= distance[1]).all()
        lower += pairs[0] < distance[0]
    assert lower == 20
    assert f1_of(target % 4, target, 4, matching="one-to-one")[0] == 1


def test_a_shifted_square():
    """By up to the tolerance of 3 pixels nothing is lost; by more, what lies along the shift is still near."""
    target = square(20, 30)
    for shift in range(4):
        assert f1_of(square(20, 30 + shift), target, tolerance=0.03) == (1, (1, 1))
        assert f1_of(square(20 + shift, 30), target, tolerance=0.03) == (1, (1, 1))
    # After 4, twelve of the square's 36 outline pixels are farther than 3 from the old ones: the ten of the side in
    # front, and the two in the middle of the side behind, which are 4 from each of the old sides.
    overall, by_class = f1_of(square(20, 34), target, tolerance=0.03)
    assert by_class[1] == pytest.approx(24 / 36)
    assert overall == pytest.approx((by_class[0] + by_class[1]) / 2)
    assert f1_of(square(2, 2), square(45, 60), tolerance=0.03) == (0, (0, 0))  # nothing of it is near


def test_exactly_the_tolerance_is_within():
    """Also where it is only just missed in floating point: 0.29 of a diagonal of 100 is 28.999999999999996 there."""
    for shape, share, pixels in (((240, 320), 0.0075, 3), ((60, 80), 0.07, 7), ((60, 80), 0.29, 29)):
        target, near, far = (np.zeros(shape, np.uint8) for _ in range(3))
        target[:, 5] = near[:, 5 + pixels] = far[:, 6 + pixels] = 1
        assert f1_of(near, target, tolerance=share)[1][1] == 1
        assert f1_of(far, target, tolerance=share)[1][1] == 0


def test_the_tolerance_grows_with_the_diagonal():
    """The same shift of 6 pixels, the same shares: 0.0075 of 480x640 is 6 pixels, of 360x480 it is 4.5."""
    for shape, expected in (((480, 640), 1), ((360, 480), 0)):
        target, shifted = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        target[:, 100], shifted[:, 106] = 1, 1
        assert f1_of(shifted, target)[1][1] == expected


def test_a_class_on_one_side_only_counts_as_0():
    empty = np.zeros((60, 80), np.uint8)
    assert f1_of(empty, square(20, 30)) == (0, (0, 0))
    assert f1_of(square(20, 30), empty) == (0, (0, 0))
    both = square(20, 30)
    both[40:50, 10:20] = 2  # right in class 1; class 2 is new, and so is a part of the outline of class 0
    overall, by_class = f1_of(both, square(20, 30), 4)
    assert by_class[1:3] == (1, 0)
    assert by_class[0] == pytest.approx(2 * 0.5 / 1.5)  # 40 of its 80 outline pixels are right, and all true ones found
    assert math.isnan(by_class[3])
    assert overall == pytest.approx(np.mean(by_class[:3]))


def test_images_without_an_outline_are_passed_over():
    void, empty = np.full((6, 8), VOID, np.uint8), np.zeros((6, 8), np.uint8)
    scorer = BoundaryF1(2)
    nothing = {"boundary_f1": None, "boundary_f1_by_class": {"a": None, "b": None}}
    assert scorer.as_dict(["a", "b"]) == nothing
    scorer.add(np.eye(6, 8, dtype=int), void)
    scorer.add(empty, empty)
    assert scorer.as_dict(["a", "b"]) == nothing
    assert np.isnan([scorer.score()[0], *scorer.score()[1]]).all()
    small = square(1, 1, side=3, shape=(6, 8))
    scorer.add(small, small)
    assert scorer.score() == (1, (1, 1))


def test_every_image_weighs_the_same():
    scorer = BoundaryF1(3)
    scorer.add(square(20, 30), square(20, 30))
    scorer.add(square(20, 30), square(20, 30, k=2))  # a square of another class: only the outline around it is right
    overall, by_class = scorer.score()
    assert by_class == (1, 0.5, 0)
    assert overall == pytest.approx((1 + 1 / 3) / 2)


def test_what_is_predicted_on_void_does_not_matter(rng):
    target = patches(rng, 20, 24, void=0.1)
    prediction, other = patches(rng, 20, 24, void=0), rng.integers(0, 4, (20, 24))
    changed = np.where(target == VOID, other, prediction)
    assert f1_of(prediction, target, 4, tolerance=0.05) == f1_of(changed, target, 4, tolerance=0.05)
    renamed = np.where(target == VOID, -1, target)
    assert f1_of(prediction, target, 4) == f1_of(prediction.astype(np.uint8), renamed, 4, ignore_index=-1)


def test_bad_input():
    zeros = np.zeros((4, 5), int)
    for tolerance in (0, -1, 1, 4.5, math.nan):
        with pytest.raises(ValueError, match="BoundaryF1: expected a tolerance between 0 and 1, a share of the image's "
                                             f"diagonal, got {tolerance}. SegNet"):
            BoundaryF1(2, tolerance)
    with pytest.raises(ValueError, match="BoundaryF1: expected at least 1 class, got 0"):
        BoundaryF1(0)
    with pytest.raises(ValueError, match="BoundaryF1: expected matching 'distance' or 'one-to-one', got 'greedy'"):
        BoundaryF1(2, matching="greedy")
    scorer = BoundaryF1(2)
    with pytest.raises(ValueError, match=r"BoundaryF1.add: expected one label map \(H, W\), got shape \(1, 4, 5\)"):
        scorer.add(zeros[None], zeros[None])
    with pytest.raises(ValueError, match=r"BoundaryF1.add: expected target in 0..1 \(2 classes\), got 2 at row 0"):
        scorer.add(zeros, zeros + 2)
    with pytest.raises(ValueError, match=r"BoundaryF1.add: expected a prediction of the target's shape \(4, 5\)"):
        scorer.add(zeros.T, zeros)
    with pytest.raises(TypeError, match=r"BoundaryF1.add: expected prediction of an integer dtype, got float64"):
        scorer.add(zeros / 2, zeros)
    assert scorer.f1 == []
    with pytest.raises(ValueError, match=r"BoundaryF1.as_dict: expected 2 class names, .* got 1"):
        scorer.as_dict(["a"])


# In evaluation.

@pytest.fixture
def net():
    """A network that is wrong in interesting places."""
    net = minifcn.models.build("fcn32s", num_classes=3, width=1 / 64, padding="same", rng=3)
    net["score_fr"].weight.data[...] = np.random.default_rng(0).normal(size=net["score_fr"].weight.data.shape)
    return net


def test_evaluate(net, scenes):
    dataset = open_dataset(f"folder:{scenes}", "val")
    scores = minifcn.evaluate(net, dataset, boundary_f1=True, trimap=(2,))
    expected = []
    for sample in dataset:
        guess = minifcn.predict(net, sample.image)
        reach = 0.0075 * math.hypot(*guess.shape)
        expected.append([pair_by_pair(guess, sample.label, k, reach, "distance") for k in range(3)])
    assert scores["boundary_f1"] == pytest.approx(mean([mean(row) for row in expected]))
    by_class = scores["boundary_f1_by_class"]
    assert list(by_class) == ["class0", "class1", "class2"]
    for figure, column in zip(by_class.values(), zip(*expected, strict=True), strict=True):
        assert figure == pytest.approx(mean(column))
    assert 0 < scores["boundary_f1"] < 1
    assert scores["trimap"][0]["pixels"] > 0
    without = minifcn.evaluate(net, dataset)
    assert scores.keys() - without.keys() == {"boundary_f1", "boundary_f1_by_class", "trimap"}
    assert all(scores[key] == without[key] for key in without.keys() - {"seconds"})


def test_the_command(net, scenes, tmp_path, capsys):
    minifcn.save(tmp_path / "net", net, classes=["class0", "class1", "class2"])
    command = ["evaluate", str(tmp_path / "net"), "--data", f"folder:{scenes}"]
    assert cli.main([*command, "--boundary-f1", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert cli.main([*command, "--boundary-f1"]) == 0
    text = capsys.readouterr().out
    assert "right within 0.75 % of the image's diagonal" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["class", "IoU", "boundary", "F1"] in rows
    for name, figure in scores["boundary_f1_by_class"].items():
        assert [name, f"{scores['iou'][name]:.3f}", f"{figure:.3f}"] in rows
    assert ["boundary", "F1,", "mean", "of", "images", f"{scores['boundary_f1']:.3f}"] in rows
    assert cli.main(command) == 0
    assert "boundary F1" not in capsys.readouterr().out
    assert cli.main([*command, "--boundary-f1", "--boundary", "void"]) == 2
    assert "evaluate: expected widths of bands (trimap) beside boundary 'void', got none" in capsys.readouterr().err


def test_a_table_without_outlines(capsys):
    """One class everywhere: there is nothing to score, but something to show."""
    scores = dict.fromkeys(("mean_iou", "fw_iou", "pixel_accuracy", "mean_accuracy"), 1.0)
    show_scores(scores | {"iou": {"sky": 1.0, "road": None}, "absent": ["road"], "boundary_f1": None,
                          "boundary_f1_by_class": {"sky": None, "road": None}})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sky", "1.000", "-"] in rows
    assert ["road", "absent", "-"] in rows
    assert ["boundary", "F1,", "mean", "of", "images", "-"] in rows
