"""Street: built-in procedural street scenes, with exact labels and no download.

Sky, building, road, pavement, tree, car and pole, seen along a street in one-point perspective; pixels at the edges
between classes are void (255) in about half of the cases, as annotators leave them out where they are unsure.

Sizes, in pixels of the default scene of 96x128 (HxW): poles are the thinnest things, no part of one is thinner than 7
pixels and no shaft than 8 (7 where its edge turns void), so that a network whose finest features have stride 8 still
sees them, and nothing nearer hides a part of one. Trunks of trees are 7 pixels wide or more, cars 16, whole trees 22.
In a larger picture the same street is drawn larger, by min(H / 96, W / 128); in a smaller one all but poles shrinks.

A scene is a pure function of (seed, split, number): no state, the same bits every time, in any order.
"""

import numpy as np

from ..dataset import VOID, Array, Dataset, Sample
from ..transforms import check_size
from .backdrop import paint_ground, paint_sky
from .canvas import Canvas, planes
from .houses import paint_houses
from .layout import place_things
from .view import CLASSES, SKY, View, choose_view

PALETTE = np.array(
    [(112, 178, 232), (178, 98, 76), (92, 88, 110), (226, 206, 172), (76, 152, 70), (206, 56, 84), (250, 204, 60)],
    dtype=np.uint8,
)  # (7, 3), in the order of CLASSES
SPLITS = {"train": 256, "val": 64, "test": 64}
# How much grain each class shows, in grey levels: asphalt and leaves are rough, sky and paint smooth.
_GRAIN = np.array([1.5, 3.5, 4.5, 3.5, 6, 2.5, 2.5], dtype=np.float32)


class Street(Dataset):
    """`SPLITS[split]` scenes of `size` (H, W), or `length` scenes; `void` is the share of edge pixels set to 255.

    Raises ValueError for an unknown split, a size below 32x32, a negative seed, a share outside 0..1.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        size: tuple[int, int] = (96, 128),
        seed: int = 0,
        length: int | None = None,
        void: float = 0.5,
    ) -> None:
        super().__init__("street", CLASSES, PALETTE, split)
        if split not in SPLITS:
            raise ValueError(f"street: expected a split, one of {', '.join(SPLITS)}, got {split!r}. Use one of these.")
        self.size = check_size("street", size)
        if min(self.size) < 32:
            raise ValueError(
                f"street: expected a size of at least 32x32, got {size}. Poles are 7 pixels wide at any size."
            )
        if seed < 0:
            raise ValueError(f"street: expected a seed of 0 or more, got {seed}. Use a positive whole number.")
        if not 0 <= void <= 1:
            raise ValueError(
                f"street: expected a share of void edge pixels between 0 and 1, got {void}. The default is 0.5."
            )
        if length is not None and length < 1:
            raise ValueError(
                f"street: expected at least one scene, got length {length}. The default is {SPLITS[split]}."
            )
        self.seed, self.void = seed, void
        self._length = SPLITS[split] if length is None else length

    def __len__(self) -> int:
        return self._length

    def load(self, index: int) -> Sample:
        split_number = list(SPLITS).index(self.split)
        # The last number sets scenes apart from other users of the seed (NumPy pads short seeds with zeros).
        rng = np.random.default_rng([self.seed, split_number, index, 2])
        image, label = paint_scene(*self.size, rng)
        return Sample(image, void_edges(label, self.void, rng), f"street_{self.split}_{index:04d}")


def paint_scene(h: int, w: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """One scene: image (h, w, 3) uint8 and its exact label (h, w) uint8, without void."""
    canvas = Canvas(h, w)
    view = choose_view(h, w, rng)
    paint_sky(canvas, view, rng)
    paint_ground(canvas, view, rng)
    paint_houses(canvas, view, rng)
    for thing in place_things(view, rng):  # from far to near
        thing.paint(canvas, rng)
    return _develop(canvas, view, rng), canvas.label


def _develop(canvas: Canvas, view: View, rng: np.random.Generator) -> Array:
    """Light, exposure and grain: (h, w, 3) uint8."""
    image, label = canvas.image, canvas.label  # (3, h, w), (h, w)
    image *= np.where(label == SKY, np.float32(1), planes(view.mood.light) * np.float32(rng.uniform(0.9, 1.08)))
    one_side = np.linspace(-1, 1, view.w, dtype=np.float32)
    image *= 1 + np.float32(rng.uniform(-0.08, 0.08)) * one_side
    image += rng.standard_normal(label.shape, dtype=np.float32) * _GRAIN[label]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def void_edges(label: Array, share: float, rng: np.random.Generator) -> Array:
    """A copy of `label` (h, w) in which `share` of the edge pixels are 255.

    An edge pixel has another class to its right or below it. So an edge is one pixel wide, and of the two sides of a
    pole only the right one can lose a pixel.
    """
    edge = np.zeros(label.shape, dtype=bool)
    edge[:, :-1] |= label[:, :-1] != label[:, 1:]
    edge[:-1] |= label[:-1] != label[1:]
    edge &= rng.random(label.shape, dtype=np.float32) < share
    return np.where(edge, np.uint8(VOID), label)
