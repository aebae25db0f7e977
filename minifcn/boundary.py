"""How well do the outlines of a segmentation lie? The boundary F1 score (BF), by which SegNet is judged.

For one class in one image, with the outline pixels of truth and prediction:

    precision   share of the predicted ones that have a true one within the tolerance
    recall      share of the true ones that have a predicted one within the tolerance
    F1          2 precision recall / (precision + recall), 0 if both are 0

The tolerance is 0.75 % of the image's diagonal, 4.5 pixels at 360x480; a pixel at just that distance is within. A class
counts in an image if it has an outline there in truth or prediction. F1 is averaged over the classes that count, and
that over images: unlike IoU, every image weighs the same.

An outline pixel is one that touches another class above, below, left or right, so that an outline is one pixel wide and
lies inside its class. Neither void nor the image's border makes an outline, as nobody knows what is behind them; what
is predicted where the truth is void is void too.

SegNet's figures come from its script computeBFmeasure.m, which differs in four ways:

- It pairs outline pixels one to one (with the Berkeley benchmark's correspondPixels): five predicted pixels beside one
  true pixel are one hit and four misses. Here ("distance", as Csurka et al. define it) they are five hits, so the score
  is never lower, and ragged outlines gain most. `matching="one-to-one"` makes as many pairs as can be made, and so does
  correspondPixels but for rare cases: it minimises distances, with a hundred tolerances for a pixel left alone.
- It draws an outline on the pixel whose lower or right neighbour, or the one between these, is of another kind: on
  either side of the change, at most a pixel from ours.
- To it void is one more kind of pixel, so that outlines run along void too.
- An image without any outline counts as 0 there, and is passed over here.

(The paper, unlike the script, counts only classes that the truth has.) So set a score beside SegNet's only with care.
Sources: Csurka, Larlus, Perronnin, "What is a good evaluation measure for semantic segmentation?", 2013;
Badrinarayanan, Kendall, Cipolla, "SegNet", 2015, arXiv 1511.00561, section 4.1, and the script named above.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .metrics import by_name, check_labels

Array = np.ndarray
MATCHINGS = ("distance", "one-to-one")


class BoundaryF1:
    """The boundary F1 score over as many images as you add.

    Args:
        num_classes: classes are 0 .. num_classes - 1.
        tolerance: how far apart outlines may be, as a share of the image's diagonal.
        ignore_index: the void label.
        matching: "distance" or "one-to-one", see above. The latter takes longer.

    Attributes:
        f1: for each image added, F1 of each class, (num_classes,), nan for a class that does not count in it.

    Raises ValueError for other arguments.
    """

    def __init__(
        self, num_classes: int, tolerance: float = 0.0075, ignore_index: int = 255, *, matching: str = "distance"
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"BoundaryF1: expected at least 1 class, got {num_classes}. "
                             f"Pass the number of classes of the data set.")
        if not 0 < tolerance < 1:
            raise ValueError(f"BoundaryF1: expected a tolerance between 0 and 1, a share of the image's diagonal, got "
                             f"{tolerance}. SegNet takes 0.0075; divide pixels by the diagonal.")
        if matching not in MATCHINGS:
            raise ValueError(f"BoundaryF1: expected matching 'distance' or 'one-to-one', got {matching!r}. Take "
                             f"'distance' for the common score, 'one-to-one' to come nearer to SegNet's script.")
        self.num_classes, self.tolerance, self.ignore_index = num_classes, tolerance, ignore_index
        self.matching = matching
        self.f1: list[Array] = []

    def add(self, prediction: Array, target: Array) -> None:
        """Compare the outlines of one label map with the truth's: (H, W) integers each.

        Raises ValueError and TypeError as `ConfusionMatrix.add` does, and ValueError for other than one map. Nothing
        is added then.
        """
        prediction, target, valid = check_labels("BoundaryF1.add", prediction, target, self.num_classes,
                                                 self.ignore_index)
        if target.ndim != 2:
            raise ValueError(f"BoundaryF1.add: expected one label map (H, W), got shape {target.shape}. "
                             f"Add the images of a batch one by one.")
        # Distances between pixels are roots of whole numbers: the margin takes in one that is equal to the tolerance
        # but for rounding, and none that is larger.
        reach = self.tolerance * math.hypot(*target.shape) * (1 + 1e-9)
        predicted, true = (_places(label, valid, self.num_classes) for label in (prediction, target))
        self.f1.append(np.array([_f1(*places, reach, self.matching) for places in zip(predicted, true, strict=True)]))

    def score(self) -> tuple[float, tuple[float, ...]]:
        """(the mean over images, the mean of each class over the images in which it counts).

        nan stands for a mean of nothing: a class that had no outline anywhere, or no outline in any image.
        """
        images = [_mean(f1) for f1 in self.f1]
        classes = np.reshape(self.f1, (-1, self.num_classes)).T  # (K, images)
        return _mean(np.array(images)), tuple(_mean(f1) for f1 in classes)

    def as_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """The scores as JSON wants them: `boundary_f1`, `boundary_f1_by_class`; None where `score` has nan.

        Raises ValueError unless there is one name for each class.
        """
        mean, by_class = self.score()
        return {"boundary_f1": None if math.isnan(mean) else mean,
                "boundary_f1_by_class": by_name("BoundaryF1.as_dict", class_names, by_class)}


def outline(label: Array, valid: Array) -> Array:
    """The outline pixels of all classes: those above, below, left or right of another class.

    Args:
        label: (H, W) integers.
        valid: (H, W) bool, False for void, which neither has an outline nor makes one.

    Returns (H, W) bool.
    """
    found = np.zeros(label.shape, bool)
    for here, there in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        meet = (label[here] != label[there]) & valid[here] & valid[there]
        found[here] |= meet
        found[there] |= meet
    return found


def _places(label: Array, valid: Array, num_classes: int) -> list[Array]:
    """For each class the rows and columns of its outline pixels, (n, 2) integers."""
    found = outline(label, valid)
    places, classes = np.argwhere(found), label[found]
    return [places[classes == k] for k in range(num_classes)]


def _f1(predicted: Array, true: Array, reach: float, matching: str) -> float:
    """F1 of one class, from the places (rows and columns) of its outline pixels: (P, 2) and (T, 2)."""
    if not len(predicted) and not len(true):
        return math.nan
    if not len(predicted) or not len(true):
        return 0.0
    if matching == "one-to-one":
        right = found = _pairs(predicted, true, reach)
    else:
        right, found = _near(predicted, true, reach), _near(true, predicted, reach)
    precision, recall = right / len(predicted), found / len(true)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(places: Array, others: Array, reach: float) -> int:
    """How many of the places have one of the others within reach."""
    from scipy.spatial import cKDTree

    # A distance transform of the whole image would say the same, and look at all the pixels that are no outline.
    distance, _ = cKDTree(others).query(places, distance_upper_bound=reach)  # inf where there is none
    return int(np.count_nonzero(np.isfinite(distance)))


def _pairs(places: Array, others: Array, reach: float) -> int:
    """How many pairs, one of each side and within reach, can be made at most if nobody is in two of them."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_flow
    from scipy.spatial import cKDTree

    near = cKDTree(places).sparse_distance_matrix(cKDTree(others), reach, output_type="ndarray")  # i, j, distance
    # A flow of ones, from a source to the places, on to others near them, to a drain: each lets through one at most.
    # (SciPy's maximum_bipartite_matching says the same, but takes minutes for some outlines of a thousand pixels.)
    left, right = 1 + np.arange(len(places)), 1 + len(places) + np.arange(len(others))
    drain = 1 + len(places) + len(others)
    start = np.concatenate([np.zeros_like(left), left[near["i"]], right])
    end = np.concatenate([left, right[near["j"]], np.full_like(right, drain)])
    graph = csr_matrix((np.ones(len(start), np.int32), (start, end)), shape=(drain + 1, drain + 1))
    return int(maximum_flow(graph, 0, drain).flow_value)


def _mean(values: Array) -> float:
    """The mean of those that are not nan; nan if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
