"""minifcn gradcheck: compare every handwritten gradient with differences of the forward pass."""

import argparse
from typing import Any

from .options import add_json, print_json

EXAMPLES = """\
examples:
  minifcn gradcheck                          every layer, in many configurations
  minifcn gradcheck Conv2d MaxPool2d         some of them
  minifcn gradcheck fcn8s                    a whole network, by samples
  minifcn gradcheck mine.py:MyLayer          a layer of your own: a class with forward and backward
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "gradcheck", help="prove every gradient", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("names", metavar="NAME", nargs="*", help="layers, models or FILE.py:CLASS; default every layer")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from .. import gradcheck
    from ..progress import for_this_terminal

    with for_this_terminal() as progress:
        results = gradcheck.run(arguments.names or None, progress)
    if arguments.json:
        print_json([gradcheck.as_dict(result) for result in results])
    else:
        _show(results)
    return 0 if all(result.passed for result in results) else 1


def _show(results: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "configurations", "worst relative error", "", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for result in results:
        verdict = "[green]passed[/green]" if result.passed else "[red]FAILED[/red]"
        table.add_row(result.name, str(result.configurations), f"{result.worst_relative_error:.1e}", verdict)
    console = Console()
    console.print(table)
    for result in results:
        if not result.passed:
            console.print(f"\n{result.name}: {result.failure}", markup=False, highlight=False)
