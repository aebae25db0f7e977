"""What a training is told: everything that, with the data, decides its outcome."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What a training is told. The defaults train the demonstration.

    Attributes:
        model, width, padding: the network; see `minifcn.models`. Padding None: "same" where the model has the choice.
        data: "street", "folder:PATH" or a published data set such as "voc:PATH".
        splits: what it is trained and what it is validated on.
        size: (H, W) that every image is resized to, None for its own.
        crop: (H, W) that is cut out after that, None for all of it.
        pad: add rows and columns, void, where the network does not take the images' size; see `minifcn.enlarging`.
        flip, scale: random mirroring; smallest and largest random factor.
        pixels: "standard", mean 0 and deviation 1 over the training images, or "raw", 0..255 as they are.
        elastic: of random elastic deformation: standard deviation in pixels, 0 for none; see `data.random_elastic`.
        class_weights: "none", "median" (SegNet's median frequency), "enet", for ENet's first stage "enet-encoder", or
            "segnet-camvid": what SegNet's authors published for CamVid.
        weight_map: "none", or "unet": a pixel counts what its class does, plus what U-Net adds in narrow gaps between
            objects; see `data.unet_weight_map`. Class 0 is the background, objects are connected parts of a class. The
            class weights are then part of the map (the paper's w_c) and do not multiply it as well. Of two heads, the
            map is for the first.
        weights: a run, or a file of published weights, to start from; one for each input of a network with several.
            See `minifcn.published`.
        new_layers: layers that start anew all the same.
        reduction: of the loss over pixels, "mean", "sum", "valid" or "batch"; see `minifcn.ops.softmax_cross_entropy`.
        optimizer: "adam" or "sgd"; momentum is for sgd.
        lr, policy: learning rate and how it falls: "fixed", "step" or "poly" (Caffe's names).
        gamma, step_size: of "step": times gamma after each step_size of the training (a fraction of it).
        power: of "poly".
        weight_decay: the L2 penalty's gradient is weight_decay * weight.
        batch_size: images a batch.
        accumulate: batches a step, whose gradients are averaged (Caffe's iter_size).
        minutes, epochs, iterations: how long; exactly one of them is set.
        evaluations: how often the validation images are scored on the way, the end included.
        seed: of weights, dropout, order and augmentation.
        device: "cpu", "cuda[:i]" or "auto".
        fuse: whether layers that can be computed together are; see `minifcn.fuse`.
        winograd: whether convolutions may go by Winograd, which is faster and rounds more; False forbids it.
    """

    model: str = "fcn8s"
    width: float = 0.125
    padding: str | None = None
    data: str = "street"
    splits: tuple[str, str] = ("train", "val")
    size: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    pad: bool = False
    flip: bool = True
    scale: tuple[float, float] = (1.0, 1.0)
    pixels: str = "standard"
    elastic: float = 0.0
    class_weights: str = "enet"
    weight_map: str = "none"
    weights: str | tuple[str, ...] = ()
    new_layers: tuple[str, ...] = ()
    reduction: str = "mean"
    optimizer: str = "adam"
    lr: float = 2e-3
    momentum: float = 0.9
    policy: str = "poly"
    gamma: float = 0.1
    step_size: float = 1 / 3
    power: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 4
    accumulate: int = 1
    minutes: float | None = None
    epochs: float | None = None
    iterations: int | None = None
    evaluations: int = 8
    seed: int = 0
    device: str = "auto"
    fuse: bool = True
    winograd: bool = True

    def __post_init__(self) -> None:
        _one_of("pixels", self.pixels, ("standard", "raw"))
        _one_of("class_weights", self.class_weights, ("none", "median", "enet", "enet-encoder", "segnet-camvid"))
        _one_of("weight_map", self.weight_map, ("none", "unet"))
        _one_of("reduction", self.reduction, ("mean", "sum", "valid", "batch"))
        _one_of("optimizer", self.optimizer, ("adam", "sgd"))
        _one_of("policy", self.policy, ("fixed", "step", "poly"))
        for name in ("width", "lr", "batch_size", "accumulate", "evaluations", "minutes", "epochs", "iterations"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"train: expected {name} above 0, got {value}. Choose a positive number.")
        if sum(value is not None for value in (self.minutes, self.epochs, self.iterations)) != 1:
            raise ValueError(f"train: expected one of minutes, epochs and iterations, got minutes={self.minutes}, "
                             f"epochs={self.epochs}, iterations={self.iterations}. Say how long with one of them.")
        if self.batch_size > 1 and self.crop is None and tuple(self.scale) != (1.0, 1.0):
            raise ValueError(f"train: expected a crop to make a batch of {self.batch_size} from images of random sizes "
                             f"(scale {self.scale}), got none. Add --crop HxW, or use --batch-size 1.")

    @classmethod
    def for_data(cls, **given: Any) -> "Settings":
        """The given settings, and for the others what suits the data: DEMONSTRATION, or PHOTOGRAPHS for files."""
        defaults = DEMONSTRATION if given.get("data", cls.data) == "street" else PHOTOGRAPHS
        length = {name: given.get(name) for name in ("minutes", "epochs", "iterations")}
        if any(value is not None for value in length.values()):
            defaults = {name: value for name, value in defaults.items() if name not in length}
        return cls(**(defaults | given))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Settings":
        """As run.json has them: pairs are lists there."""
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**given)


# What `minifcn train` changes in the defaults when it is told no better: photographs need a wider network.
DEMONSTRATION: dict[str, Any] = {"minutes": 1.25}
PHOTOGRAPHS: dict[str, Any] = {"minutes": 20.0, "width": 0.25}


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"train: expected {name} among {', '.join(allowed)}, got {value!r}. Choose one of these.")
