"""What a data set is: numbered samples of one image and one label map, with class names and colours.

    dataset[i] -> Sample(image, label, name)

Every sample passes `check_sample` on its way out, whatever its source, so that the code behind it (transforms,
batches, loss) may trust shapes, dtypes and label values. A wrong label would otherwise come up much later, as an
index out of range inside a loss.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

Array = np.ndarray
VOID = 255  # the label of pixels that are neither trained on nor scored


class Sample(NamedTuple):
    """One picture and its truth."""

    image: Array  # (H, W, 3) uint8, RGB; (H, W, channels) uint8 or float32 where a data set has more to see
    label: Array  # (H, W) uint8, class numbers, 255 = void
    name: str


class Dataset:
    """Base of all data sets; a subclass says how many samples there are and loads number i.

    Attributes:
        name: what the command line calls it.
        classes: K class names, in the order of the label values.
        palette: (K, 3) uint8, the RGB colour of each class; `void_color` is that of void.
        split: "train", "val", ...
        ignore_index: always 255; other void values are mapped to it when a file is read.
        notes: remarks for the user, each to be said once (for example: "palette read as indices").
        channels: of an image: 3, more where depth comes beside the colours.
        published_mean: the mean that the papers subtract, one number a channel in the order of the image (red first);
            None where none was published.
        has_colors: whether an image's first three channels are red, green and blue; those of HHA, which are not, keep
            their order in networks that want blue first.
        void_borders: whether a line of void runs around every object, as in VOC.
    """

    ignore_index = VOID
    channels = 3
    published_mean: tuple[float, ...] | None = None
    has_colors = True
    void_borders = False

    def __init__(
        self,
        name: str,
        classes: tuple[str, ...],
        palette: Array,
        split: str,
        void_color: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self.name = name
        self.classes = tuple(classes)
        self.palette = np.asarray(palette, dtype=np.uint8)  # (K, 3)
        self.split = split
        self.void_color = void_color
        self.notes: list[str] = []
        if self.palette.shape != (len(self.classes), 3):
            raise ValueError(
                f"data: expected a palette of shape ({len(self.classes)}, 3), one colour for each class, "
                f"got {self.palette.shape}. Give as many colours as class names."
            )

    def __len__(self) -> int:
        raise NotImplementedError

    def load(self, index: int) -> Sample:
        """Sample `index` (0 <= index < len), not yet checked: what a subclass defines and `[]` calls."""
        raise NotImplementedError

    def files(self, index: int) -> tuple[str, str]:
        """Where image and label of sample `index` come from, for messages."""
        return f"image {index} of {self.name} {self.split}", f"label {index} of {self.name} {self.split}"

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`, checked; negative numbers count from the end. Raises IndexError, ValueError, TypeError."""
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(
                f"data: expected a sample number below {len(self)} ({self.name} {self.split}), got {index}. "
                f"Numbers start at 0."
            )
        sample = self.load(number)
        check_sample(sample, len(self.classes), *self.files(number), channels=self.channels)
        return sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def check_sample(
    sample: Sample, num_classes: int, image_file: str = "", label_file: str = "", *, channels: int = 3
) -> None:
    """Raises unless the sample is an RGB image with a label map of its size, of values 0..num_classes-1 or 255.

    An image of more `channels` may also be float32: depth has more values than bytes have.

    Raises TypeError for another dtype than uint8, ValueError for shapes and label values; the message names the file.
    """
    image, label, name = sample
    image_file, label_file = image_file or name, label_file or name
    for what, array, file in (("image", image, image_file), ("label", label, label_file)):
        if array.dtype != np.uint8 and not (what == "image" and channels > 3 and array.dtype == np.float32):
            raise TypeError(
                f"data: expected the {what} in uint8, got {array.dtype} ({file}). "
                f"Convert it with .astype(np.uint8), after scaling it to 0..255 if it is an image."
            )
    if image.ndim != 3 or image.shape[2] != channels:
        kind = "an RGB image" if channels == 3 else "an image"
        raise ValueError(
            f"data: expected {kind} of shape (H, W, {channels}), got {image.shape} ({image_file}). "
            f"Use read_image, which converts grey and transparent images."
        )
    if label.shape != image.shape[:2]:
        raise ValueError(
            f"data: expected a mask of its image's size, {_size(image)} (HxW, {image_file}), "
            f"got {_size(label)} ({label_file}). "
            f"Check that they belong together; resize masks with nearest neighbour only, never bilinear."
        )
    _check_values(label, num_classes, label_file)


def _check_values(label: Array, num_classes: int, label_file: str) -> None:
    outside = (label >= num_classes) & (label != VOID)  # (H, W)
    if not outside.any():
        return
    row, column = np.argwhere(outside)[0]
    raise ValueError(
        f"data: expected labels 0..{num_classes - 1} ({num_classes} classes) or 255 (void), got {label[row, column]} "
        f"at row {row}, column {column} of {label_file} ({np.count_nonzero(outside)} such pixels in all). "
        f"Set such pixels to 255 to leave them out, or name their class."
    )


def _size(array: Array) -> str:
    return "x".join(str(n) for n in array.shape[:2])
