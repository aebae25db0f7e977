"""FCN's three stages: 32s, then 16s from it, then 8s from that; does each see more than the one before?

    python -m benchmarks.stages --steps 400
    python -m benchmarks.stages --data camvid:../shared/data/camvid --size 180 240 --steps 1500

Each stage takes over the layers of the one before by name, and begins its new score layer at zero, so that at first it
sees what that one saw (Long, Shelhamer, Darrell 2015, section 4.2). As a later stage has been trained for longer, 32s
is also trained on, twice for as many steps: what that gains is not the finer map's doing. Mean IoU is that of the best
of eight evaluations in each stage, as `minifcn train` keeps it.
"""

import argparse
import json
from pathlib import Path

from minifcn.files import write_whole
from minifcn.progress import for_this_terminal
from minifcn.settings import Settings
from minifcn.training import train

STAGES = (  # folder, model, the stage that it starts from
    ("32s", "fcn32s", None), ("16s", "fcn16s", "32s"), ("8s", "fcn8s", "16s"),
    ("32s-on", "fcn32s", "32s"), ("32s-on-and-on", "fcn32s", "32s-on"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="street")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--width", type=float)
    parser.add_argument("--steps", type=int, default=400, help="of each stage; default 400")
    parser.add_argument("--lr", type=float, default=Settings.lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/stages"), help="a folder for the runs and stages.json")
    chosen = parser.parse_args()
    given = {"data": chosen.data, "iterations": chosen.steps, "lr": chosen.lr, "seed": chosen.seed}
    given |= {"size": tuple(chosen.size)} if chosen.size else {}
    given |= {"width": chosen.width} if chosen.width else {}
    found = []
    for name, model, start in STAGES:
        weights = {"weights": str(chosen.out / start)} if start else {}
        settings = Settings.for_data(model=model, **weights, **given)
        result = train(settings, chosen.out / name, overwrite=True, progress=for_this_terminal())
        scores = {metric: getattr(result.scores, metric) for metric in ("mean_iou", "pixel_accuracy")}
        found.append({"stage": name, "model": model, "from": start, "seconds": result.seconds, **scores})
        print(f"{name:14} {model}  mean IoU {scores['mean_iou']:.4f}  pixel accuracy {scores['pixel_accuracy']:.4f}  "
              f"{result.seconds:.0f} s", flush=True)
    write_whole(chosen.out / "stages.json", json.dumps({"settings": given, "stages": found}, indent=1).encode())


if __name__ == "__main__":
    main()
