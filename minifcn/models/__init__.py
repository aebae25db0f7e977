"""The published networks by name: one paper, one file.

    net = build("fcn8s", num_classes=21)                                    # as published
    net = build("fcn8s", num_classes=8, width=0.25, padding="same", rng=0)  # for a laptop
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..graph import Graph
from . import (
    alexnet,
    alexnet_torchvision,
    bayesian_segnet,
    enet,
    fcn,
    fcn_alexnet,
    fcn_googlenet,
    fcn_nyud,
    fcn_siftflow,
    googlenet,
    googlenet_torchvision,
    segnet,
    unet,
    vgg16,
)


class Model(NamedTuple):
    """A row of `minifcn models`."""

    make: Callable[..., Graph]
    summary: str
    source: str
    paddings: tuple[str, ...] = ()  # the choice that its builder's `padding` has, if any
    crops: dict[str, int] | None = None  # of a classifier: rows and columns of the crop that it takes, by padding
    channels: tuple[int, ...] = (3,)  # of each input
    heads: int = 1  # how many classes each pixel gets
    size: int = 500  # rows and columns of an image as published; PASCAL VOC's have up to 500
    least: int = 1  # rows and columns of the smallest image, if with padding "paper" it takes certain sizes only
    starts_from: str = ""  # the model that is trained before it; what that one does not have is new

    @property
    def task(self) -> str:
        """"classification" of whole crops, "segmentation" of photographs (one class for each pixel), "RGB-D
        segmentation" of colour and depth, "double segmentation" into classes of two kinds.
        """
        if self.crops is not None:
            return "classification"
        if self.heads > 1:
            return "double segmentation"
        return "segmentation" if self.channels == (3,) else "RGB-D segmentation"


_FCN = "Long, Shelhamer, Darrell 2015, arXiv 1411.4038"
_PAMI = "Shelhamer, Long, Darrell 2017, arXiv 1605.06211"
_UNET = "Ronneberger, Fischer, Brox 2015, arXiv 1505.04597"
_CAFFENET = "Krizhevsky, Sutskever, Hinton 2012, as BVLC's CaffeNet"
_SEGNET = "Badrinarayanan, Kendall, Cipolla 2017, arXiv 1511.00561"
_BAYESIAN = "Kendall, Badrinarayanan, Cipolla 2015, arXiv 1511.02680"
_ENET = "Paszke, Chaurasia, Kim, Culurciello 2016, arXiv 1606.02147"
_EITHER = ("paper", "same")


def _classifier(make: Callable[..., Graph], crops: dict[str, int], source: str) -> Model:
    return Model(make, f"classifies crops of {crops['paper']}x{crops['paper']}", source, tuple(crops), crops)


MODELS: dict[str, Model] = {
    "fcn32s": Model(fcn.fcn32s, "VGG-16 made convolutional, upsampled 32 times", _FCN, _EITHER),
    "fcn16s": Model(fcn.fcn16s, "with the scores of pool4", _FCN, _EITHER),
    "fcn8s": Model(fcn.fcn8s, "with the scores of pool4 and pool3", _FCN, _EITHER),
    "fcn8s-atonce": Model(fcn.fcn8s_atonce, "the same with scaled skips, for training in one go", _PAMI, _EITHER),
    "fcn-alexnet": Model(fcn_alexnet.fcn_alexnet, "AlexNet made convolutional, upsampled 32 times", _FCN, _EITHER),
    "fcn-googlenet": Model(fcn_googlenet.fcn_googlenet, "GoogLeNet made convolutional, upsampled 32 times", _FCN,
                           fcn_googlenet.PADDINGS),
    "nyud-fcn32s-color-d": Model(fcn_nyud.fcn32s_early, "for NYUDv2: colour and depth mixed at once", _FCN, _EITHER,
                                 channels=(4,)),
    "nyud-fcn32s-color-hha": Model(fcn_nyud.fcn32s_late, "for NYUDv2: scores of two streams averaged", _FCN, _EITHER,
                                   channels=(3, 3)),
    "siftflow-fcn32s": Model(fcn_siftflow.siftflow_fcn32s, "for SIFT Flow: fcn32s with two heads, 33 and 3 classes",
                             _FCN, _EITHER, heads=2),
    "siftflow-fcn16s": Model(fcn_siftflow.siftflow_fcn16s, "fcn16s with two heads", _FCN, _EITHER, heads=2),
    "siftflow-fcn8s": Model(fcn_siftflow.siftflow_fcn8s, "fcn8s with two heads", _FCN, _EITHER, heads=2),
    "segnet": Model(segnet.segnet, "VGG-16 and its mirror image, joined by the places of maxima", _SEGNET,
                    starts_from="vgg16"),
    "segnet-basic": Model(segnet.segnet_basic, "the same idea with eight convolutions of 7x7", _SEGNET),
    "bayesian-segnet": Model(bayesian_segnet.bayesian_segnet, "SegNet with dropout, which says how sure it is",
                             _BAYESIAN, starts_from="vgg16"),
    "bayesian-segnet-basic": Model(bayesian_segnet.bayesian_segnet_basic, "SegNet-Basic with dropout", _BAYESIAN),
    "unet": Model(unet.unet, "down and up again, with all skips; needs few images", _UNET, _EITHER,
                  size=unet.SIZE, least=unet.LEAST),
    "unet-bn": Model(unet.unet_bn, "U-Net with batch normalisation, as most train it today", _UNET, _EITHER,
                     size=unet.SIZE, least=unet.LEAST),
    "enet": Model(enet.enet, "for real time: bottlenecks on an eighth of the pixels", _ENET, size=512,
                  least=enet.MULTIPLE, starts_from="enet-encoder"),
    "enet-encoder": Model(enet.enet_encoder, "its encoder, trained first: scores every eighth pixel", _ENET, size=512,
                          least=enet.MULTIPLE),
    "alexnet": _classifier(alexnet.alexnet, alexnet.CROPS, _CAFFENET),
    "vgg16": _classifier(vgg16.vgg16, vgg16.CROPS, "Simonyan, Zisserman 2015, arXiv 1409.1556"),
    "googlenet": _classifier(googlenet.googlenet, googlenet.CROPS, "Szegedy et al. 2015, arXiv 1409.4842"),
    "alexnet-torchvision": _classifier(alexnet_torchvision.alexnet_torchvision, alexnet_torchvision.CROPS,
                                       "Krizhevsky 2014, arXiv 1404.5997, as in torchvision"),
    "googlenet-torchvision": _classifier(googlenet_torchvision.googlenet_torchvision, googlenet_torchvision.CROPS,
                                         "arXiv 1409.4842 with batch norm (1502.03167), as in torchvision"),
}


def same_padding(name: str) -> dict[str, str]:
    """{"padding": "same"} for a model that has the choice, else {}: what a laptop, or a quick check, wants."""
    return {"padding": "same"} if name in MODELS and "same" in MODELS[name].paddings else {}


def names_of(task: str) -> list[str]:
    """The models for a task, see `Model.task`."""
    return [name for name, model in MODELS.items() if model.task == task]


def check_segments(who: str, name: str) -> None:
    """Raises ValueError for a model that scores whole crops, from which nobody can learn or predict pixels."""
    if name in MODELS and MODELS[name].task == "classification":
        raise ValueError(f"{who}: expected a model that scores every pixel ({', '.join(names_of('segmentation'))}), "
                         f"got {name!r}, which scores whole crops. Choose one of these; minifcn.convolutionalize "
                         f"makes a classifier dense.")


def count_parameters(net: Graph) -> dict[str, int]:
    """How many numbers of a network train and how many are frozen: {"trainable": ..., "frozen": ...}."""
    parameters = net.parameters().values()
    return {"trainable": sum(p.data.size for p in parameters if p.trains),
            "frozen": sum(p.data.size for p in parameters if not p.trains)}


def build(name: str, **options: Any) -> Graph:
    """A network in training mode, from the registry.

    Args:
        name: one of MODELS.
        options: num_classes, width, rng, dtype, and what the model's own builder takes.

    The Graph's `architecture` keeps name and options (not rng), so that a checkpoint can build it again.
    Raises ValueError for an unknown name and for a padding where there is no choice, TypeError for an unknown option.
    """
    if name not in MODELS:
        raise ValueError(f"build: expected one of {', '.join(MODELS)}, got {name!r}. See `minifcn models`.")
    if "padding" in options and not MODELS[name].paddings:
        raise ValueError(f"build: expected no padding for {name}, which has one form only, got {options['padding']!r}. "
                         f"Leave it out.")
    net = MODELS[name].make(**options)
    net.architecture = {"model": name} | {key: value for key, value in options.items() if key not in ("rng", "dtype")}
    return net


__all__ = ["MODELS", "Model", "build", "check_segments", "count_parameters", "names_of", "same_padding"]
