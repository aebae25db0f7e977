"""The published networks by name: one paper, one file.

    net = build("fcn8s", num_classes=21)                                    # as published
    net = build("fcn8s", num_classes=8, width=0.25, padding="same", rng=0)  # for a laptop
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..graph import Graph
from . import fcn


class Model(NamedTuple):
    """A row of `minifcn models`."""

    make: Callable[..., Graph]
    summary: str
    source: str
    paddings: tuple[str, ...] = ()  # the choice that its builder's `padding` has, if any


_FCN = "Long, Shelhamer, Darrell 2015, arXiv 1411.4038"
_PAMI = "Shelhamer, Long, Darrell 2017, arXiv 1605.06211"
_EITHER = tuple(fcn.PADDINGS)

MODELS: dict[str, Model] = {
    "fcn32s": Model(fcn.fcn32s, "VGG-16 made convolutional, upsampled 32 times", _FCN, _EITHER),
    "fcn16s": Model(fcn.fcn16s, "with the scores of pool4", _FCN, _EITHER),
    "fcn8s": Model(fcn.fcn8s, "with the scores of pool4 and pool3", _FCN, _EITHER),
    "fcn8s-atonce": Model(fcn.fcn8s_atonce, "the same with scaled skips, for training in one go", _PAMI, _EITHER),
}


def same_padding(name: str) -> dict[str, str]:
    """{"padding": "same"} for a model that has the choice, else {}: what a laptop, or a quick check, wants."""
    return {"padding": "same"} if name in MODELS and "same" in MODELS[name].paddings else {}


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
    Raises ValueError for an unknown name, TypeError for an unknown option.
    """
    if name not in MODELS:
        raise ValueError(f"build: expected one of {', '.join(MODELS)}, got {name!r}. See `minifcn models`.")
    net = MODELS[name].make(**options)
    net.architecture = {"model": name} | {key: value for key, value in options.items() if key not in ("rng", "dtype")}
    return net


__all__ = ["MODELS", "Model", "build", "count_parameters", "same_padding"]
