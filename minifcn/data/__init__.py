"""Where samples come from, and how they become batches.

    dataset = open_dataset("street")                                    # built in: no download
    dataset = open_dataset("camvid:PATH", "val")                        # real road scenes
    dataset = open_dataset("folder:PATH")                               # your own images and masks
    mean, std = channel_statistics(dataset)
    indices = batch_indices(len(dataset), batch_size=8, seed=0, step=0)
    x, target = load_batch(dataset, indices, mean=mean, scale=1 / std)  # (8, 3, H, W), (8, H, W)

Only NumPy and Pillow stand behind this package, and Pillow is imported when the first file is opened.
"""

from pathlib import Path

from .batches import batch_indices, load_batch, to_batch, valid_pixels
from .cache import Cached, Resized
from .camvid import CamVid
from .dataset import VOID, Dataset, Sample, check_sample
from .folder import Folder
from .images import read_image, read_label, save_image, save_label
from .palette import colorize, voc_palette
from .statistics import (
    ClassCounts,
    channel_statistics,
    class_frequencies,
    count_classes,
    enet_weights,
    median_frequency_weights,
)
from .street import Street
from .transforms import (
    Augmentation,
    random_crop,
    random_flip,
    random_scale,
    resize,
    resize_image,
    resize_label,
)

__all__ = [
    "VOID",
    "Augmentation",
    "Cached",
    "CamVid",
    "ClassCounts",
    "Dataset",
    "Folder",
    "Resized",
    "Sample",
    "Street",
    "batch_indices",
    "channel_statistics",
    "check_sample",
    "class_frequencies",
    "colorize",
    "count_classes",
    "enet_weights",
    "load_batch",
    "median_frequency_weights",
    "open_dataset",
    "random_crop",
    "random_flip",
    "random_scale",
    "read_image",
    "read_label",
    "resize",
    "resize_image",
    "resize_label",
    "save_image",
    "save_label",
    "to_batch",
    "valid_pixels",
    "voc_palette",
]


def open_dataset(spec: str, split: str = "train", *, size: tuple[int, int] | None = None, seed: int = 0) -> Dataset:
    """The data set that `spec` names: "street", "camvid:PATH" or "folder:PATH".

    `size` (H, W) is that of street's scenes (default 96x128). Files come in their own size: wrap them in `Resized`.
    `seed` chooses street's scenes, and which images of an unsplit folder are "val".
    Raises ValueError for other words, missing folders or lists, unknown splits and empty data sets.
    """
    kind, colon, path = spec.partition(":")
    if spec == "street":
        return Street(split, size=size, seed=seed) if size else Street(split, seed=seed)
    if kind == "camvid" and path:
        return CamVid(path, split)
    if kind == "folder" and path:
        return Folder(path, split, seed=seed)
    hint = f"Did you mean folder:{spec}?" if not colon and Path(spec).is_dir() else "PATH is a folder of yours."
    raise ValueError(f"data: expected street, camvid:PATH or folder:PATH, got {spec!r}. {hint}")
