"""Where samples come from, and how they become batches.

    dataset = open_dataset("street")                                    # built in: no download
    dataset = open_dataset("camvid:PATH", "val")                        # real road scenes
    dataset = open_dataset("folder:PATH")                               # your own images and masks
    dataset = open_dataset("voc:PATH", "trainval")                      # published ones, in their own layout
    mean, std = channel_statistics(dataset)
    indices = batch_indices(len(dataset), batch_size=8, seed=0, step=0)
    x, target = load_batch(dataset, indices, mean=mean, scale=1 / std)  # (8, 3, H, W), (8, H, W)

Only NumPy, Pillow and SciPy stand behind this package, and the latter two are imported when they are first needed.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from .batches import batch_indices, load_batch, reordered, to_batch, valid_pixels
from .cache import Cached, Resized
from .camvid import CamVid, segnet_weights
from .dataset import VOID, Dataset, Sample, check_sample
from .descriptions import DESCRIPTIONS, Description
from .elastic import random_elastic
from .folder import Folder
from .images import read_image, read_label, save_image, save_label
from .nyud import INPUTS, Nyud
from .palette import colorize, voc_palette
from .pascal_context import PascalContext
from .sbd import Sbd, open_sbd
from .siftflow import SiftFlow
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
from .voc import Voc
from .weight_map import border_weights, unet_weight_map

__all__ = [
    "DESCRIPTIONS",
    "PUBLISHED",
    "VOID",
    "Augmentation",
    "Cached",
    "CamVid",
    "ClassCounts",
    "Dataset",
    "Description",
    "Folder",
    "Nyud",
    "PascalContext",
    "Resized",
    "Sample",
    "Sbd",
    "SiftFlow",
    "Street",
    "Voc",
    "batch_indices",
    "border_weights",
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
    "random_elastic",
    "random_flip",
    "random_scale",
    "read_image",
    "read_label",
    "reordered",
    "resize",
    "resize_image",
    "resize_label",
    "save_image",
    "save_label",
    "segnet_weights",
    "to_batch",
    "unet_weight_map",
    "valid_pixels",
    "voc_palette",
]


# What is read from the disk as it was published: name -> opener of (path, split).
PUBLISHED: dict[str, Callable[[str, str], Dataset]] = {
    "camvid": CamVid, "voc": Voc, "sbd": open_sbd,
    **{kind: partial(Nyud, kind=kind) for kind in INPUTS},
    "siftflow": SiftFlow, "siftflow-geo": partial(SiftFlow, labels="geometric"), "pascal-context": PascalContext,
}


def open_dataset(spec: str, split: str = "train", *, size: tuple[int, int] | None = None, seed: int = 0) -> Dataset:
    """The data set that `spec` names: "street", "folder:PATH", or one of PUBLISHED as "voc:PATH".

    `size` (H, W) is that of street's scenes (default 96x128). Files come in their own size: wrap them in `Resized`.
    `seed` chooses street's scenes, and which images of an unsplit folder are "val".
    Raises ValueError for other words, missing folders or lists, unknown splits and empty data sets.
    """
    kind, colon, path = spec.partition(":")
    if spec == "street":
        return Street(split, size=size, seed=seed) if size else Street(split, seed=seed)
    if kind == "folder" and path:
        return Folder(path, split, seed=seed)
    if kind in PUBLISHED and path:
        return PUBLISHED[kind](path, split)
    hint = f"Did you mean folder:{spec}?" if not colon and Path(spec).is_dir() else "PATH is a folder of yours."
    raise ValueError(f"data: expected street, folder:PATH or KIND:PATH with KIND among {', '.join(PUBLISHED)}, "
                     f"got {spec!r}. {hint}")
