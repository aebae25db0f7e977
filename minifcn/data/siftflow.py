"""SIFT Flow: outdoor scenes with two label maps each, what things are and how they lie in space.

    PATH/Images/spatial_envelope_256x256_static_8outdoorcategories/ID.jpg          256x256
    PATH/SemanticLabels/spatial_envelope_256x256_static_8outdoorcategories/ID.mat  S: 0 void, 1..33
    PATH/GeoLabels/spatial_envelope_256x256_static_8outdoorcategories/ID.mat       S: -1 void, 1..3
    PATH/trainval.txt, PATH/test.txt                                               2488 - 2 and 200 IDs, one a line

The lists are the FCN authors' (shelhamer/fcn.berkeleyvision.org, data/sift-flow): they leave out two images without
labels. `siftflow:PATH` has the 33 semantic classes, `siftflow-geo:PATH` the 3 geometric ones; `SiftFlow.both` gives
both maps of a sample, for a network with two heads. Cow, desert and moon are missing from the test set: a network that
never says them has them *absent*, one that does is marked down for it; the papers leave these classes out.

Sources: Liu, Yuen, Torralba, "Nonparametric scene parsing", 2009; Tighe and Lazebnik, "SuperParsing", 2010 (geometric
labels); siftflow_layers.py of the FCN authors.
"""

from pathlib import Path

import numpy as np

from .dataset import Array, Dataset, Sample
from .images import read_image
from .lists import check_files, find_folder, read_names
from .matlab import check_range, read_mat, void_is_zero
from .palette import voc_palette

SEMANTIC = (
    "awning", "balcony", "bird", "boat", "bridge", "building", "bus", "car", "cow", "crosswalk", "desert", "door",
    "fence", "field", "grass", "moon", "mountain", "person", "plant", "pole", "river", "road", "rock", "sand", "sea",
    "sidewalk", "sign", "sky", "staircase", "streetlight", "sun", "tree", "window",
)
GEOMETRIC = ("sky", "horizontal", "vertical")
MEAN = (108.353, 115.294, 114.578)  # red first
_LABELINGS = {"semantic": ("SemanticLabels", SEMANTIC), "geometric": ("GeoLabels", GEOMETRIC)}
_INNER = "spatial_envelope_256x256_static_8outdoorcategories"


class SiftFlow(Dataset):
    """The samples of PATH/<split>.txt with one of the two labelings. Raises ValueError for what is missing."""

    published_mean = MEAN

    def __init__(self, root: str | Path, split: str = "trainval", labels: str = "semantic") -> None:
        name = "siftflow" if labels == "semantic" else "siftflow-geo"
        classes = _LABELINGS[labels][1]
        super().__init__(name, classes, palette_of(classes), split)
        self.root = find_folder("siftflow", root, (".",), "Images")
        self.labels = labels
        list_file = self.root / f"{split}.txt"
        self.names = read_names("siftflow", list_file, "The FCN authors' trainval.txt and test.txt belong there "
                                                       "(shelhamer/fcn.berkeleyvision.org, data/sift-flow).")
        files = [self._image(name) for name in self.names] + [self._label(name, labels) for name in self.names]
        check_files("siftflow", list_file, files)

    def __len__(self) -> int:
        return len(self.names)

    def files(self, index: int) -> tuple[str, str]:
        name = self.names[index]
        return str(self._image(name)), str(self._label(name, self.labels))

    def load(self, index: int) -> Sample:
        name = self.names[index]
        return Sample(read_image(self._image(name)), self._read(name, self.labels), name)

    def both(self, index: int) -> tuple[Array, Array]:
        """The semantic and the geometric label map of sample `index`, (H, W) uint8 each, 255 = void."""
        return self._read(self.names[index], "semantic"), self._read(self.names[index], "geometric")

    def _image(self, name: str) -> Path:
        return self.root / "Images" / _INNER / f"{name}.jpg"

    def _label(self, name: str, labels: str) -> Path:
        return self.root / _LABELINGS[labels][0] / _INNER / f"{name}.mat"

    def _read(self, name: str, labels: str) -> Array:
        file = self._label(name, labels)
        numbers = read_mat(file, "S")
        if labels == "geometric":
            numbers = np.where(numbers == -1, 0, numbers)
        check_range(numbers, 0, len(_LABELINGS[labels][1]), file)
        return void_is_zero(numbers)


def palette_of(classes: tuple[str, ...]) -> Array:
    """VOC's colours from the second on: the first is black, as void is here."""
    return voc_palette(len(classes) + 1)[1:]
