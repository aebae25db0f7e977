"""The table of networks on CamVid: trains what is missing of it, scores it, and writes it into the README.

    python -m benchmarks.camvid --data ../shared/data/camvid
    python -m benchmarks.camvid --data ../shared/data/camvid --rows unet-bn

Each row is one recipe "camvid-hour-...", trained from scratch at half the pictures' size and scored on `val`, on the
label files' own grid of 360x480. A row whose recipe has not changed since it was made is kept, so the table can be made
piece by piece: results/camvid.json holds what is there, with the date and the machine of each row.
"""

import argparse
import datetime
import json
import os
from pathlib import Path
from typing import Any

from minifcn import init, models
from minifcn.enlarging import size_taken
from minifcn.explain.costs import multiply_adds
from minifcn.files import write_whole
from minifcn.recipes import RECIPES, with_recipe
from minifcn.settings import Settings

from .machine import describe

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "camvid.json"
PREFIX = "camvid-hour-"
SAMPLES = 20  # of a Bayesian network with dropout on, whose mean is scored, as in its paper
BETWEEN = ("<!-- camvid: made by python -m benchmarks.camvid -->", "<!-- /camvid -->")

# Global accuracy, class average, mean IoU, BF, in percent, and what is different there. Source: Badrinarayanan,
# Kendall, Cipolla 2017, table 3 (trained on 3,433 road scenes from several sets, scored on CamVid's test split).
PUBLISHED = {"segnet": ("90.4 / 71.2 / 60.1 / 46.8", "3,433 scenes of 360x480, VGG-16 pretrained, 140,000 steps")}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.camvid", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="CamVid, as `camvid:FOLDER` has it")
    parser.add_argument("--rows", nargs="*", default=names(), metavar="NAME", help=f"of {', '.join(names())}")
    parser.add_argument("--out", type=Path, default=Path("runs/camvid"), help="folder for the runs")
    parser.add_argument("--again", action="store_true", help="also rows whose recipe has not changed")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.rows if name not in names()]
    if unknown:
        parser.error(f"expected rows among {', '.join(names())}, got {', '.join(unknown)}")
    rows = _read()
    for name in chosen.rows:
        recipe = fingerprint(name)
        if not chosen.again and rows.get(name, {}).get("recipe") == recipe:
            print(f"{name}: kept, its recipe has not changed", flush=True)
            continue
        rows[name] = {"recipe": recipe, **_measure(name, f"camvid:{chosen.data}", chosen.out / name)}
        write_whole(RESULTS, json.dumps(rows, indent=1).encode())
    _into_readme(rows)
    print(table(rows))
    return 0


def names() -> list[str]:
    """The rows: the recipes of ours, without their prefix."""
    return [name.removeprefix(PREFIX) for name in RECIPES if name.startswith(PREFIX)]


def fingerprint(name: str) -> dict[str, Any]:
    """All that decides the outcome of a row but the code, as JSON has it."""
    return json.loads(json.dumps(RECIPES[PREFIX + name].settings()))


def _read() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def _measure(name: str, data: str, folder: Path) -> dict[str, Any]:
    """Train a row and score it."""
    from minifcn.evaluation import evaluate
    from minifcn.prediction import Predictor
    from minifcn.progress import for_this_terminal
    from minifcn.training import train
    from minifcn.uncertainty import Sampler

    settings = Settings.for_data(**with_recipe(PREFIX + name, {"data": data}))
    folder.parent.mkdir(parents=True, exist_ok=True)
    result = train(settings, folder, overwrite=True, progress=for_this_terminal())
    predictor = Sampler.of(folder, SAMPLES) if name.startswith("bayesian") else Predictor.open(folder)
    scores = evaluate(predictor, data, boundary_f1=True)
    machine = describe()
    return {
        **costs(settings), "steps": result.step, "minutes": result.seconds / 60,
        **{key: scores[key] for key in ("pixel_accuracy", "mean_accuracy", "mean_iou", "boundary_f1", "iou")},
        "date": datetime.date.today().isoformat(), "processor": machine["processor"],
        "cores": len(os.sched_getaffinity(0)), "minifcn": machine["minifcn"],
    }


def costs(settings: Settings) -> dict[str, Any]:
    """Trained numbers, and the FLOPs of one forward pass at the size that is trained on."""
    with init.shapes_only():
        net = models.build(settings.model, num_classes=11, width=settings.width, **models.same_padding(settings.model))
    return {"parameters": models.count_parameters(net)["trainable"],
            "flops": 2 * multiply_adds(net, (1, 3, *size_taken(net, settings.size or (360, 480))))}


def table(rows: dict[str, Any]) -> str:
    """As Markdown, in the order of the recipes."""
    lines = ["| network (width) | weights | GFLOP | minutes | global accuracy | class average | mean IoU | BF "
             "| published, same order, in % | there |", "|---" * 10 + "|"]
    for name in names():
        if name not in rows:
            continue
        row = rows[name]
        scores = " | ".join(f"{row[key]:.3f}" for key in ("pixel_accuracy", "mean_accuracy", "mean_iou", "boundary_f1"))
        published, there = PUBLISHED.get(name, ("-", "-"))
        lines.append(f"| {name} ({row['recipe']['width']:g}) | {row['parameters'] / 1e6:.2f} M "
                     f"| {row['flops'] / 1e9:.1f} | {row['minutes']:.0f} | {scores} | {published} | {there} |")
    return "\n".join(lines)


def _into_readme(rows: dict[str, Any]) -> None:
    """Put the table between the two marks of the README, if it has them."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    if not all(mark in text for mark in BETWEEN):
        return
    start, end = (text.index(mark) for mark in BETWEEN)
    write_whole(readme, f"{text[:start]}{BETWEEN[0]}\n{table(rows)}\n{text[end:]}".encode())


if __name__ == "__main__":
    raise SystemExit(main())
