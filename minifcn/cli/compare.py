"""minifcn compare: what making a classifier dense changes, and what it does not."""

import argparse
from typing import Any

from .options import add_json, positive, print_json, size

EXAMPLES = """\
examples:
  minifcn compare crops                      AlexNet on crops and dense: where the two agree
  minifcn compare crops vgg16 --size 500x600
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "compare", help="a classifier on crops, and made dense", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _add_crops(kinds)


def _add_crops(kinds: Any) -> None:
    parser = kinds.add_parser(
        "crops", help="do the dense network and its classifier agree?",
        description="Compare a classifier on crops with the same classifier made dense: on one crop, on every crop of "
                    "a larger image, and near the borders, where padding makes the two differ.",
        epilog="example:\n  minifcn compare crops vgg16 --size 500x600",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run_crops)
    parser.add_argument("model", metavar="MODEL", nargs="?", default="alexnet", help="a classifier; default alexnet")
    parser.add_argument("--size", type=size, metavar="HxW", help="of the built-in image; default holds 3x4 crops")
    parser.add_argument("--width", type=positive, default=1 / 16, help="times the paper's channels; default 0.0625")
    add_json(parser)


def run_crops(arguments: argparse.Namespace) -> int:
    from ..explain import crops_against_dense as crops
    from ..progress import for_this_terminal

    name, width = arguments.model, arguments.width
    crops.check_classifier(name)
    image = crops.built_in_image(name, arguments.size)
    rows = []
    with for_this_terminal() as progress:
        progress.start("comparing", 2 * len(crops.SETTINGS) + 1)
        for row in crops.agreements(name, image, width=width):
            rows.append(row)
            progress.update(len(rows), crops=str(row.crops))
        effect = crops.border_effect(name, image, width=width)
        progress.update(len(rows) + 1)
    if arguments.json:
        print_json({
            "model": name, "width": width, "size": image.shape[:2],
            "agreements": [row._asdict() | {"equal": row.equal} for row in rows],
            "border_effect": vars(effect) | {"rings": [ring._asdict() for ring in effect.rings]},
        })
    else:
        _show_crops(name, image.shape[:2], rows, effect)
    return 0 if all(row.equal for row in rows) else 1


def _show_crops(name: str, image_size: tuple[int, int], rows: list[Any], effect: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    console, (h, w) = Console(), image_size
    console.print(f"{name} on crops, and made dense, on an image of {h}x{w}\n", highlight=False)
    table = Table("what", "padding", "dtype", "Winograd", "crops", "largest difference", "allowed", "",
                  box=None, pad_edge=False)
    for row in rows:
        verdict = "[green]equal[/green]" if row.equal else "[red]DIFFERENT[/red]"
        table.add_row(row.what, row.padding, row.dtype, "yes" if row.winograd else "no", str(row.crops),
                      f"{row.max_relative_difference:.1e}", f"{row.allowed:.0e}", verdict)
    console.print(table)
    console.print(f"\n{name} as published pads inside. The crop in the middle of the image, cell by cell of "
                  f"{effect.value}, against the dense network in the same place, in float64:\n", highlight=False)
    table = Table("from the border", "pixels", "cells", "largest difference", "mean difference",
                  box=None, pad_edge=False)
    for ring in effect.rings:
        table.add_row(str(ring.distance), str(ring.pixels), str(ring.cells), f"{ring.max_relative_difference:.1e}",
                      f"{ring.mean_relative_difference:.1e}")
    console.print(table)
    console.print(f"\nThe scores differ by {effect.scores_relative_difference:.1e} of the largest. {_why(effect)}",
                  highlight=False)


def _why(effect: Any) -> str:
    layers = [f"{name} pads by {padding}" for name, padding in effect.padded]
    listed = ", ".join(layers[:4]) + (f" and {len(layers) - 4} more layers pad" if len(layers) > 4 else "")
    return (f"Why: {listed}. At its border the crop sees zeros there, where the dense network sees the pixels around "
            f"the crop, and every such layer carries the difference further in. Without padding there is none.")
