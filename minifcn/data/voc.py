"""PASCAL VOC 2011 and 2012, segmentation: twenty kinds of objects and background.

    PATH/VOCdevkit/VOC2012/JPEGImages/ID.jpg
    PATH/VOCdevkit/VOC2012/SegmentationClass/ID.png           palette PNG: the indices are the classes, 255 is void
    PATH/VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt   one ID a line; val.txt, trainval.txt, ... likewise

PATH may be the folder above VOCdevkit, VOCdevkit, or the year's own folder; where both years lie, name the one meant.
Splits are the lists there: train, val, trainval. The FCN papers validate on "seg11valid", 736 images of VOC 2011's val
that are not in SBD's train: put the authors' seg11valid.txt (shelhamer/fcn.berkeleyvision.org, data/pascal) among the
lists of VOC2011. With `sbd:PATH` it is not needed, see `sbd.py`.

Sources: Everingham et al., "The PASCAL Visual Object Classes Challenge"; voc_layers.py of the FCN authors.
"""

from pathlib import Path

from .dataset import Dataset, Sample
from .images import read_image, read_label
from .lists import check_files, find_folder, read_names
from .palette import voc_palette

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
VOID_COLOR = (224, 224, 192)
MEAN = (122.67892, 116.66877, 104.00699)  # red first
LISTS = Path("ImageSets", "Segmentation")
_SEG11VALID = ("Put the FCN authors' seg11valid.txt there (shelhamer/fcn.berkeleyvision.org, data/pascal); "
               "it holds the lines of VOC2011's val.txt that SBD's train.txt has not.")


class Voc(Dataset):
    """The samples of one list. Raises ValueError for missing folders, lists and files.

    `names` are the IDs of the samples, where they do not come from the list of `split`.
    """

    published_mean = MEAN
    void_borders = True

    def __init__(self, root: str | Path, split: str = "train", names: list[str] | None = None) -> None:
        super().__init__("voc", CLASSES, voc_palette(len(CLASSES)), split, VOID_COLOR)
        self.root = find_year(root, split)
        list_file = self.root / LISTS / f"{split}.txt"
        self.names = names or read_names("voc", list_file, _SEG11VALID if split == "seg11valid" else "")
        check_files("voc", list_file, [file for pair in map(self._pair, self.names) for file in pair])

    def __len__(self) -> int:
        return len(self.names)

    def files(self, index: int) -> tuple[str, str]:
        image, label = self._pair(self.names[index])
        return str(image), str(label)

    def load(self, index: int) -> Sample:
        image_file, label_file = self._pair(self.names[index])
        return Sample(read_image(image_file), read_label(label_file)[0], self.names[index])

    def _pair(self, name: str) -> tuple[Path, Path]:
        return self.root / "JPEGImages" / f"{name}.jpg", self.root / "SegmentationClass" / f"{name}.png"


def find_year(root: str | Path, split: str) -> Path:
    """The folder VOC2011 or VOC2012 at or below `root`. Of two, the one that has the split's list, if only one has."""
    places = ("VOCdevkit/VOC2011", "VOCdevkit/VOC2012", "VOC2011", "VOC2012", "TrainVal/VOCdevkit/VOC2011", ".")
    first = find_folder("voc", root, places, LISTS.as_posix())
    root = Path(root).expanduser()
    years = [root / place for place in places if (root / place / LISTS).is_dir()]
    listing = [year for year in years if (year / LISTS / f"{split}.txt").is_file()]
    if len(listing) > 1:
        raise ValueError(f"voc: expected one year with the split {split!r}, got {' and '.join(map(str, listing))}. "
                         f"Name one of them: voc:{listing[-1]}")
    return listing[0] if listing else first
