"""The scores, held to their definitions by plain sets of pixels and to an example worked out by hand."""

import json
import math

import numpy as np
import pytest

from minifcn.metrics import ConfusionMatrix

VOID = 255


def sets_of_pixels(prediction, target, num_classes):
    """Every score straight from its definition: sets of pixel numbers, no matrix anywhere."""
    valid = [i for i, t in enumerate(target) if t != VOID]
    truth = [{i for i in valid if target[i] == k} for k in range(num_classes)]
    called = [{i for i in valid if prediction[i] == k} for k in range(num_classes)]
    both = [t & c for t, c in zip(truth, called, strict=True)]
    either = [t | c for t, c in zip(truth, called, strict=True)]
    iou = [len(b) / len(e) if e else math.nan for b, e in zip(both, either, strict=True)]
    accuracy = [len(b) / len(t) if t else math.nan for b, t in zip(both, truth, strict=True)]
    mean = lambda values: sum(v for v in values if v == v) / sum(v == v for v in values)  # noqa: E731
    return {
        "pixel_accuracy": sum(len(b) for b in both) / len(valid),
        "mean_accuracy": mean(accuracy),
        "mean_iou": mean(iou),
        "fw_iou": sum(len(t) / len(valid) * i for t, i in zip(truth, iou, strict=True) if t),
        "iou": iou,
        "accuracy": accuracy,
        "absent": [k for k in range(num_classes) if not either[k]],
        "pixels": len(valid),
    }


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_agrees_with_sets_of_pixels(seed, dtype):
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(1, 9))
    occurring = rng.choice(num_classes, rng.integers(1, num_classes + 1), replace=False)  # so that some are absent
    target = rng.choice([*occurring, VOID], (2, 5, 7)).astype(dtype)
    target[0, 0, 0] = occurring[0]
    prediction = rng.integers(0, num_classes, target.shape).astype(dtype)
    if seed % 2:
        prediction = np.where(target == VOID, occurring[-1], target).astype(dtype)  # all right: absences stay absent
    matrix = ConfusionMatrix(num_classes)
    matrix.add(prediction, target)
    scores = matrix.scores()
    for name, expected in sets_of_pixels(prediction.ravel(), target.ravel(), num_classes).items():
        np.testing.assert_allclose(getattr(scores, name), expected, rtol=1e-14, err_msg=name)


def test_example_worked_out_by_hand():
    target = np.array([[0, 0, 0, 0, 1], [1, 1, 255, 255, 1]])
    prediction = np.array([[0, 0, 0, 1, 1], [1, 0, 0, 2, 2]])
    # truth 0: three called 0, one called 1; truth 1: two called 1, one called 0, one called 2. Nobody says 3.
    matrix = ConfusionMatrix(4)
    matrix.add(prediction, target)
    assert matrix.counts.tolist() == [[3, 1, 0, 0], [1, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert matrix.counts.dtype == np.int64
    scores = matrix.scores()
    assert scores.pixels == 8
    assert scores.pixel_accuracy == 5 / 8
    assert scores.accuracy[:2] == (3 / 4, 2 / 4)
    assert scores.mean_accuracy == (3 / 4 + 2 / 4) / 2  # class 2 has no truth: skipped
    assert scores.iou[:3] == (3 / 5, 2 / 5, 0.0)  # class 2 was predicted: it counts, as 0
    assert scores.mean_iou == pytest.approx((3 / 5 + 2 / 5 + 0) / 3, abs=1e-15)
    assert scores.fw_iou == pytest.approx(4 / 8 * 3 / 5 + 4 / 8 * 2 / 5, abs=1e-15)
    assert scores.absent == (3,)
    assert math.isnan(scores.iou[3])
    assert math.isnan(scores.accuracy[2])
    assert scores.segnet_averages() == pytest.approx(((3 / 4 + 2 / 4) / 4, (3 / 5 + 2 / 5) / 4))  # 2 and 3 count as 0


def test_as_dict_is_json_with_null_for_an_absent_class():
    matrix = ConfusionMatrix(3)
    matrix.add(np.array([0, 1, 1]), np.array([0, 1, 0]))
    found = json.loads(json.dumps(matrix.scores().as_dict(["sky", "road", "car"]), allow_nan=False))
    assert list(found) == ["pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou", "iou", "absent"]
    assert found["iou"] == {"sky": 0.5, "road": 0.5, "car": None}
    assert found["absent"] == ["car"]
    with pytest.raises(ValueError, match=r"Scores.as_dict: expected 3 class names, .* got 2"):
        matrix.scores().as_dict(["sky", "road"])


def test_batches_and_merged_matrices_count_like_one():
    rng = np.random.default_rng(3)
    target, prediction = rng.integers(0, 4, (6, 3, 5)), rng.integers(0, 4, (6, 3, 5))
    whole, first, second = ConfusionMatrix(4), ConfusionMatrix(4), ConfusionMatrix(4)
    whole.add(prediction, target)
    first.add(prediction[:2], target[:2])
    for one_prediction, one_target in zip(prediction[2:], target[2:], strict=True):
        second.add(one_prediction, one_target)
    first.merge(second)
    assert np.array_equal(first.counts, whole.counts)
    assert first.counts.sum() == target.size


def test_another_void_label_also_one_that_is_a_class_number():
    matrix = ConfusionMatrix(3, ignore_index=0)
    matrix.add(np.array([1, 2, 0]), np.array([1, 0, 2]))
    assert matrix.counts.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    negative = ConfusionMatrix(2, ignore_index=-1)
    negative.add(np.array([1, 0]), np.array([-1, 0]))
    assert negative.scores().pixels == 1


def test_only_void_is_an_error():
    matrix = ConfusionMatrix(3)
    with pytest.raises(ValueError, match="expected at least one pixel with a class, got none"):
        matrix.scores()
    matrix.add(np.zeros((2, 2), int), np.full((2, 2), VOID))
    with pytest.raises(ValueError, match=r"all were void \(255\)"):
        matrix.scores()


@pytest.mark.parametrize(("where", "place"), [
    ((1, 2, 3), "image 1, row 2, column 3"), ((2, 1), "row 2, column 1"), ((4,), "column 4"),
    ((0, 1, 0, 2), "index 0, index 1, index 0, index 2"),
])
def test_labels_outside_the_classes_are_named_with_their_place(where, place):
    zeros = np.zeros([i + 1 for i in where], np.int32)
    wrong = zeros.copy()
    wrong[where] = 5
    matrix = ConfusionMatrix(5)
    with pytest.raises(ValueError, match=rf"expected target in 0..4 \(5 classes\), got 5 at {place}. Only 255 is void"):
        matrix.add(zeros, wrong)
    with pytest.raises(ValueError, match=rf"expected prediction in 0..4 \(5 classes\), got 5 at {place}. Take the arg"):
        matrix.add(wrong, zeros)
    wrong[where] = -1
    with pytest.raises(ValueError, match=f"expected target .* got -1 at {place}"):
        matrix.add(zeros, wrong)
    assert not matrix.counts.any()  # nothing of a bad batch was counted


def test_other_bad_input():
    matrix = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=r"prediction of the target's shape \(2, 3\), got \(3, 2\). Resize"):
        matrix.add(np.zeros((3, 2), int), np.zeros((2, 3), int))
    with pytest.raises(TypeError, match="expected prediction of an integer dtype, got float32"):
        matrix.add(np.zeros(3, np.float32), np.zeros(3, int))
    with pytest.raises(TypeError, match="expected target of an integer dtype, got bool"):
        matrix.add(np.zeros(3, int), np.zeros(3, bool))
    on_gpu = type("CupyArray", (), {"__cuda_array_interface__": {}})()
    with pytest.raises(TypeError, match="expected target as a NumPy array, got one on the GPU"):
        matrix.add(np.zeros(3, int), on_gpu)
    with pytest.raises(ValueError, match=r"merge: expected \(num_classes, ignore_index\) = \(3, 255\), got \(4, 255\)"):
        matrix.merge(ConfusionMatrix(4))
    with pytest.raises(ValueError, match="expected at least 1 class, got 0"):
        ConfusionMatrix(0)
