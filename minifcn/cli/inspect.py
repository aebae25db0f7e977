"""minifcn inspect: a network layer by layer: shapes, parameters, FLOPs, memory, receptive field, stride and offset.

A FLOP is one multiplication or one addition: a convolution of M multiply-adds has 2*M. Nothing is computed.
"""

import argparse
from fractions import Fraction
from typing import Any

from .options import add_json, add_network, build_shapes, print_json

NOTES = """
One image of {h}x{w}, forward, float32.
GFLOP   1e9 FLOPs, multiply-adds x 2, of the layers with weights; others count nothing
MiB     the layer's output
field   rows x columns of the image that one pixel sees
offset  pixel (i, j) lies at offset + stride * (i, j) of the image"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "inspect", help="a network layer by layer", description=__doc__,
        epilog="examples:\n  minifcn inspect fcn8s\n  minifcn inspect fcn32s --size 375x500 --width 0.25 --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add_network(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..explain import inspect

    net, size = build_shapes(arguments, check="inspect")
    table = inspect(net, size)
    if arguments.json:
        print_json({**(net.architecture or {}), "size": size, **table.as_dict()})
        return 0
    from rich.console import Console

    Console(width=max(120, Console().width)).print(_table(table))  # numbers are not to be cut short
    parameters = f"{table.trainable:,} trainable + {table.frozen:,} frozen parameters"
    print(f"in all  {parameters}, {table.flops / 1e9:,.1f} GFLOP, {table.activation_bytes / 2**20:,.1f} MiB")
    print(NOTES.format(h=size[0], w=size[1]))
    return 0


def _table(table: Any) -> Any:
    from rich.markup import escape
    from rich.table import Table

    several = len({row.input for row in table.rows}) > 1
    columns = ["layer", "kind", "output", "trainable", "frozen", "GFLOP", "MiB", "field", "stride", "offset"]
    shown = Table(*columns, *(["of"] if several else []), box=None, pad_edge=False)
    for column in shown.columns[2:]:
        column.justify, column.no_wrap = "right", True
    for row in table.rows:
        shown.add_row(
            escape(row.name), row.kind, "x".join(map(str, row.shape[1:])), _count(row.trainable), _count(row.frozen),
            f"{row.flops / 1e9:.3g}" if row.flops else "", f"{row.activation_bytes / 2**20:.1f}",
            _pair(row.receptive_field), _pair(row.stride), _pair(row.offset), *([row.input] if several else []),
        )
    return shown


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _pair(both: tuple[int | Fraction, int | Fraction] | None) -> str:
    """One number if rows and columns agree."""
    if both is None:
        return "-"
    rows, columns = (f"{float(part):g}" for part in both)
    return rows if rows == columns else f"{rows} x {columns}"
