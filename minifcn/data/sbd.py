"""SBD, the Semantic Boundaries Dataset: many more labels for PASCAL VOC's images, in MATLAB files.

    PATH/benchmark_RELEASE/dataset/img/ID.jpg
    PATH/benchmark_RELEASE/dataset/cls/ID.mat     GTcls.Segmentation: 0..20, VOC's classes; no void border
    PATH/benchmark_RELEASE/dataset/train.txt      8498 IDs, and val.txt 2857
    PATH/VOCdevkit/VOC2011/...                    beside it, for the split seg11valid

PATH may also be benchmark_RELEASE or its folder dataset. The FCN papers train on SBD's train and validate on the images
of VOC 2011's val that are not among them, with VOC's own labels: that is the split "seg11valid" here. It is worked out
from the two lists (736 names), unless the authors' seg11valid.txt lies among VOC's. So

    minifcn train --data sbd:PATH --splits train seg11valid

Sources: Hariharan et al., "Semantic contours from inverse detectors", 2011; voc_layers.py and data/pascal of the FCN
authors.
"""

from pathlib import Path

from .dataset import Dataset, Sample
from .images import read_image
from .lists import check_files, find_folder, read_names
from .matlab import check_range, read_mat
from .palette import voc_palette
from .voc import CLASSES, LISTS, MEAN, VOID_COLOR, Voc, find_year

SEG11VALID = "seg11valid"


def open_sbd(root: str | Path, split: str = "train") -> Dataset:
    """SBD's train or val, or the FCN papers' seg11valid. Raises ValueError for missing folders, lists and files."""
    if split != SEG11VALID:
        return Sbd(root, split)
    voc = find_year(root, SEG11VALID)
    if (voc / LISTS / f"{SEG11VALID}.txt").is_file():
        return Voc(voc, SEG11VALID)
    trained_on = set(read_names("sbd", _find(root) / "train.txt"))
    names = [name for name in read_names("voc", voc / LISTS / "val.txt") if name not in trained_on]
    return Voc(voc, SEG11VALID, names)


class Sbd(Dataset):
    """The samples of SBD's train.txt or val.txt."""

    published_mean = MEAN

    def __init__(self, root: str | Path, split: str = "train") -> None:
        super().__init__("sbd", CLASSES, voc_palette(len(CLASSES)), split, VOID_COLOR)
        self.root = _find(root)
        list_file = self.root / f"{split}.txt"
        self.names = read_names("sbd", list_file)
        check_files("sbd", list_file, [file for pair in map(self._pair, self.names) for file in pair])

    def __len__(self) -> int:
        return len(self.names)

    def files(self, index: int) -> tuple[str, str]:
        image, label = self._pair(self.names[index])
        return str(image), str(label)

    def load(self, index: int) -> Sample:
        image_file, label_file = self._pair(self.names[index])
        label = read_mat(label_file, "GTcls", "Segmentation")
        check_range(label, 0, len(CLASSES) - 1, label_file)
        return Sample(read_image(image_file), label.astype("uint8"), self.names[index])

    def _pair(self, name: str) -> tuple[Path, Path]:
        return self.root / "img" / f"{name}.jpg", self.root / "cls" / f"{name}.mat"


def _find(root: str | Path) -> Path:
    return find_folder("sbd", root, ("benchmark_RELEASE/dataset", "dataset", "."), "cls")
