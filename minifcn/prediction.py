"""From a picture to a map of classes, in the picture's own size.

    labels = minifcn.predict("runs/demo/best.safetensors", "street.png")      # (H, W) uint8

The picture is brought to the size and scale that the network was trained with, the scores come back bilinearly to the
picture's own grid, and each pixel takes the class of the highest score there. A network that scores only the centre of
what it sees is shown mirrored borders, and a large picture in tiles: see `minifcn.overlap_tile`.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import ops
from .arrays import all_finite, device_of, to_device, to_numpy, use_device
from .data import read_image
from .enlarging import enlarged, size_taken
from .fusion import fuse
from .gpu_memory import advice_for_prediction, memory_explained
from .graph import Graph
from .models import check_segments
from .ops.check import Array
from .output_grid import scores_for
from .overlap_tile import margin_of, scored_of, scores_by_tiles, tiling_for
from .preprocessing import Preprocessing
from .weights import load


@dataclass
class Predictor:
    """A network together with what its checkpoint says about it.

    Attributes:
        net, meta: as `minifcn.load` gives them.
        fuse: whether layers that can be computed together are; see `minifcn.fuse`.
        margin: what it does not score of what it sees, see `minifcn.overlap_tile`; None if it scores all.
        pad: whether pictures of a size that the network does not take are made larger for it, see `minifcn.enlarging`;
            as in training unless set.
        tile: (H, W) of the tiles for a network with a margin, None for what suits each picture; see `use_tile`.
    """

    net: Graph
    meta: dict[str, Any] = field(default_factory=dict)
    fuse: bool = True

    def __post_init__(self) -> None:
        check_segments("predict", (self.net.architecture or {}).get("model", ""))
        if "output" in self.meta:  # of two heads, the one whose classes are named
            self.net.outputs = (self.meta["output"],)
        self.runner = fuse(self.net) if self.fuse else self.net
        self.margin = margin_of(self.net)
        self.pad: bool = self.meta.get("pad", False)
        self.tile: tuple[int, int] | None = None

    @classmethod
    def open(
        cls, source: "Graph | Predictor | str | os.PathLike", *, fuse: bool = True, device: str = "cpu",
    ) -> "Predictor":
        """From a network, a checkpoint file, or a run folder (its best checkpoint, else its last).

        A network that comes from a file is brought to `device`, and frozen: it is here to predict, and nobody else has
        it.
        """
        if isinstance(source, Predictor):
            return source
        if isinstance(source, Graph):
            return cls(source, {}, fuse)
        net, meta = load(checkpoint_of(source))
        return cls(net.to(device=device).freeze(), meta, fuse)

    def use_tile(self, tile: tuple[int, int]) -> None:
        """Cut pictures into tiles of (H, W): smaller ones take less memory, and more time.

        Raises ValueError for a network that scores every pixel of what it sees, or does not take such a tile.
        """
        if self.margin is None:
            raise ValueError("predict: expected a network without padding for tiles, such as U-Net as published, got "
                             "one that scores every pixel: tiles would have seams. Leave the tile out.")
        scored_of(self.net, tile)
        self.tile = tile

    def scores(self, image: Array, size: tuple[int, int] | None = None) -> Array:
        """image (H, W, 3) uint8 -> class scores (K, h, w) on a grid of `size`, the image's own unless given."""
        return to_numpy(self.scores_there(image, size))

    def scores_there(self, image: Array, size: tuple[int, int] | None = None) -> Array:
        """The same where the network is. From a GPU, labels take a fraction of the scores' time to come."""
        with self.at_work(image):
            xs, seen = self.inputs(image)
            with evaluation_mode(self.net), np.errstate(over="ignore", invalid="ignore"):  # what comes out is looked at
                y = self._scored(xs)  # (1, K, h, w)
            return self.on_grid(y, xs[0].shape[2:], seen, size or image.shape[:2])

    @contextlib.contextmanager
    def at_work(self, image: Array) -> Iterator[None]:
        """Inside the `with` block new arrays are where the network is; lack of a GPU's memory says what would fit."""
        with use_device(self.device()), memory_explained("predict", lambda capacity: self._advice(capacity, image)):
            yield

    def device(self) -> str:
        """Where the network is: "cpu" or "cuda:<number>"."""
        return device_of(next(iter(self.net.parameters().values())).data)

    def _advice(self, capacity: int, image: Array) -> str:
        """What would fit into so many bytes of a GPU's memory."""
        picture, tile = tuple(self.meta.get("size") or image.shape[:2]), None
        if self.margin is not None:
            tile = tiling_for(self.net, self.margin, picture, self.tile).tile
        elif self.meta.get("size"):
            return f"The network is shown every picture in {picture[0]}x{picture[1]}: use --device cpu."
        return advice_for_prediction(capacity, self.net, self.runner, picture, tile)

    def _scored(self, xs: tuple[Array, ...]) -> Array:
        if self.margin is None:
            return self._run(*xs)
        return scores_by_tiles(self._run, xs, tiling_for(self.net, self.margin, xs[0].shape[2:], self.tile))

    def _run(self, *xs: Array) -> Array:
        y = self.runner.forward(*xs, record=False)
        return y[0] if isinstance(y, tuple) else y  # of two heads the first: what things are

    def labels(self, image: Array, size: tuple[int, int] | None = None) -> Array:
        """image (H, W, 3) uint8 -> class numbers (h, w) uint8."""
        return labels_of(self.scores_there(image, size))

    def on_grid(
        self, y: Array | tuple[Array, ...], shown: tuple[int, int], seen: tuple[int, int], size: tuple[int, int],
    ) -> Array:
        """What the network returned for one picture, (1, K, h, w) -> class scores (K, *size), where it is.

        Args:
            shown: rows and columns that the network was given.
            seen: those of them that belong to the picture, the others having been added.
            size: the grid that is wanted.

        Raises ValueError for scores that are no numbers.
        """
        y = y[0] if isinstance(y, tuple) else y  # of two heads the first: what things are
        if y.shape[2:] != shown:  # not one score for each pixel
            y = scores_for(self.net, self.net.outputs[0], y, shown, size if shown == seen else shown)
        y = y[:, :, : seen[0], : seen[1]] if shown != seen else y
        if y.shape[2:] != tuple(size):
            y, _ = ops.resize_bilinear(y, output_size=size)
        if not all_finite(y):
            raise ValueError("predict: expected finite scores, got NaN or infinity: the weights are spoiled or far too "
                             "large. Use an earlier checkpoint, or train with a lower learning rate.")
        return y[0]

    def inputs(self, image: Array) -> tuple[tuple[Array, ...], tuple[int, int]]:
        """image (H, W, 3) uint8 -> what the network reads, (1, C, h, w) for each of its inputs, on its device.

        And how many of these rows and columns belong to the picture: all, unless it was made larger.
        """
        weight = next(iter(self.net.parameters().values())).data
        x = Preprocessing.from_meta(self.meta)(image, weight.dtype)  # (1, 3, h, w)
        seen = x.shape[2:]
        if self.pad and self.margin is None:  # pictures for a network with a margin are mirrored to any size
            x = enlarged(x, size_taken(self.net, seen))
        return divided(self.net, to_device(x, self.device())), seen


def labels_of(scores: Array) -> Array:
    """Class scores (K, h, w), on whatever device -> class numbers (h, w) uint8, a NumPy array."""
    with use_device(device_of(scores)):
        return to_numpy(scores.argmax(axis=0).astype(np.uint8))


def predict(net_or_path: Graph | Predictor | str | os.PathLike, image_or_path: Array | str | os.PathLike) -> Array:
    """Class numbers (H, W) uint8 for a picture, in its own size.

    Args:
        net_or_path: a network (fed with pixels 0..255 as they are), a Predictor, a checkpoint file or a run folder.
        image_or_path: (H, W, 3) uint8 RGB, or an image file.

    Raises ValueError or TypeError for a picture that is none, FileNotFoundError for a missing file.
    """
    image = picture_of("predict", image_or_path)
    return Predictor.open(net_or_path).labels(image)


def picture_of(who: str, image_or_path: Array | str | os.PathLike) -> Array:
    """A picture (H, W, 3) uint8 as it is, or from its file, for the function `who`.

    Raises TypeError or ValueError for what is none.
    """
    if isinstance(image_or_path, (str, os.PathLike)):
        image = read_image(Path(image_or_path))
    else:
        image = np.asarray(image_or_path)
    if image.dtype != np.uint8:
        raise TypeError(f"{who}: expected an image of uint8, 0..255, got {image.dtype}. "
                        f"Scale it to 0..255 and convert it with astype(numpy.uint8).")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{who}: expected one RGB image (H, W, 3), got shape {image.shape}. "
                         f"Pass pictures one by one, channels last.")
    return image


def checkpoint_of(path: str | os.PathLike) -> Path:
    """The checkpoint that `path` means: itself, or in a run folder best.safetensors, else last.safetensors."""
    path = Path(path)
    if not path.is_dir():
        return path
    for name in ("best.safetensors", "last.safetensors"):
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(f"load: expected best.safetensors or last.safetensors in {path}, got neither. "
                            f"Give the folder that `minifcn train --out` wrote.")


def divided(net: Graph, x: Array) -> tuple[Array, ...]:
    """x (N, C, H, W) for a network of several inputs, such as colour and depth: to each an equal part of the channels.

    Raises ValueError if C is no multiple of their number.
    """
    count = len(net.inputs)
    if x.shape[1] % count:
        raise ValueError(f"predict: expected as many channels for each of the inputs {', '.join(net.inputs)}, got "
                         f"{x.shape[1]} channels. Choose the data set that the network was made for.")
    return tuple(np.split(x, count, axis=1)) if count > 1 else (x,)


@contextlib.contextmanager
def frozen(net: Graph) -> Iterator[None]:
    """Read-only weights inside the `with` block, for many images in a row; afterwards as before. See `Graph.freeze`."""
    changing = [parameter for parameter in net.parameters().values() if parameter.prepared is None]
    for parameter in changing:
        parameter.freeze()
    try:
        yield
    finally:
        for parameter in changing:
            parameter.unfreeze()


@contextlib.contextmanager
def evaluation_mode(net: Graph) -> Iterator[None]:
    """Evaluation mode inside the `with` block; afterwards each layer is in the mode it was in."""
    before = [(layer, layer.training) for layer in (net, *net.layers())]
    net.eval()
    try:
        yield
    finally:
        for layer, training in before:  # one by one: a batch norm may be frozen in a network that trains
            layer.training = training
