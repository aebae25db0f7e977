"""minifcn warmup: compile the kernels now, so that nothing later waits for it."""

import argparse
from typing import Any

from .options import add_json, print_json

EXAMPLES = """\
examples:
  minifcn warmup                             what training and prediction of any model need
  minifcn warmup fcn8s                       what one model needs

Machine code is kept on disk (`minifcn doctor` says where), so once after an installation is enough.
"""

# Each trains for one step and predicts once: a laptop's size, and wide layers on larger maps, which other algorithms
# compute. (width, batch size, height, width)
SIZES = ((0.125, 2, 96, 128), (0.5, 1, 224, 224))


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "warmup", help="compile the kernels ahead", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="see `minifcn models`; default all that train")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    import time

    from .. import models
    from ..kernels.cpu._compile import cache_folder
    from ..kernels.cpu._notice import NOTICE
    from ..progress import for_this_terminal

    names = arguments.models or models.names_of("segmentation")
    for name in names:
        models.check_segments("warmup", name)
    work = [(name, size) for name in names for size in SIZES]
    began = time.perf_counter()
    NOTICE.told = True  # the progress line says it already
    with for_this_terminal() as progress:
        progress.start("compiling", len(work))
        for done, (name, size) in enumerate(work, 1):
            _use(name, *size)
            progress.update(done, model=name, functions=str(NOTICE.functions))
    NOTICE.told = False
    report = {"functions": NOTICE.functions, "seconds": round(time.perf_counter() - began, 1),
              "folder": str(cache_folder())}
    if arguments.json:
        print_json(report)
    else:
        print(f"compiled {report['functions']} functions in {report['seconds']} s, kept in {report['folder']}")
    return 0


def _use(name: str, width: float, batch_size: int, h: int, w: int) -> None:
    """One step of training and one prediction, by the very calls that these commands make."""
    import numpy as np

    from .. import fuse, models, optim
    from ..layers import SoftmaxCrossEntropy
    from ..prediction import Predictor, frozen

    net = models.build(name, num_classes=8, width=width, **models.same_padding(name), rng=0)
    channels = models.MODELS[name].channels
    xs = [np.zeros((batch_size, count, h, w), np.float32) for count in channels]
    fused, loss = fuse(net), SoftmaxCrossEntropy()
    y = fused.forward(*xs, record=True)
    gradients = []
    for scores in y if isinstance(y, tuple) else (y,):
        target = np.zeros((batch_size, *scores.shape[2:]), np.int64)  # an encoder scores a smaller map
        loss.forward(scores, target, record=True)
        gradients.append(loss.backward(1.0)[0])
    fused.back_out(gradients, (False,) * len(xs))
    for optimizer in (optim.SGD(net.parameters(), 1e-9, momentum=0.9), optim.Adam(net.parameters(), 1e-9)):
        optimizer.step(1e-9)
    with frozen(net):
        Predictor(net).labels(np.zeros((h, w, sum(channels)), np.uint8))
