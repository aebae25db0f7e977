"""PASCAL-Context: VOC 2010 with every pixel labelled, in the task of the 59 most frequent classes and background.

    PATH/VOCdevkit/VOC2010/JPEGImages/ID.jpg            (or PATH/VOC2010)
    PATH/VOCdevkit/VOC2010/ImageSets/Main/train.txt     4998 IDs, and val.txt 5105
    PATH/pascal-context/trainval/ID.mat                 LabelMap: 1..459 (or PATH/trainval)
    PATH/pascal-context/labels.txt                      "1: accordion" ...: the names of those numbers

Class k of the task is looked up in labels.txt by name; three names differ between the two lists. Whatever is none of
the 59 is class 0, background, and is trained and scored like any other: there is no void.

Sources: Mottaghi et al., "The role of context for object detection and semantic segmentation in the wild", 2014;
pascalcontext_layers.py and data/pascal-context of the FCN authors.
"""

from pathlib import Path

import numpy as np

from .dataset import Array, Dataset, Sample
from .images import read_image
from .lists import check_files, find_folder, read_names
from .matlab import check_range, read_mat
from .palette import voc_palette
from .voc import CLASSES as OBJECTS

CLASSES = (
    *OBJECTS, "bag", "bed", "bench", "book", "building", "cabinet", "ceiling", "clothes", "computer", "cup", "door",
    "fence", "floor", "flower", "food", "grass", "ground", "keyboard", "light", "mountain", "mouse", "curtain",
    "platform", "sign", "plate", "road", "rock", "shelves", "sidewalk", "sky", "snow", "bedcloth", "track", "tree",
    "truck", "wall", "water", "window", "wood",
)
MEAN = (122.679, 116.669, 104.007)  # red first
_CALLED = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}  # in labels.txt
_YEARS = ("VOCdevkit/VOC2010", "VOC2010", "VOCdevkit/VOCdevkit/VOC2010")
_CONTEXT = ("pascal-context", "pascal_context", "context", ".")


class PascalContext(Dataset):
    """The samples of VOC 2010's train.txt or val.txt. Raises ValueError for missing folders, lists and files."""

    published_mean = MEAN

    def __init__(self, root: str | Path, split: str = "train") -> None:
        super().__init__("pascal-context", CLASSES, voc_palette(len(CLASSES)), split)
        self.voc = find_folder("pascal-context", root, _YEARS, "ImageSets/Main")
        self.context = find_folder("pascal-context", root, _CONTEXT, "labels.txt")
        self.class_of = class_of_number(self.context / "labels.txt")  # (460,)
        list_file = self.voc / "ImageSets" / "Main" / f"{split}.txt"
        self.names = read_names("pascal-context", list_file)
        check_files("pascal-context", list_file, [file for pair in map(self._pair, self.names) for file in pair])

    def __len__(self) -> int:
        return len(self.names)

    def files(self, index: int) -> tuple[str, str]:
        image, label = self._pair(self.names[index])
        return str(image), str(label)

    def load(self, index: int) -> Sample:
        image_file, label_file = self._pair(self.names[index])
        numbers = read_mat(label_file, "LabelMap")
        check_range(numbers, 0, len(self.class_of) - 1, label_file)
        return Sample(read_image(image_file), self.class_of[numbers], self.names[index])

    def _pair(self, name: str) -> tuple[Path, Path]:
        return self.voc / "JPEGImages" / f"{name}.jpg", self.context / "trainval" / f"{name}.mat"


def class_of_number(labels_file: Path) -> Array:
    """(number of labels + 1,) uint8: the task's class of each number of the full list, 0 for all others.

    Raises ValueError for lines that are not "number: name", numbered from 1, and for a list that lacks a class.
    """
    lines = [line for line in labels_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    number_of = {}
    for expected, line in enumerate(lines, start=1):
        number, _, name = line.partition(":")
        if number.strip() != str(expected):
            raise ValueError(f"pascal-context: expected '{expected}: name' in {labels_file}, got {line!r}. "
                             f"Use the labels.txt that comes with the data set.")
        number_of[name.replace(" ", "")] = expected
    class_of = np.zeros(len(lines) + 1, np.uint8)
    for class_number, name in enumerate(CLASSES[1:], start=1):
        listed = _CALLED.get(name, name)
        if listed not in number_of:
            raise ValueError(f"pascal-context: expected the label {listed!r} in {labels_file}, got {len(lines)} others."
                             f" Use the labels.txt that comes with the data set.")
        class_of[number_of[listed]] = class_number
    return class_of
