"""The picture that is there when nobody gives one: a street scene, and pictures as a network wants them."""

import numpy as np
from numpy.typing import DTypeLike

from ..data import Sample, open_dataset, to_batch
from ..ops.check import Array


def built_in_image(size: tuple[int, int]) -> Array:
    """A street scene that no training sees: (H, W, 3) uint8. Raises ValueError for a size below 32x32."""
    return open_dataset("street", "val", size=size)[0].image


def as_batch(image: Array, dtype: DTypeLike = np.float32) -> Array:
    """image (H, W, 3) uint8 -> x (1, 3, H, W), about zero and of size one."""
    blank = np.zeros(image.shape[:2], np.uint8)
    return to_batch([Sample(image, blank, "image")], 110.0, 1 / 60, dtype)[0]
