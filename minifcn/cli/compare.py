"""minifcn compare: what making a classifier dense changes, and what it does not."""

import argparse
from typing import Any

from .options import add_json, count, positive, print_json, size

EXAMPLES = """\
examples:
  minifcn compare crops                      AlexNet on crops and dense: where the two agree
  minifcn compare crops vgg16 --size 500x600
  minifcn compare patches                    AlexNet on 100 patches and dense: what each costs, about a minute
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "compare", help="a classifier on crops, and made dense", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _add_crops(kinds)
    _add_patches(kinds)


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


def _add_patches(kinds: Any) -> None:
    parser = kinds.add_parser(
        "patches", help="what does labelling an image cost both ways?",
        description="Label an image with AlexNet, patch by patch in one batch and made dense, and compare time and "
                    "FLOPs. With --width below 1 the ratios are not the paper's.",
        epilog="example:\n  minifcn compare patches --repeats 3 --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run_patches)
    parser.add_argument("--size", type=size, metavar="HxW", default=(500, 500), help="of the image; default 500x500")
    parser.add_argument("--width", type=positive, default=1.0, help="times the paper's channels; default 1")
    parser.add_argument("--repeats", type=count, default=5, help="measurements, of which the median counts; default 5")
    add_json(parser)


def run_crops(arguments: argparse.Namespace) -> int:
    from ..explain import crops_against_dense as crops
    from ..progress import for_this_terminal

    name, width = arguments.model, arguments.width
    crops.check_classifier(name)
    image = crops.image_for(name, arguments.size)
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


def run_patches(arguments: argparse.Namespace) -> int:
    from ..explain.patches import compare_patches
    from ..progress import for_this_terminal

    with for_this_terminal() as progress:
        progress.start("measuring", 2 * (arguments.repeats + 1))
        rows = compare_patches(width=arguments.width, size=arguments.size, repeats=arguments.repeats,
                               report=lambda done, _: progress.update(done))
    if arguments.json:
        print_json([row.as_dict() for row in rows])
    else:
        _show_patches(arguments, rows)
    return 0


def _show_patches(arguments: argparse.Namespace, rows: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..explain.patches import PAPER

    console, (h, w), patches = Console(), arguments.size, rows[0].patches
    console.print(f"AlexNet of width {arguments.width:g} on an image of {h}x{w}: dense, and {patches} patches in one "
                  f"batch\n", highlight=False)
    table = Table("", "dense", f"{patches} patches", "ratio", "FLOP ratio", "paper", box=None, pad_edge=False)
    for row in rows:
        kernels = "with Winograd" if row.winograd else "no Winograd"
        for way, flop_ratio in (("forward", row.flop_ratio), ("backward", row.backward_flop_ratio)):
            times = [f"{1e3 * getattr(side, f'{way}_seconds'):.0f} ms" for side in (row.dense, row.crops)]
            table.add_row(f"{way}, {kernels}", *times, f"{getattr(row, f'{way}_ratio'):.1f}", f"{flop_ratio:.1f}",
                          f"{PAPER[way]:.1f}")
    console.print(table)
    first = rows[0]
    console.print(f"\nForward {first.dense.forward_flops / 1e9:.1f} GFLOP against "
                  f"{first.crops.forward_flops / 1e9:.1f}. {first.same_labels:.0%} of the positions get the same "
                  f"label; at the others padding decides, see `minifcn compare crops`. Where Winograd makes 3x3 "
                  f"convolutions faster, patches gain more: these are a larger part of their work.", highlight=False)
