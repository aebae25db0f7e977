"""minifcn evaluate: score a trained network on a data set."""

import argparse
from typing import Any

from .options import (
    DATA_HELP,
    add_device,
    add_json,
    add_pad,
    add_samples,
    add_speed,
    count,
    predictor_of,
    print_json,
    show_scores,
    speed_of,
)

EXAMPLES = """\
examples:
  minifcn evaluate runs/first --data street --json
  minifcn evaluate runs/first --data street --trimap 1 2 5 10
  minifcn evaluate runs/camvid --data camvid:PATH --split test --boundary-f1
  minifcn evaluate runs/first --data street --samples 40
  minifcn evaluate runs/voc --data sbd:PATH --split seg11valid
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate", help="score a trained network", description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("source", metavar="RUN_OR_FILE", help="a run folder (its best checkpoint) or a checkpoint file")
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--split", default="val", help="default val")
    parser.add_argument("--trimap", type=count, nargs="+", default=(), metavar="W",
                        help="score also in bands of W pixels on each side of the outlines")
    parser.add_argument("--boundary", choices=("void", "change"),
                        help="with --trimap, what an outline is: the void border around objects (default for voc), or "
                             "where one class meets another (default for others)")
    parser.add_argument("--boundary-f1", action="store_true",
                        help="score also how near predicted outlines are to true ones, and these to them (SegNet's BF)")
    add_pad(parser)
    add_samples(parser, "score the mean of N predictions with dropout on")
    add_device(parser, "default cpu", default="cpu")
    add_speed(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..evaluation import evaluate
    from ..progress import for_this_terminal

    predictor = predictor_of(arguments)
    with for_this_terminal() as progress, speed_of(arguments):
        started = False

        def report(done: int, total: int) -> None:
            nonlocal started
            if not started:
                progress.start("evaluating", total)
                started = True
            progress.update(done)

        scores = evaluate(predictor, arguments.data, arguments.split, report,
                          trimap=arguments.trimap, boundary=arguments.boundary, boundary_f1=arguments.boundary_f1)
    if arguments.samples is not None:
        scores |= {"samples": arguments.samples, "seed": predictor.rng}
    if arguments.json:
        print_json(scores)
    else:
        show_scores(scores)
        if arguments.trimap:
            _show_bands(scores["trimap"])
        sampled = "" if arguments.samples is None else f", {arguments.samples} samples each"
        print(f"{scores['images']} images in {scores['seconds']:.1f} s{sampled}")
    return 0


def _show_bands(rows: list[dict[str, Any]]) -> None:
    """How the scores fall towards the outlines."""
    from rich.console import Console
    from rich.table import Table

    table = Table("band", "pixels", "pixel accuracy", "mean IoU", box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        figures = (f"{row[key]:.3f}" if row["pixels"] else "-" for key in ("pixel_accuracy", "mean_iou"))
        table.add_row(f"{row['width']} px", f"{row['pixels']:,}", *figures)
    what = "a void pixel" if rows[0]["boundary"] == "void" else "a pixel of another class"
    print(f"\nof the pixels that are so near to {what}:")
    Console().print(table)
