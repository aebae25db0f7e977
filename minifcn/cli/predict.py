"""minifcn predict: paint the classes that a trained network sees onto pictures."""

import argparse
from pathlib import Path
from typing import Any

from .options import add_json, add_speed, print_json, speed_of


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "predict", help="paint the classes onto pictures", description=__doc__,
        epilog="example:\n  minifcn predict runs/first street.png --out painted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("source", metavar="RUN_OR_FILE", help="a run folder (its best checkpoint) or a checkpoint file")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="pictures: PNG, JPEG, BMP or TIFF")
    parser.add_argument("--out", default=".", metavar="FOLDER", help="where the results go (this folder)")
    add_speed(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..prediction import Predictor

    _check_stems(arguments.images)
    predictor = Predictor.open(arguments.source, fuse=arguments.fuse)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    facts = []
    with speed_of(arguments):
        for name in arguments.images:
            facts.append(_paint(predictor, name, out))
            if not arguments.json:
                _show(facts[-1])
    if arguments.json:
        print_json(facts)
    return 0


def _paint(predictor: Any, name: str, out: Path) -> dict[str, Any]:
    """Write the two files of one picture; returns where they are and what is in them."""
    from .. import pictures
    from ..data import read_image, save_image, save_label, voc_palette
    from ..explain.sizes import check_size

    image = read_image(name)
    try:
        labels = predictor.labels(image)  # (H, W)
    except ValueError:
        check_size("predict", predictor.net, predictor.meta.get("size") or image.shape[:2])  # says which size it takes
        raise
    palette = predictor.meta.get("palette") or voc_palette(int(labels.max()) + 1)
    label_file, painted_file = (out / f"{Path(name).stem}_{what}.png" for what in ("labels", "painted"))
    save_label(label_file, labels, palette)
    save_image(painted_file, pictures.painted(image, labels, palette))
    shares = _shares(labels, predictor.meta.get("classes"))
    return {"image": name, "painted": str(painted_file), "labels": str(label_file), "shares": shares}


def _show(facts: dict[str, Any]) -> None:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in list(facts["shares"].items())[:4])
    print(f"{facts['image']} -> {facts['painted']}, {facts['labels']}  ({shares})")


def _check_stems(names: list[str]) -> None:
    """Results are named after the pictures: two of one name would overwrite each other's."""
    stems = [Path(name).stem for name in names]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise ValueError(f"predict: expected pictures of different names, got several called {twice!r}. "
                         f"Paint them one after the other, each into an --out folder of its own.")


def _shares(labels: Any, classes: list[str] | None) -> dict[str, float]:
    """Class name, or number where the checkpoint has no names -> share of the picture, the largest first."""
    import numpy as np

    counts = np.bincount(labels.ravel())
    order = np.argsort(counts)[::-1]
    return {classes[k] if classes else str(k): float(counts[k] / labels.size) for k in order if counts[k]}
