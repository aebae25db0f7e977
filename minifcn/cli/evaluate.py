"""minifcn evaluate: score a trained network on a data set."""

import argparse
from typing import Any

from .options import DATA_HELP, add_json, add_speed, print_json, show_scores, speed_of


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate", help="score a trained network", description=__doc__,
        epilog="example:\n  minifcn evaluate runs/first --data street --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("source", metavar="RUN_OR_FILE", help="a run folder (its best checkpoint) or a checkpoint file")
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--split", default="val", help="default val")
    add_speed(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..evaluation import evaluate
    from ..prediction import Predictor
    from ..progress import for_this_terminal

    predictor = Predictor.open(arguments.source, fuse=arguments.fuse)
    with for_this_terminal() as progress, speed_of(arguments):
        started = False

        def report(done: int, total: int) -> None:
            nonlocal started
            if not started:
                progress.start("evaluating", total)
                started = True
            progress.update(done)

        scores = evaluate(predictor, arguments.data, arguments.split, report)
    if arguments.json:
        print_json(scores)
    else:
        show_scores(scores)
        print(f"{scores['images']} images in {scores['seconds']:.1f} s")
    return 0
