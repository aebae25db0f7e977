"""minifcn train: train a network and leave checkpoints, figures and pictures in a folder."""

import argparse
import sys
from typing import Any

from ..recipes import told, with_recipe
from ..settings import DEMONSTRATION, PHOTOGRAPHS, Settings
from .options import (
    DATA_HELP,
    add_device,
    add_json,
    add_speed,
    count,
    natural,
    positive,
    print_json,
    show_scores,
    size,
)

EXAMPLES = """\
examples:
  minifcn train --out runs/first
  minifcn train --data camvid:../shared/data/camvid --size 180x240 --minutes 20 --out runs/camvid
  minifcn train --recipe voc-fcn32s --data sbd:PATH --from VGG_ILSVRC_16_layers.caffemodel --out runs/fcn32s
  minifcn train --model fcn16s --from runs/fcn32s --out runs/fcn16s
  minifcn train --out runs/first --resume
"""

NOT_SETTINGS = ("out", "resume", "overwrite", "json", "run", "recipe")


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "train", help="train a network", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(run=run)
    where = parser.add_argument_group("where")
    where.add_argument("--out", metavar="RUN", default="runs/latest", help="folder for the results (runs/latest)")
    earlier = where.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", default=False, help="go on with the run in --out")
    earlier.add_argument("--overwrite", action="store_true", default=False, help="replace the run in --out")
    what = parser.add_argument_group("what")
    what.add_argument("--data", metavar="DATA", help=f"{DATA_HELP}; {_default('data')}")
    what.add_argument("--splits", nargs=2, metavar=("TRAIN", "VAL"), help="parts of the data; default train val")
    what.add_argument("--model", metavar="NAME", help=f"see `minifcn models`; {_default('model')}")
    what.add_argument("--from", "--weights", dest="weights", nargs="+", metavar="RUN_OR_FILE",
                      help="start from a run (fcn16s from fcn32s, say) or from published weights (.caffemodel, "
                      ".safetensors, .pth), layers found by name; one, or one for each input of a network with several")
    what.add_argument("--new-layers", nargs="+", metavar="LAYER", help="with --from: layers that start anew")
    what.add_argument("--recipe", metavar="NAME", default=None, help="a published solver, voc-fcn8s for example: model "
                      "and all that follows as the authors had it; options given beside it come first")
    what.add_argument("--width", type=positive, help=f"times the paper's channels; {_default('width')}")
    what.add_argument("--padding", choices=("same", "paper"), help="same (default) or the paper's")
    what.add_argument("--size", type=size, metavar="HxW", help="resize every image to this; default its own size")
    what.add_argument("--crop", type=size, metavar="HxW", help="then cut out a random window of this size")
    what.add_argument("--pad", action="store_true", help="add rows and columns, which nobody learns from, where the "
                      "network does not take the images' size")
    what.add_argument("--scale", type=positive, nargs=2, metavar=("LOW", "HIGH"), help="random zoom; default none")
    what.add_argument("--pixels", choices=("standard", "raw"),
                      help=f"mean 0 and deviation 1, or 0..255 as they are; {_default('pixels')}")
    what.add_argument("--no-flip", dest="flip", action="store_false", help="no random mirroring")
    what.add_argument("--elastic", type=positive, metavar="SIGMA", help="random elastic deformation, of so many pixels "
                      "(standard deviation; U-Net has 10); default none")
    how = parser.add_argument_group("how long")
    length = how.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=positive, help=f"about so long on this machine; {_default('minutes')}")
    length.add_argument("--epochs", type=positive, help="so many times through the training images")
    length.add_argument("--iterations", type=count, help="so many batches")
    rule = parser.add_argument_group("how")
    rule.add_argument("--optimizer", choices=("adam", "sgd"), help=_default("optimizer"))
    rule.add_argument("--lr", type=positive, help=f"learning rate; {_default('lr')}")
    rule.add_argument("--policy", choices=("poly", "step", "fixed"), help=f"how lr falls; {_default('policy')}")
    rule.add_argument("--momentum", type=float, help=f"of sgd; {_default('momentum')}")
    rule.add_argument("--weight-decay", type=float, help=_default("weight_decay"))
    rule.add_argument("--batch-size", type=count, help=f"images a batch; {_default('batch_size')}")
    rule.add_argument("--accumulate", type=count, help=f"batches a step; {_default('accumulate')}")
    rule.add_argument("--reduction", choices=("mean", "sum", "valid", "batch"),
                      help=f"of the loss over pixels; {_default('reduction')}")
    rule.add_argument("--class-weights", choices=("none", "median", "enet", "enet-encoder", "segnet-camvid"),
                      help=f"computed from the data, or SegNet's for CamVid; {_default('class_weights')}")
    rule.add_argument("--weight-map", choices=("none", "unet"),
                      help="unet: beside its class weight, a pixel of class 0 between two objects counts more, the "
                      f"narrower the gap; {_default('weight_map')}")
    rule.add_argument("--evaluations", type=count, help=f"scorings of the val images; {_default('evaluations')}")
    rule.add_argument("--seed", type=natural, help=f"of everything random; {_default('seed')}")
    add_device(rule, _default("device"))
    add_speed(rule)
    add_json(parser)


def _default(name: str) -> str:
    """What an option is when it is not given, for the help text."""
    values = [{**vars(Settings), **special}[name] for special in (DEMONSTRATION, PHOTOGRAPHS)]
    scenes, files = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return f"default {scenes}" if scenes == files else f"default {scenes}, for files {files}"


def run(arguments: argparse.Namespace) -> int:
    from ..progress import for_this_terminal
    from ..runs import RunFolder
    from ..training import train

    given = {name: value for name, value in vars(arguments).items() if name not in NOT_SETTINGS}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if arguments.resume:
        settings = None
        given = with_recipe(arguments.recipe, given) if arguments.recipe else given
        _refuse_changes(given, RunFolder(arguments.out).read_info()["settings"])
    else:
        settings = _settings(given, arguments.recipe)
    progress = for_this_terminal()
    result = train(settings, arguments.out, resume=arguments.resume, overwrite=arguments.overwrite, progress=progress)
    if not result.finished:
        how = f"`minifcn train --out {result.folder.path} --resume` goes on"
        print(f"interrupted at step {result.step}; {how}", file=sys.stderr)
    if "json" in arguments:
        print_json(_facts(result))
    else:
        _report(result)
    return 0


def _settings(given: dict[str, Any], recipe: str | None) -> Settings:
    """The given settings over those of a recipe, which is told, or over the defaults."""
    if recipe is None:
        return Settings.for_data(**given)
    settings = Settings.for_data(**with_recipe(recipe, given))
    print(told(recipe, settings), file=sys.stderr)
    return settings


def _refuse_changes(given: dict[str, Any], kept: dict[str, Any]) -> None:
    """A resumed run goes by its own settings: one that is given again must be the same."""
    for name, value in given.items():
        before = kept.get(name, getattr(Settings, name, None))  # a run of an earlier version has fewer settings
        before = tuple(before) if isinstance(before, list) else before
        if before != value:
            raise ValueError(f"train --resume: expected the settings that the run was started with ({name} {before}), "
                             f"got {name} {value}. Leave the option out, or start a new run in another folder.")


def _facts(result: Any) -> dict[str, Any]:
    """The result for programs: the fields of `minifcn evaluate --json`, and how the training ended."""
    return result.scores.as_dict(result.classes) | {
        "run": str(result.folder.path), "step": result.step, "seconds": result.seconds, "finished": result.finished,
    }


def _report(result: Any) -> None:
    folder = result.folder
    show_scores(result.scores.as_dict(result.classes))
    print(f"trained {result.step} steps in {result.seconds:.0f} s; picture: {folder.preview}")
    if result.curves_drawn:
        print(f"curves: {folder.curves}")
    else:
        print('no curves.png: matplotlib is not installed; pip install "minifcn[viz]" brings it')
    if folder.street:
        print("The validation scenes come from the same generator as the training scenes, with other seeds: "
              "a high score says that the network learns, not that it would do as well on photographs.")

