"""minifcn explain: why a network is as it is, with your own numbers."""

import argparse
from typing import Any

from .options import add_json, add_network, build_shapes, print_json

EXAMPLES = """\
examples:
  minifcn explain crop fcn32s --size 375x500     why its crop is at 19, and what a centre crop would do
  minifcn explain size fcn8s --size 375x500      which images it can take, and whether this is one
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "explain", help="why a network is as it is", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=lambda arguments: parser.error("expected what to explain: crop or size"))
    topics = parser.add_subparsers(metavar="WHAT", parser_class=type(parser))
    crop = topics.add_parser(
        "crop", help="derive each crop offset, step by step", description="Derive each crop offset, step by step.",
        epilog="example:\n  minifcn explain crop fcn8s --size 375x500",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    crop.set_defaults(run=run_crop)
    sizes = topics.add_parser(
        "size", help="which images a network can take",
        description="Which images a network can take; with --size, whether that is one (exit code 1 if not).",
        epilog="example:\n  minifcn explain size fcn8s --size 375x500",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes.set_defaults(run=run_size)
    for topic in (crop, sizes):
        add_network(topic)
        add_json(topic)


def run_crop(arguments: argparse.Namespace) -> int:
    from ..explain.crop_words import RULES, told
    from ..explain.crops import derive_crops

    net, size = build_shapes(arguments, check="explain crop")
    crops = derive_crops(net, size)
    if arguments.json:
        print_json([axis.as_dict() for crop in crops for axis in crop])
        return 0
    print(f"{arguments.model}, image of {size[0]}x{size[1]}")
    if not crops:
        print("crops nothing: no map has to be brought to the size of another.")
        return 0
    print(f"\n{RULES}")
    for crop in crops:
        print(f"\n{told(*crop)}")
    return 0


def run_size(arguments: argparse.Namespace) -> int:
    from ..explain.sizes import legal_sizes
    from ..shapes import complaint, shapes_of

    net, _ = build_shapes(arguments)
    rows, columns = legal_sizes(net)
    report: dict[str, Any] = {"model": arguments.model, "rows": rows.told(), "columns": columns.told()}
    if arguments.size is not None:
        wrong = complaint(net, arguments.size)
        nearest = rows.nearest(arguments.size[0]), columns.nearest(arguments.size[1])
        shapes = shapes_of(net, nearest)
        report |= {"size": arguments.size, "legal": wrong is None, "complaint": wrong, "nearest": nearest,
                   "outputs": {name: shapes[name] for name in net.outputs}}
    if arguments.json:
        print_json(report)
    else:
        _show(report)
    return 0 if report.get("legal", True) else 1


def _show(report: dict[str, Any]) -> None:
    alike = report["rows"] == report["columns"]
    print(f"{report['model']} takes images with " + (f"rows and columns: {report['rows']}" if alike else
                                                     f"rows: {report['rows']}; columns: {report['columns']}"))
    if "size" not in report:
        return
    asked, nearest = ("x".join(map(str, report[key])) for key in ("size", "nearest"))
    outputs = ", ".join(f"{name} {'x'.join(map(str, shape[1:]))}" for name, shape in report["outputs"].items())
    if report["legal"]:
        print(f"{asked} is legal; out come {outputs}")
        return
    print(f"{asked} is not legal. {report['complaint']}")
    steps = [f"{abs(to - of)} {name} {'more' if to > of else 'fewer'}"
             for name, of, to in zip(("rows", "columns"), report["size"], report["nearest"], strict=True) if to != of]
    print(f"nearest legal size: {nearest}, {' and '.join(steps)}; out come {outputs}")
