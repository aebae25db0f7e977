"""minifcn models: list the networks that can be built by name."""

import argparse
from typing import Any

from .options import add_json, print_json


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "models", help="list the networks", description=__doc__,
        epilog="example:\n  minifcn models --json", formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from .. import init
    from ..models import MODELS, build, count_parameters

    rows: list[dict[str, Any]] = []
    for name, model in MODELS.items():
        with init.shapes_only():
            parameters = count_parameters(build(name))
        rows.append({"name": name, "task": model.task, "summary": model.summary, "source": model.source,
                     "parameters": parameters})
    if arguments.json:
        print_json(rows)
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what it is", "trainable", "frozen", "source", box=None, pad_edge=False)
    for row in rows:
        trainable, frozen = (f"{row['parameters'][key]:,}" for key in ("trainable", "frozen"))
        table.add_row(row["name"], row["summary"], trainable, frozen, row["source"])
    Console().print(table)
    print("parameters at width 1.0, with as many classes as the papers' data have: VOC's 21, CamVid's 11 (SegNet), "
          "Cityscapes' 20 (ENet), 2 for cells (U-Net), NYUDv2's 40, SIFT Flow's 33 and 3, 1000 for classifiers (which "
          "do not train here, see `compare`)")
    return 0
