"""Data sets around data sets: `Resized` changes the size, `Cached` keeps decoded samples in memory.

Decoding a JPEG and shrinking it costs more than a small network's step on it, and training reads each sample many
times: `Cached(Resized(dataset, size))` does it once.
"""

from .dataset import Dataset, Sample
from .transforms import check_size, resize


class _Around(Dataset):
    """All but the samples is the inner data set's."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.name, dataset.classes, dataset.palette, dataset.split, dataset.void_color)
        self.dataset = dataset
        self.notes = dataset.notes  # the same list: remarks that come later are seen too
        self.channels, self.published_mean = dataset.channels, dataset.published_mean
        self.has_colors, self.void_borders = dataset.has_colors, dataset.void_borders

    def __len__(self) -> int:
        return len(self.dataset)

    def files(self, index: int) -> tuple[str, str]:
        return self.dataset.files(index)


class Resized(_Around):
    """Every sample resized to `size` (H, W): the image bilinearly, the label map by nearest neighbour."""

    def __init__(self, dataset: Dataset, size: tuple[int, int]) -> None:
        super().__init__(dataset)
        self.size = check_size("Resized", size)

    def load(self, index: int) -> Sample:
        image, label, name = self.dataset[index]
        return Sample(*resize(image, label, self.size), name)


class Cached(_Around):
    """Keeps samples in memory until `max_bytes` are full; what does not fit is read anew each time.

    Nothing is thrown out again: training visits every sample once an epoch, and under that order the usual "drop the
    least recently used" would drop each sample just before its next use. Kept arrays are read-only.
    """

    def __init__(self, dataset: Dataset, max_bytes: int = 1 << 30) -> None:
        super().__init__(dataset)
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._kept: dict[int, Sample] = {}

    def __getitem__(self, index: int) -> Sample:
        number = index % len(self) if -len(self) <= index < len(self) else index
        if number in self._kept:
            return self._kept[number]
        sample = self.dataset[index]  # checked there
        size = sample.image.nbytes + sample.label.nbytes
        if self.used_bytes + size <= self.max_bytes:
            sample.image.flags.writeable = sample.label.flags.writeable = False
            self._kept[number] = sample
            self.used_bytes += size
        return sample
