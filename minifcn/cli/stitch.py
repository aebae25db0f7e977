"""minifcn stitch: shift-and-stitch equals the network without strides, and where it does not, and why.

Without MODEL: the smallest case number by number, narrow networks of strides 2, 4, 8 and 32 with and without padding
inside, in float32 and float64, two short cuts that are not the same, and three ways to every pixel on street scenes.
"""

import argparse
import itertools
import sys
from typing import Any

from .options import add_json, count, padding_of, positive, print_json, size

EXAMPLES = """\
examples:
  minifcn stitch                                     the whole demonstration, under a minute
  minifcn stitch fcn32s street.png --width 0.03      a published network, narrow, on a picture
  minifcn stitch runs/first                          a network that you trained
  minifcn stitch --paper --json                      FCN-AlexNet at full width, 1,024 shifts: some minutes
"""
PAPER_MODEL, PAPER_SIZE, PAPER_ROWS = "fcn-alexnet", (500, 500), 16
WIDTH = 1 / 16  # of a network by name, unless told: at stride 32 it runs 1,024 times
NARROW_SIZE, DEFAULT_SIZE = (61, 83), (129, 161)  # which no stride divides; a classifier gets its crop more


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "stitch", help="dense scores by shifted runs, proved", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", metavar="MODEL", nargs="?", help="see `minifcn models`, or a run folder or checkpoint")
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="a picture; default a built-in street scene")
    parser.add_argument("--size", type=size, metavar="HxW", help="resize the picture to this")
    parser.add_argument("--width", type=positive, help="times the paper's channels, of a model by name; default 1/16")
    parser.add_argument("--padding", help="of a model by name: the paper's (default), same, or valid for classifiers")
    parser.add_argument("--winograd", action="store_true", help="allow Winograd: faster, agreement to 1e-4 only")
    parser.add_argument("--rows", type=count, metavar="N", help="the rarefied network in bands of N rows, for memory")
    parser.add_argument("--paper", action="store_true", help="FCN-AlexNet at full width on 500x500, in bands, float32")
    parser.add_argument("--out", metavar="PICTURE", help="where the figure goes (stitch.png; with --json none)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..progress import for_this_terminal

    if arguments.paper:
        if arguments.model:
            raise ValueError(f"stitch: expected no MODEL beside --paper, which takes {PAPER_MODEL}, got "
                             f"{arguments.model!r}. Leave one of the two out.")
        arguments.model, arguments.width = PAPER_MODEL, 1.0
        arguments.size, arguments.rows = arguments.size or PAPER_SIZE, arguments.rows or PAPER_ROWS
    if arguments.out is None and not arguments.json:
        arguments.out = "stitch.png"
    with for_this_terminal() as progress:
        if arguments.model:
            return _one(arguments, progress)
        for name, example in (("width", "0.1"), ("padding", "same"), ("rows", "16")):
            if getattr(arguments, name) is not None:
                raise ValueError(f"stitch: expected --{name} together with a MODEL, got it alone. Name a model, "
                                 f"for example `minifcn stitch fcn32s --{name} {example}`.")
        return _demonstration(arguments, progress)


def _demonstration(arguments: argparse.Namespace, progress: Any) -> int:
    import numpy as np

    from ..explain import stitching_basics, stitching_figure, stitching_nets, stitching_report, upsampling

    if not arguments.json:
        print(stitching_basics.tell(stitching_basics.smallest_case()))
    picture = _picture(None, arguments.size, NARROW_SIZE)
    cases = list(itertools.product(stitching_nets.STRIDES, (False, True), (np.float32, np.float64)))
    found = []
    progress.start("networks", len(cases))
    for stride, padded, dtype in cases:
        net, name = stitching_nets.narrow_net(stride, padded, dtype=dtype), "padded" if padded else "not padded"
        x = _centred(picture, dtype)
        found.append(stitching_report.compare(f"{name} inside", net, x, winograd=arguments.winograd))
        progress.update(len(found))
    if not arguments.out:
        progress.close()
        return _report(arguments, found)
    wrong = stitching_basics.what_is_not_the_same(stitching_nets.narrow_net(8, False), _centred(picture, np.float32))
    ways = upsampling.side_by_side(progress=progress)
    progress.close()
    stitching_figure.draw_ways(arguments.out, ways)
    code = _report(arguments, found)
    if not arguments.json:
        print("\nNot the same, although it looks so (stride 8; difference relative to the largest score):")
        for name, difference in wrong.items():
            print(f"  {name:32} {difference:.2f}")
        _show_ways(ways)
        print(f"\nfigure: {arguments.out}")
    return code


def _one(arguments: argparse.Namespace, progress: Any) -> int:
    """One network, on one picture."""
    from ..cutting import scores_of
    from ..explain import stitching_figure, stitching_report

    net, prepare, least = _network(arguments)
    trunk = scores_of(net)
    picture = _picture(arguments.image, arguments.size, (least + DEFAULT_SIZE[0], least + DEFAULT_SIZE[1]))
    x = prepare(picture, next(iter(net.parameters().values())).data.dtype)
    found = stitching_report.compare(
        f"{arguments.model} up to {trunk.outputs[0]}", trunk, x, winograd=arguments.winograd, rows=arguments.rows,
        progress=progress,
    )
    progress.close()
    code = _report(arguments, [found])
    if arguments.out:
        stitching_figure.draw_one(arguments.out, picture, found, trained=prepare is not _centred)
        if not arguments.json:
            print(f"\nfigure: {arguments.out}")
    return code


def _network(arguments: argparse.Namespace) -> tuple[Any, Any, int]:
    """A network by name, with random weights, or from a file; how it wants its pictures; a classifier's crop, or 0."""
    from pathlib import Path

    import numpy as np

    from ..gradcheck.network import randomise
    from ..models import MODELS, build
    from ..prediction import Predictor, Preprocessing
    from ..surgery import convolutionalize

    name = arguments.model
    if name not in MODELS and Path(name).exists():
        if arguments.width is not None or arguments.padding is not None:
            raise ValueError(f"stitch: expected --width and --padding only for a model by name, got the file {name!r}. "
                             f"A trained network has its own.")
        predictor = Predictor.open(name)
        return predictor.net, Preprocessing.from_meta(predictor.meta), 0
    net = build(name, width=arguments.width or WIDTH, rng=0, **padding_of(arguments))
    randomise(net, np.random.default_rng(1))  # score layers start at zero, and zeros always agree
    crops = MODELS[name].crops
    if crops is None:
        return net, _centred, MODELS[name].least - 1
    crop = crops[arguments.padding or "paper"]
    return convolutionalize(net, crop), _centred, crop


def _picture(path: str | None, shape: tuple[int, int] | None, default: tuple[int, int]) -> Any:
    """(H, W, 3) uint8: the file, or a street scene of the size `default`; brought to `shape` if there is one."""
    from ..data import Street, read_image, resize_image

    if path is None:
        return resize_image(Street("val")[0].image, shape or default)
    image = read_image(path)
    return resize_image(image, shape) if shape else image


def _centred(image: Any, dtype: Any) -> Any:
    """image (H, W, 3) uint8 -> (1, 3, H, W), about -2 .. 2."""
    import numpy as np

    return np.ascontiguousarray(((image.astype(dtype) - 128) / 64).transpose(2, 0, 1)[None])


def _report(arguments: argparse.Namespace, found: list[Any]) -> int:
    from ..explain.stitching_cost import peak_rss

    if arguments.json:
        rows = [agreement.as_dict() for agreement in found]
        print_json([row | {"peak_rss_gib": peak_rss()} for row in rows] if arguments.paper else rows)
    else:
        _table(found)
        if arguments.paper:
            print(f"peak resident memory {peak_rss()} GiB")
    for agreement in found:
        if not agreement.equal:
            print(f"minifcn: {agreement.model}, stride {agreement.stride[0]}, {agreement.dtype}: expected differences "
                  f"of at most {agreement.tolerance:.0e} outside the margin, got {agreement.outside:.1e}.",
                  file=sys.stderr)
    return 0 if all(agreement.equal for agreement in found) else 1


def _table(found: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("stride", "dtype", "margin", "outside", "in it", "equal", "seconds", "GFLOP", "MiB",
                  box=None, pad_edge=False, collapse_padding=True)
    for number, column in enumerate(table.columns):
        column.justify, column.no_wrap = "left" if number in (1, 5) else "right", True
    for one in found:
        verdict = "[green]yes[/green]" if one.equal else "[red]NO[/red]"
        table.add_row(
            _pair(one.stride), one.dtype, _pair(one.margin), f"{one.outside:.0e}",
            f"{one.inside:.0e}" if any(one.margin) else "-", verdict,
            *(" ".join(f"{figure:.2g}" for figure in pair) if pair else "-"
              for pair in (one.seconds, one.gflop, one.mebibytes)),
        )
    print("\nShift-and-stitch against the rarefied network, which has no strides and the same weights.\n"
          "margin: how many rows and columns at the top and left differ, 0 where nothing pads inside; outside,\n"
          "in it: by how much, relative to the largest score; seconds, GFLOP, MiB (of maps): of all shifted runs,\n"
          "and of the one rarefied run.\n")
    Console().print(table)


def _show_ways(ways: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("way", "mean IoU", "seconds an image", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, score in ways.mean_iou.items():
        table.add_row(name, f"{score:.3f}", f"{ways.seconds[name]:.4f}")
    print("\nThree ways from one trunk of stride 8 to every pixel, on held-out street scenes:\n")
    Console().print(table)


def _pair(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
