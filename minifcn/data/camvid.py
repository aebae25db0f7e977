"""CamVid: road scenes filmed from a car in Cambridge, in the form in which SegNet's authors gave them out.

    PATH/train.txt         one sample a line: "train/0001TP_006690.png trainannot/0001TP_006690.png"
    PATH/train/*.png       pictures (PNG or JPEG), 360x480 (HxW)
    PATH/trainannot/*.png  one channel of class numbers, 0..10, and 11 for void
    PATH/val.txt, ...      likewise; test.txt too where you have it

The published lists begin every path with "/SegNet/CamVid/": a path is therefore matched by its tail, the longest that
names a file below PATH.

Sources: Brostow, Fauqueur, Cipolla, "Semantic object classes in video: a high-definition ground truth database", 2009;
class order and colours from the SegNet tutorial, Scripts/test_segmentation_camvid.py.
"""

from pathlib import Path

import numpy as np

from .dataset import VOID, Dataset, Sample
from .images import read_image, read_label

_COLORS = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
CLASSES = tuple(_COLORS)
PALETTE = np.array(list(_COLORS.values()), dtype=np.uint8)  # (11, 3)
# By class, for the loss: the numbers in the authors' own network file (SegNet tutorial, Models/segnet_train.prototxt).
SEGNET_WEIGHTS = {
    "sky": 0.2595, "building": 0.1826, "pole": 4.5640, "road": 0.1417, "pavement": 0.9051, "tree": 0.3826,
    "sign": 9.6446, "fence": 1.8418, "car": 0.6823, "pedestrian": 6.2478, "bicyclist": 7.3614,
}
_VOID_IN_FILE = 11


class CamVid(Dataset):
    """The samples of PATH/<split>.txt, in their own size. Raises ValueError for missing folders, lists and files."""

    def __init__(self, root: str | Path, split: str = "train") -> None:
        super().__init__("camvid", CLASSES, PALETTE, split)
        self.root = Path(root).expanduser()
        self.pairs = _read_list(self.root, split)

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self, index: int) -> tuple[str, str]:
        image, label = self.pairs[index]
        return str(image), str(label)

    def load(self, index: int) -> Sample:
        image_file, label_file = self.pairs[index]
        label, _ = read_label(label_file)
        label[label == _VOID_IN_FILE] = VOID
        return Sample(read_image(image_file), label, image_file.stem)


def segnet_weights(classes: tuple[str, ...]) -> list[float]:
    """SEGNET_WEIGHTS in the order of `classes`. Raises ValueError unless these are CamVid's eleven, in any order.

    SegNet's authors call them median-frequency weights; see `median_frequency_weights` for how far they are.
    """
    if sorted(classes) != sorted(CLASSES):
        raise ValueError(
            f"segnet-camvid: expected CamVid's eleven classes ({', '.join(CLASSES)}), got {len(classes)} "
            f"({', '.join(classes)}). Use 'median' or 'enet', which are computed from the data."
        )
    return [SEGNET_WEIGHTS[name] for name in classes]


def _read_list(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The image and label files that PATH/<split>.txt names, all of them present."""
    if not root.is_dir():
        raise ValueError(f"camvid: expected a folder at {root}, got none. Check the path behind 'camvid:'.")
    list_file = root / f"{split}.txt"
    if not list_file.is_file():
        found = ", ".join(sorted(path.name for path in root.glob("*.txt"))) or "no .txt file"
        raise ValueError(
            f"camvid: expected a list of samples in {list_file}, got {found} in that folder. "
            f"PATH must be the folder that holds train.txt and val.txt."
        )
    pairs = []
    for number, line in enumerate(list_file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        words = line.split()
        if len(words) != 2:
            raise ValueError(
                f"camvid: expected 'image label', two paths, in line {number} of {list_file}, got {line!r}. "
                f"Paths must not contain spaces."
            )
        image, label = (_below(root, word, f"line {number} of {list_file}") for word in words)
        pairs.append((image, label))
    if not pairs:
        raise ValueError(
            f"camvid: expected at least one sample in {list_file}, got an empty list. Fetch the list anew."
        )
    return pairs


def _below(root: Path, listed: str, where: str) -> Path:
    """The file below `root` whose path is the longest tail of the listed one."""
    parts = Path(listed.lstrip("/")).parts
    for start in range(len(parts)):
        candidate = root.joinpath(*parts[start:])
        if candidate.is_file():
            return candidate
    raise ValueError(
        f"camvid: expected a file below {root} that ends in {'/'.join(parts[-2:])} ({where}), got none. "
        f"Copy the missing file there, or delete the line."
    )
