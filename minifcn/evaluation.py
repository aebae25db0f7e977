"""How good a network is on a data set: one confusion matrix over all its images, on the label files' own grid."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from .boundary import BoundaryF1
from .data import Dataset, open_dataset
from .graph import Graph
from .metrics import ConfusionMatrix, Scores
from .prediction import Predictor, frozen, labels_of
from .trimap import Trimaps


def evaluate(
    source: Graph | Predictor | str | os.PathLike, data: Dataset | str, split: str = "val",
    progress: Callable[[int, int], None] | None = None, *,
    trimap: Sequence[int] = (), boundary: str | None = None, boundary_f1: bool = False,
) -> dict[str, Any]:
    """Score a network, a checkpoint file or a run folder on a data set.

    Args:
        data: a Dataset, or what `--data` takes; for the latter `split` says which part of it.
        progress: called with (images done, images in all) after each image.
        trimap: widths in pixels of bands around outlines that are scored too, see `minifcn.trimap`.
        boundary: what an outline is to `trimap`, "void" or "change"; by default "void" for data sets with void borders
            (VOC).
        boundary_f1: score also how near the predicted outlines are to the true ones, see `minifcn.boundary`.

    Returns pixel_accuracy, mean_accuracy, mean_iou, fw_iou, iou (by class name), absent (class names), images, seconds;
    with `trimap` also a list of that name: width, boundary, pixels, and the scores if there are pixels; with
    `boundary_f1` also boundary_f1 and boundary_f1_by_class, None for a class without an outline in any image.
    Raises ValueError if the network's classes are not the data set's, for other widths and boundaries, and for a
    boundary without widths.
    """
    if boundary is not None and not trimap:
        raise ValueError(f"evaluate: expected widths of bands (trimap) beside boundary {boundary!r}, got none. "
                         f"Pass some, for example 1 3 10, or leave the boundary out.")
    predictor = Predictor.open(source)
    dataset = data if isinstance(data, Dataset) else _open(data, split, predictor)
    check_classes(predictor, dataset)
    start = time.perf_counter()
    bands = Trimaps(len(dataset.classes), trimap, boundary or ("void" if dataset.void_borders else "change"))
    outlines = BoundaryF1(len(dataset.classes))
    facts = score(predictor, dataset, progress, (bands, outlines) if boundary_f1 else (bands,)).as_dict(dataset.classes)
    facts |= outlines.as_dict(dataset.classes) if boundary_f1 else {}
    facts |= {"images": len(dataset), "seconds": time.perf_counter() - start}
    return facts | ({"trimap": bands.as_list(dataset.classes)} if trimap else {})


def score(
    predictor: Predictor, dataset: Dataset, progress: Callable[[int, int], None] | None = None,
    others: Sequence[Trimaps | BoundaryF1] = (),
) -> Scores:
    """The scores of `evaluate` as an object, without looking at names; `others` are filled on the way.

    A truth of only void is passed over.
    """
    matrix = ConfusionMatrix(len(dataset.classes))
    counters: list[ConfusionMatrix | Trimaps | BoundaryF1] = [matrix, *others]
    with frozen(predictor.net):
        for index in range(len(dataset)):
            sample = dataset[index]
            scores = predictor.scores_there(sample.image, sample.label.shape)  # (K, H, W)
            if len(scores) != len(dataset.classes):
                raise ValueError(f"evaluate: expected a network of {len(dataset.classes)} classes, as {dataset.name} "
                                 f"has, got one of {len(scores)}. Choose the data set that it was trained on.")
            labels = labels_of(scores)  # (H, W)
            for counts in counters:
                counts.add(labels, sample.label)
            if progress is not None:
                progress(index + 1, len(dataset))
    return matrix.scores()


def check_classes(predictor: Predictor, dataset: Dataset) -> None:
    """The checkpoint's class names are the data set's; a network without names passes, `score` looks at the number."""
    classes = predictor.meta.get("classes")
    if classes is not None and tuple(classes) != tuple(dataset.classes):
        raise ValueError(f"evaluate: expected a data set with the classes that the network was trained on "
                         f"({', '.join(classes)}), got {', '.join(dataset.classes)}. Choose that data set.")


def _open(data: str, split: str, predictor: Predictor) -> Dataset:
    """The data as training saw them: with its seed, which chose the images held out, and built-in scenes in its size.

    Pictures from files keep their own size here.
    """
    size = predictor.meta.get("size")
    return open_dataset(data, split, size=tuple(size) if size else None, seed=predictor.meta.get("seed", 0))
