"""What is done to a picture before a network sees it: weights are of use only on what looks like what they learnt from.

Colours in their order, their mean subtracted, in their scale: networks from Caffe want blue first, 0..255, and a mean
that the papers print; torchvision's want red first, 0..1, mean and deviation of ImageNet; what is trained here goes by
the statistics of its own training images. A checkpoint says which.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .data import VOID, Sample, reordered, resize_image, to_batch
from .data.voc import MEAN as IMAGENET_MEAN  # the FCN papers' for all networks that started from ImageNet's
from .ops.check import Array


@dataclass(frozen=True)
class Preprocessing:
    """x = (pixel - mean) * scale, pixels 0..255, in an order of channels. The default passes pixels on as they are.

    Attributes:
        mean, scale: one number a channel, red first, or one for all. A mean of () is not known: see `completed`.
        size: (H, W) that pictures are resized to, None for their own size.
        channel_order: "RGB", or "BGR" for networks from Caffe.
    """

    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    size: tuple[int, int] | None = None
    channel_order: str = "RGB"

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> "Preprocessing":
        """As a checkpoint's meta data have it: mean and scale in the order of the network's channels."""
        size, order = meta.get("size"), meta.get("channel_order", cls.channel_order)
        mean, scale = (reordered(tuple(meta.get(name, getattr(cls, name))), order) for name in ("mean", "scale"))
        return cls(mean, scale, tuple(size) if size else None, order)

    def meta(self) -> dict[str, Any]:
        """What `from_meta` reads."""
        mean, scale = (list(reordered(numbers, self.channel_order)) for numbers in (self.mean, self.scale))
        return {"mean": mean, "scale": scale, "channel_order": self.channel_order,
                "size": list(self.size) if self.size else None}

    def completed(self, mean: tuple[float, ...] | None = None, has_colors: bool = True) -> "Preprocessing":
        """With what published weights leave open and the data say.

        Args:
            mean: the data set's published one, if it has one; else ImageNet's is taken.
            has_colors: False where no channel is a colour (HHA): then none changes its place.
        """
        order = self.channel_order if has_colors else "RGB"
        return replace(self, mean=self.mean or mean or IMAGENET_MEAN, channel_order=order)

    def __call__(self, image: Array, dtype: Any) -> Array:
        """image (H, W, C), red first -> x (1, C, H or size, W or size)."""
        if self.size is not None:
            image = resize_image(image, self.size)
        blank = np.full(image.shape[:2], VOID, np.uint8)
        return to_batch([Sample(image, blank, "image")], self.mean, self.scale, dtype, self.channel_order)[0]
