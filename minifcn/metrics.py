"""How good is a segmentation? Four numbers, all from one table of counts.

The confusion matrix H counts pixels: H[g, p] of them have the truth g and the prediction p. Its rows sum to t_g (pixels
that are g), its columns to q_p (pixels that were called p), and its diagonal holds the pixels that are right:

    pixel accuracy           sum of the diagonal / all pixels
    mean accuracy            mean over classes of H[g, g] / t_g
    mean IoU                 mean over classes of H[g, g] / (t_g + q_g - H[g, g]): intersection over union
    frequency-weighted IoU   the same IoUs, each weighted by t_g / all pixels

One matrix is filled over a whole data set and scored once. A mean of scores per image would be another number, and
would have to say what an image without cars scores on cars.

SegNet's "global accuracy" is the pixel accuracy; its "class average" and mean IoU are the mean accuracy and mean IoU,
except that a class which the truth has nowhere counts as 0 there and is skipped here (see `Scores`). So they differ
only on data without some class, where SegNet's can never reach 1: `Scores.segnet_averages` gives those.

Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015, section 5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, each score in 0..1.

    A class that occurs in neither truth nor prediction is *absent*: its IoU is nan and no mean knows it. A class that
    was only ever predicted has IoU 0, which counts in the mean IoU, and accuracy nan, which the mean accuracy skips.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    fw_iou: float
    iou: tuple[float, ...]  # one for each class, nan where absent
    accuracy: tuple[float, ...]  # one for each class, nan where the truth has none of it
    absent: tuple[int, ...]  # class numbers
    pixels: int  # counted, that is: not void

    def as_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """The scores as JSON wants them: `iou` by class name, None for an absent class; `absent` by name.

        Raises ValueError unless there is one name for each class.
        """
        return {
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "mean_iou": self.mean_iou,
            "fw_iou": self.fw_iou,
            "iou": by_name("Scores.as_dict", class_names, self.iou),
            "absent": [class_names[number] for number in self.absent],
        }

    def segnet_averages(self) -> tuple[float, float]:
        """SegNet's (class average, mean IoU): the means over all classes, one that the truth has none of counting as 0.

        Source: compute_test_results.m of alexgkendall/SegNet-Tutorial.
        """
        return float(np.nan_to_num(self.accuracy).mean()), float(np.nan_to_num(self.iou).mean())


class ConfusionMatrix:
    """Counts of (truth, prediction) pairs over as many images as you add.

    Args:
        num_classes: classes are 0 .. num_classes - 1.
        ignore_index: the void label. Pixels whose truth it is are not counted, whatever was predicted there.

    Attributes:
        counts: H[g, p], (num_classes, num_classes) int64.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        if num_classes < 1:
            raise ValueError(f"ConfusionMatrix: expected at least 1 class, got {num_classes}. "
                             f"Pass the number of classes of the data set.")
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.counts = np.zeros((num_classes, num_classes), np.int64)

    def add(self, prediction: Array, target: Array) -> None:
        """Count the pixels of a label map or a batch of them.

        Args:
            prediction: integers in 0 .. num_classes - 1, of any shape: (H, W), (N, H, W), ...
            target: integers of the same shape, the truth; `ignore_index` marks void.

        Raises ValueError, naming the place, for a label outside the classes; TypeError for other dtypes and for arrays
        that are not on the CPU. Nothing is counted then.
        """
        n = self.num_classes
        prediction, target, valid = check_labels("ConfusionMatrix.add", prediction, target, n, self.ignore_index)
        # Each pair (g, p) becomes one number n*g + p, so that a single bincount fills the table.
        pairs = n * target[valid].astype(np.int64) + prediction[valid].astype(np.int64)
        self.counts += np.bincount(pairs, minlength=n * n).reshape(n, n)

    def merge(self, other: "ConfusionMatrix") -> None:
        """Add the counts of another matrix. Raises ValueError if its classes or void label differ."""
        mine, theirs = (self.num_classes, self.ignore_index), (other.num_classes, other.ignore_index)
        if mine != theirs:
            raise ValueError(f"ConfusionMatrix.merge: expected (num_classes, ignore_index) = {mine}, got {theirs}. "
                             f"Only counts of the same labels can be added.")
        self.counts += other.counts

    def scores(self) -> Scores:
        """All scores of the pixels counted so far. Raises ValueError if there is none."""
        pixels = int(self.counts.sum())
        if pixels == 0:
            raise ValueError(f"ConfusionMatrix.scores: expected at least one pixel with a class, got none: all were "
                             f"void ({self.ignore_index}) or nothing was added. Check the labels and the void value.")
        right = np.diag(self.counts)  # (K,)
        truth, predicted = self.counts.sum(axis=1), self.counts.sum(axis=0)
        union = truth + predicted - right
        iou, accuracy = _ratio(right, union), _ratio(right, truth)
        return Scores(
            pixel_accuracy=float(right.sum() / pixels),
            mean_accuracy=float(np.nanmean(accuracy)),
            mean_iou=float(np.nanmean(iou)),
            fw_iou=float(np.sum(truth * np.nan_to_num(iou)) / pixels),  # an absent class has the weight t_g = 0
            iou=tuple(iou.tolist()),
            accuracy=tuple(accuracy.tolist()),
            absent=tuple(np.flatnonzero(union == 0).tolist()),
            pixels=pixels,
        )


def by_name(op: str, class_names: Sequence[str], values: Sequence[float]) -> dict[str, float | None]:
    """One value for each class as JSON wants it, None for nan. Raises ValueError, as `op`, unless each has a name."""
    if len(class_names) != len(values):
        raise ValueError(f"{op}: expected {len(values)} class names, one for each class, got {len(class_names)}. "
                         f"Pass the names of the data set that was scored.")
    return {name: None if math.isnan(value) else value for name, value in zip(class_names, values, strict=True)}


def check_labels(
    op: str, prediction: Any, target: Any, num_classes: int, ignore_index: int
) -> tuple[Array, Array, Array]:
    """(prediction, target, where the target is not void) as arrays of one shape, every label a class.

    Raises ValueError and TypeError as `ConfusionMatrix.add` says, in the name of `op`.
    """
    prediction, target = _integers(op, "prediction", prediction), _integers(op, "target", target)
    if prediction.shape != target.shape:
        raise ValueError(f"{op}: expected a prediction of the target's shape {target.shape}, "
                         f"got {prediction.shape}. Resize the scores to the label's grid before the argmax.")
    valid = target != ignore_index
    _check_range(op, "prediction", prediction, num_classes, np.True_, "Take the argmax over the class axis.")
    _check_range(op, "target", target, num_classes, valid,
                 f"Only {ignore_index} is void; renumber the labels, or set num_classes or ignore_index.")
    return prediction, target, valid


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, nan where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _integers(op: str, name: str, labels: Any) -> Array:
    if hasattr(labels, "__cuda_array_interface__"):
        raise TypeError(f"{op}: expected {name} as a NumPy array, got one on the GPU. Bring it over with .get().")
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: expected {name} of an integer dtype, got {labels.dtype}. "
                        f"Class numbers come from an argmax or a label file.")
    return labels


def _check_range(op: str, name: str, labels: Array, num_classes: int, where: Any, advice: str) -> None:
    """Every label of `where` is a class. Raises ValueError with the first that is not, and its place."""
    outside = where & ((labels < 0) | (labels >= num_classes))
    if outside.any():
        place = np.unravel_index(int(np.argmax(outside)), outside.shape)
        names = ["image", "row", "column"][-outside.ndim:] if outside.ndim <= 3 else ["index"] * outside.ndim
        shown = ", ".join(f"{axis} {i}" for axis, i in zip(names, place, strict=True))
        raise ValueError(f"{op}: expected {name} in 0..{num_classes - 1} ({num_classes} classes), "
                         f"got {labels[place]} at {shown}. {advice}")
