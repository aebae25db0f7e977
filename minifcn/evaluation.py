"""How good a network is on a data set: one confusion matrix over all its images, on the label files' own grid."""

import os
import time
from collections.abc import Callable
from typing import Any

from .data import Dataset, open_dataset
from .graph import Graph
from .metrics import ConfusionMatrix, Scores
from .prediction import Predictor, frozen


def evaluate(
    source: Graph | Predictor | str | os.PathLike, data: Dataset | str, split: str = "val",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score a network, a checkpoint file or a run folder on a data set.

    Args:
        data: a Dataset, or what `--data` takes; for the latter `split` says which part of it.
        progress: called with (images done, images in all) after each image.

    Returns pixel_accuracy, mean_accuracy, mean_iou, fw_iou, iou (by class name), absent (class names), images, seconds.
    Raises ValueError if the network's classes are not the data set's.
    """
    predictor = Predictor.open(source)
    dataset = data if isinstance(data, Dataset) else _open(data, split, predictor)
    check_classes(predictor, dataset)
    start = time.perf_counter()
    scores = score(predictor, dataset, progress)
    return scores.as_dict(dataset.classes) | {"images": len(dataset), "seconds": time.perf_counter() - start}


def score(
    predictor: Predictor, dataset: Dataset, progress: Callable[[int, int], None] | None = None
) -> Scores:
    """The scores of `evaluate` as an object, without looking at names. A truth of only void is passed over."""
    matrix = ConfusionMatrix(len(dataset.classes))
    with frozen(predictor.net):
        for index in range(len(dataset)):
            sample = dataset[index]
            scores = predictor.scores(sample.image, sample.label.shape)  # (K, H, W)
            if len(scores) != len(dataset.classes):
                raise ValueError(f"evaluate: expected a network of {len(dataset.classes)} classes, as {dataset.name} "
                                 f"has, got one of {len(scores)}. Choose the data set that it was trained on.")
            matrix.add(scores.argmax(axis=0), sample.label)
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
