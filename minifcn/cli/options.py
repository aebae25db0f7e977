"""What several commands read from the command line in the same way."""

import argparse
import contextlib
import json
import sys
from typing import Any

DATA_HELP = ("street (built in), folder:PATH (your own), or a published data set: camvid, voc, sbd, nyud, nyud-rgbd, "
             "nyud-hha, nyud-rgb-hha, siftflow, siftflow-geo or pascal-context, followed by :PATH")


def size(text: str) -> tuple[int, int]:
    """HxW, for example 180x240."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected HxW, height first, for example 180x240, got {text!r}")
    return int(parts[0]), int(parts[1])


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def natural(text: str) -> int:
    """A whole number, 0 included."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")
    return int(text)


def add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_samples(command: Any, what: str) -> None:
    """Monte-Carlo dropout, for the commands that open their network with `predictor_of`."""
    command.add_argument("--samples", type=count, metavar="N", help=f"{what}; from 2, 40 are usual")
    command.add_argument("--seed", type=natural, help="of the dropout masks of --samples; default 0")


def add_device(command: Any, told: str, **default: str) -> None:
    command.add_argument("--device", help=f"auto, cpu or cuda[:i]; {told}", **default)


def predictor_of(arguments: argparse.Namespace) -> Any:
    """What predicts with the network that the user named: with --samples the mean of samples."""
    from ..arrays import resolve_device
    from ..prediction import Predictor

    if arguments.samples is None and arguments.seed is not None:
        raise ValueError(f"--seed: expected --samples beside it, got --seed {arguments.seed} alone: without samples "
                         f"nothing is drawn. Add --samples 40, or leave the seed out.")
    device, note = resolve_device(arguments.device)
    if note:
        print(note, file=sys.stderr)
    predictor = Predictor.open(arguments.source, fuse=arguments.fuse, device=device)
    if arguments.samples is not None:
        from ..uncertainty import Sampler

        predictor = Sampler.of(predictor, arguments.samples, arguments.seed or 0)
    predictor.pad = predictor.pad or arguments.pad
    return predictor


def add_pad(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pad", action="store_true", help="add rows and columns where the network does not take the "
                         "picture's size, and cut off their scores; on if it was in training")


def add_speed(command: Any) -> None:
    """What makes a network quick can be left out: to see what it brings, or to exclude it when something is odd."""
    command.add_argument("--no-fuse", dest="fuse", action="store_false", help="compute every layer by itself")
    command.add_argument("--no-winograd", dest="winograd", action="store_false", help="convolve exactly, and slower")


def speed_of(arguments: argparse.Namespace) -> contextlib.AbstractContextManager:
    """`--no-winograd` for a `with` block. Without it, what MINIFCN_WINOGRAD says."""
    from ..arrays import use_winograd

    return contextlib.nullcontext() if arguments.winograd else use_winograd(False)


def add_network(command: Any) -> None:
    """A network of the registry and an image's size, by default as published."""
    command.add_argument("model", metavar="MODEL", help="see `minifcn models`")
    command.add_argument("--size", type=size, metavar="HxW",
                         help="of the image, height first; default 500x500, unet's 572x572, enet's 512x512, a crop")
    command.add_argument("--width", type=positive, default=1.0, help="times the paper's channels; default 1.0")
    command.add_argument("--padding", help="the paper's (default) or another that the model has, `same` for example")
    command.add_argument("--num-classes", type=count, metavar="K", help="default: the model's own")


def build_shapes(arguments: argparse.Namespace, check: str = "") -> tuple[Any, tuple[int, int]]:
    """The network that `add_network` asked for, without memory for its weights, and the image's size.

    `check` names the command that wants a size which the network takes.
    """
    from .. import init
    from ..explain.sizes import check_size
    from ..models import MODELS, build

    name, options = arguments.model, {"width": arguments.width}
    if arguments.num_classes is not None:
        options["num_classes"] = arguments.num_classes
    with init.shapes_only():
        net = build(name, **options, **padding_of(arguments))
    crop = (MODELS[name].crops or {}).get(arguments.padding or "paper", MODELS[name].size)
    image = arguments.size or (crop, crop)
    if check:
        check_size(check, net, image)
    return net, image


def padding_of(arguments: argparse.Namespace) -> dict[str, str]:
    """{"padding": ...} if --padding was given. Raises ValueError for one that the model does not have."""
    from ..models import MODELS

    name, padding = arguments.model, arguments.padding
    if padding is None:
        return {}
    known = MODELS[name].paddings if name in MODELS else (padding,)  # `build` knows what is no model
    if padding not in known:
        choice = f"one of {', '.join(known)}" if known else f"none, as {name} has no choice"
        raise ValueError(f"--padding: expected {choice}, got {padding!r}. Leave it out for the paper's.")
    return {"padding": padding}


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show_scores(scores: dict[str, Any]) -> None:
    """A table of the scores by class and the summary figures; `scores` as `minifcn.evaluate` returns them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    def figure(score: float | None, missing: str = "-") -> str:
        return missing if score is None else f"{score:.3f}"

    outlines = scores.get("boundary_f1_by_class", {})
    table = Table("class", "IoU", *(["boundary F1"] if outlines else []), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, iou in scores["iou"].items():
        table.add_row(escape(name), figure(iou, "absent"), *([figure(outlines[name])] if outlines else []))
    table.add_row()
    for key, name in (("mean_iou", "mean IoU"), ("fw_iou", "frequency-weighted IoU"),
                      ("pixel_accuracy", "pixel accuracy"), ("mean_accuracy", "mean accuracy")):
        table.add_row(name, figure(scores[key]))
    if outlines:
        table.add_row("boundary F1, mean of images", "", figure(scores["boundary_f1"]))
    Console().print(table)
    if scores["absent"]:
        print(f"absent from truth and prediction, left out of the mean: {', '.join(scores['absent'])}")
    if outlines:
        print("boundary F1: an outline is right within 0.75 % of the image's diagonal, 4.5 pixels at 360x480, "
              "1.2 at 96x128")
