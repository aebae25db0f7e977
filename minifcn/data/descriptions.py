"""What is known of a published data set without its files: names, colours, and the mean that its papers subtract."""

from typing import NamedTuple

from . import camvid, nyud, pascal_context, siftflow, voc
from .dataset import Array
from .palette import voc_palette

Color = tuple[int, int, int]


class Description(NamedTuple):
    """Of a data set, as `open_dataset` names it."""

    classes: tuple[str, ...]
    palette: Array  # (K, 3) uint8
    mean: tuple[float, ...] | None = None  # one number a channel, red first; None where none was published
    void_color: Color = (0, 0, 0)
    has_colors: bool = True  # see `Dataset`
    head: int = 0  # which output of a network with two heads has these classes


_VOC = Description(voc.CLASSES, voc_palette(len(voc.CLASSES)), voc.MEAN, voc.VOID_COLOR)

DESCRIPTIONS: dict[str, Description] = {
    "camvid": Description(camvid.CLASSES, camvid.PALETTE),
    "voc": _VOC,
    "sbd": _VOC,
    **{kind: Description(nyud.CLASSES, nyud.PALETTE, nyud.mean_of(kind), has_colors="rgb" in inputs)
       for kind, inputs in nyud.INPUTS.items()},
    "siftflow": Description(siftflow.SEMANTIC, siftflow.palette_of(siftflow.SEMANTIC), siftflow.MEAN),
    "siftflow-geo": Description(
        siftflow.GEOMETRIC, siftflow.palette_of(siftflow.GEOMETRIC), siftflow.MEAN, head=1
    ),
    "pascal-context": Description(
        pascal_context.CLASSES, voc_palette(len(pascal_context.CLASSES)), pascal_context.MEAN
    ),
}
