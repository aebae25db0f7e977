"""NYUDv2: rooms seen by a colour and a depth camera, forty classes.

    PATH/data/images/img_ID.png     RGB
    PATH/data/depth/img_ID.png      depth, filled, a whole number (millimetres) for each pixel
    PATH/data/hha/img_ID.png        depth as three bytes: disparity, height above ground, angle with gravity
    PATH/segmentation/img_ID.mat    segmentation: 0 void, 1..40
    PATH/train.txt, val.txt, test.txt    381, 414 and 654 IDs; trainval.txt, or else the two one after the other

What a network sees is chosen by the name: an image of 3, 4 or 6 channels.

    nyud:PATH           RGB
    nyud-rgbd:PATH      RGB and the natural logarithm of the depth, float32: early fusion
    nyud-hha:PATH       HHA, in the order of the file
    nyud-rgb-hha:PATH   RGB and HHA: late fusion, each half for a stream of its own

Sources: Silberman et al., "Indoor segmentation and support inference from RGBD images", 2012; Gupta et al., "Learning
rich features from RGB-D images", 2014 (HHA, the 40 classes); nyud_layers.py and data/nyud of the FCN authors.
"""

from pathlib import Path

import numpy as np

from .dataset import Array, Dataset, Sample
from .images import read_depth, read_image
from .lists import check_files, find_folder, read_names
from .matlab import check_range, read_mat, void_is_zero
from .palette import voc_palette

CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter",
    "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling", "books",
    "refridgerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person", "night stand",
    "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop",
)
PALETTE = voc_palette(len(CLASSES) + 1)[1:]  # (40, 3); the first of VOC's colours is black, as void is here
# Folder and published means of what can be seen; red first, HHA in the order of its file.
_SOURCES: dict[str, tuple[str, tuple[float, ...]]] = {
    "rgb": ("images", (92.318, 97.203, 116.190)),
    "depth": ("depth", (7.844,)),
    "hha": ("hha", (132.431, 94.076, 118.477)),
}
INPUTS = {"nyud": ("rgb",), "nyud-rgbd": ("rgb", "depth"), "nyud-hha": ("hha",), "nyud-rgb-hha": ("rgb", "hha")}


class Nyud(Dataset):
    """The samples of PATH/<split>.txt. Raises ValueError for missing folders, lists and files.

    `kind` is one of INPUTS. With several inputs `Sample.image` holds them all, one after the other on its last axis.
    """

    def __init__(self, root: str | Path, split: str = "train", kind: str = "nyud") -> None:
        super().__init__(kind, CLASSES, PALETTE, split)
        self.inputs = INPUTS[kind]
        self.published_mean = mean_of(kind)
        self.channels, self.has_colors = len(self.published_mean), "rgb" in self.inputs
        self.root = find_folder(kind, root, (".", "nyud"), "segmentation")
        self.names = self._read_names(split)
        files = [file for name in self.names for file in (*self._images(name), self._label(name))]
        check_files(kind, self.root / f"{split}.txt", files)

    def __len__(self) -> int:
        return len(self.names)

    def files(self, index: int) -> tuple[str, str]:
        name = self.names[index]
        return str(self._images(name)[0]), str(self._label(name))

    def load(self, index: int) -> Sample:
        name = self.names[index]
        label_file = self._label(name)
        numbers = read_mat(label_file, "segmentation")
        check_range(numbers, 0, len(CLASSES), label_file)
        parts = [_log_depth(file) if source == "depth" else read_image(file)
                 for source, file in zip(self.inputs, self._images(name), strict=True)]
        image = parts[0] if len(parts) == 1 else np.concatenate(self._alike(parts, name), axis=2)
        return Sample(image, void_is_zero(numbers), f"img_{name}")

    def _read_names(self, split: str) -> list[str]:
        list_file = self.root / f"{split}.txt"
        if split == "trainval" and not list_file.is_file():
            return self._read_names("train") + self._read_names("val")
        return read_names(self.name, list_file, "The FCN authors' lists belong there "
                                                "(shelhamer/fcn.berkeleyvision.org, data/nyud).")

    def _images(self, name: str) -> tuple[Path, ...]:
        return tuple(self.root / "data" / _SOURCES[source][0] / f"img_{name}.png" for source in self.inputs)

    def _label(self, name: str) -> Path:
        return self.root / "segmentation" / f"img_{name}.mat"

    def _alike(self, parts: list[Array], name: str) -> list[Array]:
        """The inputs, which must be of one size, for `concatenate`."""
        sizes = {part.shape[:2] for part in parts}
        if len(sizes) > 1:
            told = ", ".join(f"{file} {part.shape[0]}x{part.shape[1]}"
                             for file, part in zip(self._images(name), parts, strict=True))
            raise ValueError(f"{self.name}: expected inputs of one size, got {told}. Take all from one release.")
        return parts


def mean_of(kind: str) -> tuple[float, ...]:
    """The published mean of each channel of one of INPUTS."""
    return tuple(number for source in INPUTS[kind] for number in _SOURCES[source][1])


def _log_depth(path: Path) -> Array:
    """(H, W, 1) float32, the natural logarithm of the depth."""
    depth = read_depth(path)  # (H, W)
    if (depth <= 0).any():
        row, column = np.argwhere(depth <= 0)[0]
        raise ValueError(f"nyud: expected filled depth, above 0 everywhere, got {depth[row, column]} at row {row}, "
                         f"column {column} of {path}. Use the filled depth maps, not the camera's raw ones.")
    return np.log(depth.astype(np.float32))[:, :, None]
