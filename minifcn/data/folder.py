"""Any folder of images and masks as a data set.

    PATH/images/*.png|jpg|jpeg|bmp|tif|tiff    pictures
    PATH/masks/*.png (or PATH/labels/)         their masks, of the same name up to the ending
    PATH/classes.txt                           optional: one class a line, "name" or "name r g b"

With PATH/train/images, PATH/train/masks, PATH/val/images, ... the splits are yours; otherwise a fifth of the pairs,
chosen by the seed, is "val" and the rest "train".

A mask holds class numbers from 0 on in one channel, and 255 for void. Where classes.txt gives colours, masks may also
be RGB pictures in those colours; a line "void r g b" names the colour of pixels to leave out. Without classes.txt
the classes are 0 to the highest number that any mask holds, named class0, class1, ...
"""

from pathlib import Path

import numpy as np

from .class_list import ClassList, read_class_list
from .dataset import VOID, Array, Dataset, Sample
from .images import read_image, read_label
from .palette import voc_palette

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
Pair = tuple[Path, Path]


class Folder(Dataset):
    """The pairs of one split below `root`. Raises ValueError, naming folder or file, for whatever does not fit."""

    def __init__(self, root: str | Path, split: str = "train", *, seed: int = 0) -> None:
        self.root = Path(root).expanduser()
        pairs_by_split = _find_splits(self.root, split, seed)
        self.pairs = pairs_by_split[split]
        class_list = read_class_list(self.root / "classes.txt")
        self._colors = class_list.colors if class_list else None
        notes: list[str] = []
        if class_list is None:
            # All splits are counted, so that train and val agree on the classes.
            masks = [mask for pairs in pairs_by_split.values() for _, mask in pairs]
            class_list, notes = _count_classes(masks)
        else:
            _refuse_black_and_white([mask for _, mask in self.pairs], self._colors)
        super().__init__("folder", class_list.names, class_list.palette, split, class_list.void_color)
        self.notes.extend(notes)

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self, index: int) -> tuple[str, str]:
        image, mask = self.pairs[index]
        return str(image), str(mask)

    def load(self, index: int) -> Sample:
        image_file, mask_file = self.pairs[index]
        label, has_palette = read_label(mask_file, self._colors)
        if has_palette and not any("palette" in note for note in self.notes):
            self.notes.append(_palette_note(mask_file))
        return Sample(read_image(image_file), label, image_file.stem)


def _find_splits(root: Path, wanted: str, seed: int) -> dict[str, list[Pair]]:
    """The pairs of every split that the folder has, or that the seed makes."""
    if not root.is_dir():
        raise ValueError(f"folder: expected a folder at {root}, got none. Check the path behind 'folder:'.")
    if (root / "images").is_dir():
        splits = _divide(_find_pairs(root), root, seed)
    else:
        splits = {path.parent.name: _find_pairs(path.parent) for path in sorted(root.glob("*/images")) if path.is_dir()}
    if not splits:
        raise ValueError(
            f"folder: expected {root / 'images'} or {root / 'train' / 'images'}, got neither. "
            f"Put pictures in PATH/images and masks of the same names in PATH/masks."
        )
    if wanted not in splits:
        raise ValueError(
            f"folder: expected a split of {root}, one of {', '.join(splits)}, got {wanted!r}. "
            f"Make {root / wanted / 'images'}, or keep all in PATH/images to have it split for you."
        )
    return splits


def _find_pairs(folder: Path) -> list[Pair]:
    """Images of `folder`/images with their masks, sorted by name."""
    mask_folder = next((folder / name for name in ("masks", "labels") if (folder / name).is_dir()), None)
    if mask_folder is None:
        raise ValueError(
            f"folder: expected masks in {folder / 'masks'}, got no such folder. Put one PNG per image there."
        )
    images: dict[str, Path] = {}
    for path in sorted((folder / "images").iterdir()):
        if path.suffix.lower() not in _ENDINGS or path.name.startswith("."):
            continue
        if path.stem in images:
            raise ValueError(
                f"folder: expected names that differ before the ending, got {images[path.stem]} and {path.name}. "
                f"Rename one of them, and its mask."
            )
        images[path.stem] = path
    if not images:
        raise ValueError(
            f"folder: expected images ({', '.join(_ENDINGS)}) in {folder / 'images'}, got none. The data set is empty."
        )
    masks = {path.stem: path for path in mask_folder.iterdir() if path.suffix.lower() == ".png"}
    missing = [stem for stem in images if stem not in masks]
    if missing:
        raise ValueError(
            f"folder: expected a mask {mask_folder / missing[0]}.png for {images[missing[0]].name}, got none "
            f"({len(missing)} of {len(images)} images have no mask). Masks are PNG files named like their images."
        )
    return [(path, masks[stem]) for stem, path in images.items()]


def _divide(pairs: list[Pair], root: Path, seed: int) -> dict[str, list[Pair]]:
    """A seeded fifth for val, the rest for train, each in order of name."""
    if len(pairs) < 2:
        raise ValueError(
            f"folder: expected at least 2 images in {root / 'images'} to split them into train and val, "
            f"got {len(pairs)}. Add images, or make PATH/train/images and PATH/val/images."
        )
    order = np.random.default_rng(seed).permutation(len(pairs))
    val = set(order[: max(1, len(pairs) // 5)].tolist())
    return {
        "train": [pair for number, pair in enumerate(pairs) if number not in val],
        "val": [pair for number, pair in enumerate(pairs) if number in val],
    }


def _count_classes(masks: list[Path]) -> tuple[ClassList, list[str]]:
    """Classes 0 to the highest number in the masks, and notes on what looks odd."""
    counts = np.zeros(256, dtype=np.int64)
    notes: list[str] = []
    for mask in masks:
        label, has_palette = read_label(mask)
        counts += np.bincount(label.ravel(), minlength=256)
        if has_palette and not notes:
            notes.append(_palette_note(mask))
    values = np.flatnonzero(counts[:VOID])  # numbers that occur, void apart
    if values.max(initial=0) == 0:
        raise _one_class(masks[0], counts)
    num_classes = int(values[-1]) + 1
    if len(values) < num_classes:
        notes.append(
            f"masks hold only {len(values)} of the class numbers 0..{num_classes - 1}: {values.tolist()}. "
            f"If there are no more classes, renumber them from 0 without gaps."
        )
    names = tuple(f"class{number}" for number in range(num_classes))
    return ClassList(names, voc_palette(num_classes), None, (224, 224, 192)), notes


def _refuse_black_and_white(masks: list[Path], colors: dict[tuple[int, int, int], int] | None) -> None:
    """Raises if no mask holds anything but 0 and 255: usually looks at the first mask and no further."""
    counts = np.zeros(256, dtype=np.int64)
    for mask in masks:
        counts += np.bincount(read_label(mask, colors)[0].ravel(), minlength=256)
        if counts[1:VOID].any():
            return
    if counts[VOID]:
        raise _one_class(masks[0], counts)


def _one_class(mask: Path, counts: Array) -> ValueError:
    found = ", ".join(str(value) for value in np.flatnonzero(counts))
    return ValueError(
        f"folder: expected at least two classes in the masks, got only the values {found} ({mask} and all others). "
        f"255 is void; a mask saved as 0/255 has one class only: use 0 and 1."
    )


def _palette_note(mask: Path) -> str:
    return f"masks with a palette (such as {mask.name}) are read as indices: the numbers count, not the colours."
