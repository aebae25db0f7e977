"""The GPU's rows: those of the CPU, at batches of 1 and 8, and sizes and passes that it leaves out.

Every row has the same aims: at least as fast as PyTorch with cuDNN in float32, in the better of its settings, and where
memory is the limit at least COPY of what a copy of as many bytes reaches.
"""

from collections.abc import Iterator
from functools import partial

from . import passes, rows
from .convolutions import transposed
from .rows import Row, at

RATIO, COPY = 1.0, 80.0  # PyTorch's time over ours; percent of a copy
BATCHES = (1, 8)

# What is measured first, in this order, so that a short run knows what matters most; beginnings of the rows' names.
FIRST = (
    "fcn8s 500x500, training", "segnet 360x480, training", "unet 256x256, training",
    "VGG 64>64 at 224x224", "VGG 512>512 at 28x28", "7x7 fc6", "1x1 fc7", "3x3 dilation 2,", "3x3 stride 2",
    "FCN 64>64 at 698x698", "transposed k16", "transposed k2", "bilinear k16 s8 frozen, 21 channels at 70x70, forward",
    "max-pool", "max-unpool", "batch norm", "ReLU", "softmax", "SGD", "Adam", "LRN", "avg-pool", "adaptive", "resize",
    "dropout",
)


def all_rows() -> list[Row]:
    return [*rows.all_rows(), *_sizes_of_networks(), *_light_passes()]


def jobs(wanted: str = "", batches: tuple[int, ...] = BATCHES, most_important: bool = False) -> list[tuple[Row, int]]:
    """Rows whose title contains `wanted`, with each of their batch sizes, the most important first."""
    chosen = [(importance(row), batch, row) for row in all_rows() for batch in _batches(row, batches)
              if wanted in row.title]
    chosen = [job for job in chosen if job[0] < len(FIRST) or not most_important]
    return [(row, batch) for _, batch, row in sorted(chosen, key=lambda job: job[:2])]


def importance(row: Row) -> int:
    """Its place in FIRST; the rest come after those."""
    return next((place for place, name in enumerate(FIRST) if row.title.startswith(name)), len(FIRST))


def _batches(row: Row, batches: tuple[int, ...]) -> tuple[int, ...]:
    """An update knows no batch."""
    return batches[:1] if row.phase == "update" else batches


def _sizes_of_networks() -> Iterator[Row]:
    """Convolutions as large as they are in FCN at 500x500 (padded to 698), SegNet at 360x480 and U-Net at 256x256."""
    shapes = (
        ("FCN", 64, 64, (698, 698)), ("FCN", 256, 256, (175, 175)), ("FCN", 512, 512, (44, 44)),
        ("SegNet", 64, 64, (360, 480)), ("SegNet", 256, 256, (90, 120)), ("SegNet", 512, 512, (23, 30)),
        ("U-Net", 64, 64, (256, 256)), ("U-Net", 1024, 512, (32, 32)), ("U-Net", 1024, 1024, (16, 16)),
    )
    bars = {"inference": at(None), "training": at(None), "gradients": at(None)}
    for network, channels, filters, size in shapes:
        name = f"{network} {channels}>{filters} at {size[0]}x{size[1]}"
        yield from rows.conv_rows(name, (channels, filters, 3, size), bars, winograd=True, padding=1)
    for phase in ("forward", "gradients"):
        make = partial(transposed, phase=phase, channels=1024, filters=512, kernel_size=2, stride=2, size=16)
        yield Row("transposed k2 s2, U-Net 1024>512 at 16x16", phase, make, at(None))


def _light_passes() -> Iterator[Row]:
    kinds = (("avg-pool 3x3 stride 2", passes.avg_pool), ("adaptive avg-pool to 6x6", passes.adaptive_avg_pool),
             ("resize to twice the size", passes.resize), ("dropout", passes.dropout))
    for name, make in kinds:
        for phase in ("forward", "backward"):
            yield Row(f"{name}, 64 at 224x224", phase, partial(make, phase=phase, channels=64, size=224), at(None))
