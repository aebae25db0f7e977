"""What a training needs before its first iteration: data that fit its network, weights to start from, statistics."""

from dataclasses import replace
from typing import Any

import numpy as np

from . import data, models, optim
from .data import Dataset
from .explain.sizes import check_size
from .overlap_tile import margin_of
from .preprocessing import Preprocessing
from .published import load_streams, told
from .settings import Settings
from .shapes import input_channels

STATISTICS_FROM = 1000  # images that mean, deviation and class weights are computed from
ENET_C = {"enet": 1.02, "enet-encoder": 1.2}  # the authors train the encoder with another constant


def open_both(settings: Settings) -> tuple[Dataset, Dataset]:
    """The training images, resized and kept in memory, and the validation images as they are."""
    train_data = data.open_dataset(settings.data, settings.splits[0], size=settings.size, seed=settings.seed)
    val_data = data.open_dataset(settings.data, settings.splits[1], size=settings.size, seed=settings.seed)
    return _kept(train_data, settings), data.Cached(val_data)


def second_labels(settings: Settings, net: Any) -> Dataset | None:
    """The training images with the labels for a network's second head, SIFT Flow's geometric ones; None for one head.

    Raises ValueError for other data.
    """
    if len(net.outputs) == 1:
        return None
    kind, _, path = settings.data.partition(":")
    if kind != "siftflow":
        raise ValueError(f"train: expected data with two label maps for {settings.model}, which has two heads, got "
                         f"{settings.data}. Choose siftflow:PATH, or another model.")
    return _kept(data.open_dataset(f"siftflow-geo:{path}", settings.splits[0]), settings)


def _kept(dataset: Dataset, settings: Settings) -> Dataset:
    return data.Cached(data.Resized(dataset, settings.size) if settings.size else dataset)


def network_for(settings: Settings, num_classes: int) -> Any:
    """The network that the settings name, with random weights."""
    options: dict[str, Any] = {"num_classes": num_classes, "width": settings.width, "rng": settings.seed}
    padding = {"padding": settings.padding} if settings.padding else models.same_padding(settings.model)
    return models.build(settings.model, **padding, **options)


def optimizer_for(settings: Settings, parameters: dict[str, Any]) -> Any:
    """What updates the parameters."""
    if settings.optimizer == "adam":
        return optim.Adam(parameters, settings.lr, weight_decay=settings.weight_decay)
    return optim.SGD(parameters, settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def check_channels(settings: Settings, net: Any, dataset: Dataset) -> None:
    """A network of colour and depth wants data that have both."""
    wanted = sum(input_channels(net, name) for name in net.inputs)
    if wanted != dataset.channels:
        raise ValueError(f"train: expected images of {wanted} channels for {settings.model}, got {dataset.channels} "
                         f"from {settings.data}. Choose data that have them, or another model.")


def check_one_size(settings: Settings, dataset: Dataset) -> None:
    """Images of several sizes make no batch: better said now than minutes later, when the first mixed one comes."""
    if settings.batch_size == 1 or settings.crop is not None:
        return
    h, w = dataset[0].label.shape
    for index in range(min(len(dataset), STATISTICS_FROM)):
        size = dataset[index].label.shape
        if size != (h, w):
            raise ValueError(f"train: expected images of one size to make batches of {settings.batch_size}, got "
                             f"{h}x{w} ({dataset.files(0)[0]}) and {size[0]}x{size[1]} ({dataset.files(index)[0]}). "
                             f"Set --size HxW or --crop HxW, or use --batch-size 1.")


def check_image_size(settings: Settings, net: Any, train_data: Dataset, val_data: Dataset) -> None:
    """The network takes what it will be shown: windows of --crop, or else images like the first one; and whole images
    when it is validated, unless it predicts these in tiles.
    """
    trained, validated = settings.crop or train_data[0].label.shape, settings.size or val_data[0].label.shape
    if settings.pad or min(trained) < 1:
        return  # no window at all: the data say so
    for size in (trained, validated) if margin_of(net) is None else (trained,):
        try:
            check_size("train", net, size)
        except ValueError as error:
            raise ValueError(f"{error} Set it with --size or --crop, or add --pad.") from None


def preprocessing_for(settings: Settings, net: Any, dataset: Dataset) -> tuple[Preprocessing, str]:
    """How pictures are prepared for the network, which is given its weights on the way if there are any to load.

    Also returns what is to be said about these weights, "" if there are none.
    """
    if not settings.weights and settings.pixels == "raw":
        return Preprocessing(size=settings.size), ""
    if not settings.weights:
        mean, std = data.channel_statistics(dataset, STATISTICS_FROM)
        return Preprocessing(tuple(mean.tolist()), tuple((1 / np.maximum(std, 1.0)).tolist()), settings.size), ""
    paths = (settings.weights,) if isinstance(settings.weights, str) else settings.weights
    loaded = load_streams(net, paths, new=settings.new_layers)
    found = loaded.preprocessing.completed(dataset.published_mean, dataset.has_colors)
    return replace(found, size=settings.size), told(loaded, " and ".join(paths))


def loss_weights(kind: str, dataset: Dataset) -> list[float] | None:
    """One number for each class, by `Settings.class_weights`; None: all count alike. Raises as `segnet_weights`."""
    if kind == "none":
        return None
    if kind == "segnet-camvid":
        return data.segnet_weights(dataset.classes)
    counts = data.count_classes(dataset, STATISTICS_FROM)
    if kind == "median":
        return data.median_frequency_weights(counts).tolist()
    return data.enet_weights(data.class_frequencies(counts), ENET_C[kind]).tolist()
