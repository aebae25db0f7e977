"""minifcn convert: make a checkpoint of published weights, which evaluate, predict and train then take."""

import argparse
from typing import Any

from .options import add_json, print_json

EXAMPLES = """\
examples:
  minifcn convert fcn8s-heavy-pascal.caffemodel --model fcn8s --data voc --out fcn8s-voc.safetensors
  minifcn evaluate fcn8s-voc.safetensors --data sbd:PATH --split seg11valid

docs/published.md says where the files are, and which figures the papers have for them.
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "convert", help="make a checkpoint of published weights", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("weights", metavar="FILE", help=".caffemodel; torchvision's VGG-16, AlexNet or GoogLeNet as "
                        ".safetensors or .pth")
    parser.add_argument("--model", required=True, metavar="NAME", help="the network that they are of: `minifcn models`")
    parser.add_argument("--data", metavar="KIND", help="what the network was trained for: voc, nyud, nyud-hha, "
                        "siftflow, pascal-context, ...: its classes, colours and mean; without it, the model's own "
                        "number of classes, nameless")
    parser.add_argument("--out", required=True, metavar="FILE.safetensors", help="where to")
    parser.add_argument("--padding", help="of the model, if it has the choice; default paper")
    parser.add_argument("--new-layers", nargs="+", default=(), metavar="LAYER", help="layers not to take from the file")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..progress import for_this_terminal
    from ..published import convert

    options = {"padding": arguments.padding} if arguments.padding else {}
    with for_this_terminal() as progress:
        progress.say(f"converting {arguments.weights}; a large network takes some seconds")
        loaded = convert(arguments.weights, arguments.out, arguments.model, data=arguments.data,
                         new=arguments.new_layers, **options)
    if arguments.json:
        facts = loaded._asdict() | {"preprocessing": loaded.preprocessing.meta()}
        print_json({"out": arguments.out} | facts)
        return 0
    print(f"{arguments.weights} -> {arguments.out}: {len(loaded.copied)} arrays by name")
    if loaded.untouched:
        print(f"not in the file, as the network starts: {', '.join(loaded.untouched)}")
    if loaded.dropped:
        print(f"of the file, not in the network: {', '.join(loaded.dropped)}")
    order, mean = loaded.preprocessing.channel_order, loaded.preprocessing.mean
    print(f"it sees {order}, with the mean {', '.join(f'{number:g}' for number in mean)} (red first) subtracted")
    return 0
