"""The published solvers as settings: what the authors told Caffe, in the words of `minifcn.settings`.

    Settings.for_data(**with_recipe("voc-fcn8s", {"data": "sbd:PATH"}))

The authors add up the loss over the pixels of one image, so their gradients are some hundred thousand times those of a
mean, and their learning rates as much smaller. `told` prints both. Momentum 0.99 stands in for a large batch: each
gradient counts a hundred times in all, spread over a hundred steps ("heavy learning" in the journal version).

Source: solver.prototxt and solve.py of shelhamer/fcn.berkeleyvision.org, one folder a recipe, under the same names.
Long, Shelhamer, Darrell 2015 (arXiv 1411.4038); Shelhamer, Long, Darrell 2017 (arXiv 1605.06211).
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """One solver.

    Attributes:
        model: of `minifcn.models`.
        lr, momentum, weight_decay: of plain stochastic gradient descent; the rate stays fixed.
        accumulate: images a step, one after the other (iter_size).
        reduction: "sum" over pixels (Caffe's normalize: false), or "valid", the mean over labelled ones.
        iterations: as many as solve.py runs.
        start: what the weights come from.
        data, splits: what `--data` calls the data set, and what of it is trained and validated on.
        image: (H, W) that its images have, or about have.
        remark: what is odd.
    """

    model: str
    lr: float
    start: str
    data: str
    splits: tuple[str, str]
    image: tuple[int, int]
    iterations: int = 100_000
    momentum: float = 0.99
    weight_decay: float = 0.0005
    accumulate: int = 1
    reduction: str = "sum"
    remark: str = ""

    def settings(self) -> dict[str, Any]:
        """For `Settings`: the network in the paper's width and padding, images one by one, as they are."""
        return {
            "model": self.model, "width": 1.0, "padding": "paper", "optimizer": "sgd", "policy": "fixed",
            "lr": self.lr, "momentum": self.momentum, "weight_decay": self.weight_decay, "batch_size": 1,
            "accumulate": self.accumulate, "reduction": self.reduction, "class_weights": "none", "flip": False,
            "iterations": self.iterations,
        }


_VGG, _TWO = "VGG-16's classifier", "the two heads' losses are added"
_VOC: dict[str, Any] = {"data": "sbd", "splits": ("train", "seg11valid"), "image": (375, 500)}
_NYUD: dict[str, Any] = {"splits": ("trainval", "test"), "image": (480, 640)}
_SIFT: dict[str, Any] = {"data": "siftflow", "splits": ("trainval", "test"), "image": (256, 256)}
_CONTEXT: dict[str, Any] = {"data": "pascal-context", "splits": ("train", "val"), "image": (375, 500),
                            "iterations": 400_000}

RECIPES: dict[str, Recipe] = {
    "voc-fcn32s": Recipe("fcn32s", 1e-10, _VGG, **_VOC),
    "voc-fcn16s": Recipe("fcn16s", 1e-12, "a trained voc-fcn32s", **_VOC),
    "voc-fcn8s": Recipe("fcn8s", 1e-14, "a trained voc-fcn16s", **_VOC),
    "voc-fcn8s-atonce": Recipe("fcn8s-atonce", 1e-10, _VGG, iterations=300_000, **_VOC),
    "voc-fcn-alexnet": Recipe("fcn-alexnet", 1e-4, "CaffeNet's classifier", momentum=0.9, accumulate=20,
                              reduction="valid", remark="the one recipe with a mean over pixels", **_VOC),
    "nyud-fcn32s-color": Recipe("fcn32s", 1e-10, _VGG, data="nyud", **_NYUD),
    "nyud-fcn32s-hha": Recipe("fcn32s", 1e-10, _VGG, data="nyud-hha", **_NYUD),
    "nyud-fcn32s-color-d": Recipe("nyud-fcn32s-color-d", 1e-10, f"{_VGG}; depth filters are the mean of the colours'",
                                  data="nyud-rgbd", **_NYUD),
    "nyud-fcn32s-color-hha": Recipe("nyud-fcn32s-color-hha", 1e-12, "a trained nyud-fcn32s-color and nyud-fcn32s-hha",
                                    data="nyud-rgb-hha", **_NYUD),
    "siftflow-fcn32s": Recipe("siftflow-fcn32s", 1e-10, _VGG, remark=_TWO, **_SIFT),
    "siftflow-fcn16s": Recipe("siftflow-fcn16s", 1e-12, "a trained siftflow-fcn32s", remark=_TWO, **_SIFT),
    "siftflow-fcn8s": Recipe("siftflow-fcn8s", 1e-12, "a trained siftflow-fcn16s",
                             remark=f"{_TWO}; 1e-12 again, not 1e-14 as for the other data sets", **_SIFT),
    "pascalcontext-fcn32s": Recipe("fcn32s", 1e-10, _VGG, remark="100,000 more than the solver's max_iter", **_CONTEXT),
    "pascalcontext-fcn16s": Recipe("fcn16s", 1e-12, "a trained pascalcontext-fcn32s", **_CONTEXT),
    "pascalcontext-fcn8s": Recipe("fcn8s", 1e-14, "a trained pascalcontext-fcn16s", **_CONTEXT),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises ValueError with the list for another."""
    if name not in RECIPES:
        raise ValueError(f"train: expected a recipe among {', '.join(RECIPES)}, got {name!r}. Choose one of these.")
    return RECIPES[name]


def with_recipe(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a recipe, with the given ones in their place; its splits if the data are those it is meant for.

    Raises ValueError for an unknown recipe.
    """
    chosen = recipe(name)
    base = chosen.settings()
    if str(given.get("data", "")).partition(":")[0] == chosen.data:
        base["splits"] = chosen.splits
    if given.keys() & {"minutes", "epochs"}:
        del base["iterations"]
    return base | given


def told(name: str, settings: Any) -> str:
    """A few lines about a recipe and what `settings` (a `Settings`) make of it."""
    chosen = recipe(name)
    lines = [
        f"recipe {name}: {settings.model}, width {settings.width:g}, sgd with momentum {settings.momentum:g}, images a "
        f"step: {settings.batch_size * settings.accumulate}; {chosen.iterations:,} steps as published",
        f"  for {chosen.data}:PATH, trained on {chosen.splits[0]}, validated on {chosen.splits[1]}; starts from "
        f"{chosen.start}" + (f"; {chosen.remark}" if chosen.remark else ""),
        f"  {rate_told(settings, settings.crop or settings.size or chosen.image)}",
    ]
    changed = [f"{key} {getattr(settings, key)} instead of {value}" for key, value in chosen.settings().items()
               if getattr(settings, key) not in (value, None)]
    return "\n".join([*lines, f"  changed: {'; '.join(changed)}"] if changed else lines)


def rate_told(settings: Any, image: tuple[int, int]) -> str:
    """A learning rate for the sum over pixels beside the one that does the same for the mean, for images of (H, W).

    A sum over P pixels is P times their mean. So is its gradient, and the rate for the mean is P times as large; weight
    decay, which is no sum over pixels, then has to be divided by P.
    """
    rate = f"lr {settings.lr:g} and weight decay {settings.weight_decay:g}"
    heavy = f"; each gradient counts {1 / (1 - settings.momentum):.0f} times in all" if settings.momentum < 1 else ""
    if settings.reduction not in ("sum", "batch"):
        return f"{rate} for the mean over pixels{heavy}"
    images = settings.batch_size if settings.reduction == "sum" else 1
    pixels = images * image[0] * image[1]
    return (f"{rate} for the sum over pixels; the same for their mean, with {images} x {image[0]}x{image[1]} = "
            f"{pixels:,} of them: lr {settings.lr * pixels:.2g} and weight decay {settings.weight_decay / pixels:.2g}"
            f"{heavy}")
