"""Solvers by name: the published ones, in the words of `minifcn.settings`, and some of our own for an hour on a laptop.

    Settings.for_data(**with_recipe("voc-fcn8s", {"data": "sbd:PATH"}))
    Settings.for_data(**with_recipe("camvid-hour-unet-bn", {"data": "camvid:PATH"}))

FCN's authors add up the loss over the pixels of one image, so their gradients are some hundred thousand times those of
a mean, and their learning rates as much smaller. `told` prints both. Momentum 0.99 stands in for a large batch: each
gradient counts a hundred times in all, spread over a hundred steps ("heavy learning" in the journal version).

Sources: solver.prototxt and solve.py of shelhamer/fcn.berkeleyvision.org, one folder a recipe, under the same names
(Long, Shelhamer, Darrell 2015, arXiv 1411.4038; Shelhamer, Long, Darrell 2017, arXiv 1605.06211); the solvers in
Models/ of alexgkendall/SegNet-Tutorial (arXiv 1511.00561, 1511.02680); train.lua and opts.lua of e-lab/ENet-training
(arXiv 1606.02147). The recipes "camvid-hour-..." are ours: from scratch, at half the pictures' size, in at most an hour
on two cores.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """One solver.

    Attributes:
        model: of `minifcn.models`.
        start: what the weights come from.
        data, splits: what `--data` calls the data set, and what of it is trained and validated on.
        image: (H, W) that its images have, or about have.
        given: what it changes in `Settings`.
        published: False for one of ours.
        remark: what is odd.
    """

    model: str
    start: str
    data: str
    splits: tuple[str, str]
    image: tuple[int, int]
    given: dict[str, Any] = field(default_factory=dict)
    published: bool = True
    remark: str = ""

    def settings(self) -> dict[str, Any]:
        """For `Settings`."""
        return {"model": self.model, **self.given}


_VGG, _HE, _TWO = "VGG-16's classifier", "He's initialisation", "the two heads' losses are added"
_VOC: dict[str, Any] = {"data": "sbd", "splits": ("train", "seg11valid"), "image": (375, 500)}
_NYUD: dict[str, Any] = {"splits": ("trainval", "test"), "image": (480, 640)}
_SIFT: dict[str, Any] = {"data": "siftflow", "splits": ("trainval", "test"), "image": (256, 256)}
_CONTEXT: dict[str, Any] = {"data": "pascal-context", "splits": ("train", "val"), "image": (375, 500),
                            "iterations": 400_000}
_CAMVID: dict[str, Any] = {"data": "camvid", "splits": ("train", "val"), "image": (360, 480)}

# In the paper's width, one image after the other as they are, by plain stochastic gradient descent at a fixed rate.
_FCN: dict[str, Any] = {
    "width": 1.0, "padding": "paper", "optimizer": "sgd", "policy": "fixed", "momentum": 0.99, "weight_decay": 0.0005,
    "batch_size": 1, "accumulate": 1, "reduction": "sum", "class_weights": "none", "flip": False,
}
_SEGNET: dict[str, Any] = {
    "width": 1.0, "optimizer": "sgd", "policy": "fixed", "momentum": 0.9, "weight_decay": 0.0005, "batch_size": 4,
    "reduction": "valid", "class_weights": "segnet-camvid", "flip": False, "pixels": "raw",
}
_HOUR: dict[str, Any] = {"size": (180, 240), "optimizer": "adam", "policy": "poly", "batch_size": 4,
                         "class_weights": "enet", "flip": True}


def _fcn(
    model: str, lr: float, start: str, *, data: str, splits: tuple[str, str], image: tuple[int, int],
    iterations: int = 100_000, remark: str = "", **given: Any,
) -> Recipe:
    """One of FCN's solvers: `lr`, as many iterations as solve.py runs, and what else differs from the others."""
    return Recipe(model, start, data, splits, image, {**_FCN, "lr": lr, "iterations": iterations, **given},
                  remark=remark)


def _segnet(model: str, lr: float, iterations: int, start: str = _HE) -> Recipe:
    return Recipe(model, start, **_CAMVID, given={**_SEGNET, "lr": lr, "iterations": iterations})


def _hour(model: str, **given: Any) -> Recipe:
    return Recipe(model, _HE, **_CAMVID, given={**_HOUR, **given}, published=False)


RECIPES: dict[str, Recipe] = {
    "voc-fcn32s": _fcn("fcn32s", 1e-10, _VGG, **_VOC),
    "voc-fcn16s": _fcn("fcn16s", 1e-12, "a trained voc-fcn32s", **_VOC),
    "voc-fcn8s": _fcn("fcn8s", 1e-14, "a trained voc-fcn16s", **_VOC),
    "voc-fcn8s-atonce": _fcn("fcn8s-atonce", 1e-10, _VGG, iterations=300_000, **_VOC),
    "voc-fcn-alexnet": _fcn("fcn-alexnet", 1e-4, "CaffeNet's classifier", momentum=0.9, accumulate=20,
                            reduction="valid", remark="the one recipe of FCN with a mean over pixels", **_VOC),
    "nyud-fcn32s-color": _fcn("fcn32s", 1e-10, _VGG, data="nyud", **_NYUD),
    "nyud-fcn32s-hha": _fcn("fcn32s", 1e-10, _VGG, data="nyud-hha", **_NYUD),
    "nyud-fcn32s-color-d": _fcn("nyud-fcn32s-color-d", 1e-10, f"{_VGG}; depth filters are the mean of the colours'",
                                data="nyud-rgbd", **_NYUD),
    "nyud-fcn32s-color-hha": _fcn("nyud-fcn32s-color-hha", 1e-12, "a trained nyud-fcn32s-color and nyud-fcn32s-hha",
                                  data="nyud-rgb-hha", **_NYUD),
    "siftflow-fcn32s": _fcn("siftflow-fcn32s", 1e-10, _VGG, remark=_TWO, **_SIFT),
    "siftflow-fcn16s": _fcn("siftflow-fcn16s", 1e-12, "a trained siftflow-fcn32s", remark=_TWO, **_SIFT),
    "siftflow-fcn8s": _fcn("siftflow-fcn8s", 1e-12, "a trained siftflow-fcn16s",
                           remark=f"{_TWO}; 1e-12 again, not 1e-14 as for the other data sets", **_SIFT),
    "pascalcontext-fcn32s": _fcn("fcn32s", 1e-10, _VGG, remark="100,000 more than the solver's max_iter", **_CONTEXT),
    "pascalcontext-fcn16s": _fcn("fcn16s", 1e-12, "a trained pascalcontext-fcn32s", **_CONTEXT),
    "pascalcontext-fcn8s": _fcn("fcn8s", 1e-14, "a trained pascalcontext-fcn16s", **_CONTEXT),
    "camvid-segnet": _segnet("segnet", 0.001, 40_000, _VGG),
    "camvid-segnet-basic": _segnet("segnet-basic", 0.1, 10_000),
    "camvid-bayesian-segnet": _segnet("bayesian-segnet", 0.001, 60_000, _VGG),
    "camvid-bayesian-segnet-basic": _segnet("bayesian-segnet-basic", 0.1, 10_000),
    "camvid-hour-unet-bn": _hour("unet-bn", width=0.375, lr=1e-3, iterations=3000, class_weights="none"),
    "camvid-hour-segnet": _hour("segnet", width=0.25, lr=2e-3, iterations=2000),
    "camvid-hour-segnet-basic": _hour("segnet-basic", width=0.5, lr=5e-3, iterations=4000),
    "camvid-hour-bayesian-segnet": _hour("bayesian-segnet", width=0.25, lr=2e-3, iterations=2000),
    "camvid-hour-enet": _hour("enet", width=1.0, lr=5e-3, iterations=5000, pad=True),
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
    rule = f"sgd with momentum {settings.momentum:g}" if settings.optimizer == "sgd" else settings.optimizer
    whose = "as published" if chosen.published else "as minifcn's table of CamVid has it"
    lines = [
        f"recipe {name}: {settings.model}, width {settings.width:g}, {rule}, images a step: "
        f"{settings.batch_size * settings.accumulate}; {chosen.given['iterations']:,} steps {whose}",
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
    lasting = settings.optimizer == "sgd" and settings.momentum < 1
    heavy = f"; each gradient counts {1 / (1 - settings.momentum):.0f} times in all" if lasting else ""
    if settings.reduction not in ("sum", "batch"):
        return f"{rate} for the mean over pixels{heavy}"
    images = settings.batch_size if settings.reduction == "sum" else 1
    pixels = images * image[0] * image[1]
    return (f"{rate} for the sum over pixels; the same for their mean, with {images} x {image[0]}x{image[1]} = "
            f"{pixels:,} of them: lr {settings.lr * pixels:.2g} and weight decay {settings.weight_decay / pixels:.2g}"
            f"{heavy}")
