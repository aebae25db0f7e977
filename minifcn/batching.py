"""What a training learns from: batches, made on the host by their number alone, and brought to where the network is.

A batch is read and augmented by `minifcn.data`; here the labels are laid where the scores will be, and weighted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import data
from .enlarging import enlarged, size_taken
from .feeding import Feeding
from .graph import Graph
from .ops.check import Array
from .output_grid import labels_for
from .preparation import second_labels
from .preprocessing import Preprocessing
from .settings import Settings
from .shapes import shapes_of


class TrainingError(ValueError):
    """The training cannot go on: the message says why and what to do."""


class Batches:
    """The batches of a training, by number. Without accumulation, batch t is the one of iteration t.

    Args:
        settings: of the training.
        net: whose images they are; `device` is where it is.
        train_data: the training images.
        preprocessing: of its pictures.
        class_weights: for the weight map, if there is one.
    """

    def __init__(
        self, settings: Settings, net: Graph, device: str, train_data: data.Dataset, preprocessing: Preprocessing,
        class_weights: Any,
    ) -> None:
        self.settings, self.net, self.device, self.train_data = settings, net, device, train_data
        self.preprocessing, self.class_weights = preprocessing, class_weights
        self.second_data = second_labels(settings, net)
        self.augmentation = data.Augmentation(settings.flip, settings.scale, settings.crop, settings.elastic)
        self.scored: dict[tuple[int, int], list[Any]] = {}  # (H, W) of images -> of each head's scores
        self.feeding: Feeding | None = None  # made with the first batch for a GPU

    def on_device(self, number: int, end: int) -> Sequence[Any]:
        """`for_loss` where the network is. Before a GPU is done with it the next is fetched, up to batch `end`."""
        if self.device == "cpu":
            return self.for_loss(number)
        self.feeding = self.feeding or Feeding(self.for_loss, self.device)
        return self.feeding.take(number, number + 1 if number + 1 < end else None)

    def close(self) -> None:
        """End the thread that feeds a GPU."""
        if self.feeding is not None:
            self.feeding.close()
            self.feeding = None

    def for_loss(self, number: int) -> list[Any]:
        """What the losses of a batch are made of: the images, pixel weights or None, and the labels for each head."""
        x, target = self.batch(number)
        targets = self._at_scores([target, *self.second_target(number)], x.shape[2:], number)
        return [x, self.pixel_weight(targets[0], x.dtype), *targets]

    def pixel_weight(self, target: Array, dtype: Any) -> Array | None:
        """What each pixel counts in the first head's loss, (N, H, W) for labels (N, H, W); None: what its class does.

        Made from the labels as the loss sees them, so it fits them however they were augmented or cut.
        """
        if self.settings.weight_map == "none":
            return None
        return np.stack([data.unet_weight_map(label, self.class_weights) for label in target]).astype(dtype)

    def batch(self, number: int) -> tuple[Array, Array]:
        """The images and labels of a batch; without accumulation that is the one of iteration `number`."""
        x, target = self._load(self.train_data, number)
        self._check_labelled(target, number)
        return x, target

    def _check_labelled(self, target: Array, number: int) -> None:
        if not data.valid_pixels(target):
            names = ", ".join(self.train_data.files(int(index))[1] for index in self._indices(number))
            raise TrainingError(f"train: expected some labelled pixels in each batch, got only void ones in iteration "
                                f"{number // self.settings.accumulate} ({names}). Look at these masks, use a larger "
                                f"crop or larger batches.")

    def _at_scores(self, targets: list[Array], image: tuple[int, int], number: int) -> list[Array]:
        """The labels of a batch at the places of the scores, if there is not one for each pixel of the (H, W) image."""
        if image not in self.scored:
            shapes = shapes_of(self.net, image)
            self.scored[image] = [shapes[name][2:] for name in self.net.outputs]
        found = [labels_for(self.net, name, target, size)
                 for name, target, size in zip(self.net.outputs, targets, self.scored[image], strict=True)]
        if found[0] is not targets[0]:
            self._check_labelled(found[0], number)  # of the image some may be labelled, but not of what is scored
        return found

    def second_target(self, number: int) -> list[Array]:
        """The labels of a batch for the second head, if there is one.

        They are cut out and mirrored as the first ones are, since the random numbers are made from the batch's number.
        """
        return [self._load(self.second_data, number)[1]] if self.second_data else []

    def _load(self, dataset: Any, number: int) -> tuple[Array, Array]:
        seen = self.preprocessing
        x, target = data.load_batch(
            dataset, self._indices(number), augmentation=self.augmentation, seed=self.settings.seed, step=number,
            mean=seen.mean, scale=seen.scale, channel_order=seen.channel_order,
        )
        if self.settings.pad:
            size = size_taken(self.net, x.shape[2:])
            x, target = enlarged(x, size), enlarged(target, size, data.VOID)
        return x, target

    def _indices(self, number: int) -> Array:
        return data.batch_indices(len(self.train_data), self.settings.batch_size, self.settings.seed, number)
