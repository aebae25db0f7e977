"""minifcn predict: paint the classes that a trained network sees onto pictures."""

import argparse
from pathlib import Path
from typing import Any

from .options import (
    add_device,
    add_json,
    add_pad,
    add_samples,
    add_speed,
    predictor_of,
    print_json,
    size,
    speed_of,
)

EXAMPLES = """\
examples:
  minifcn predict runs/first street.png --out painted
  minifcn predict runs/first street.png --samples 40
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "predict", help="paint the classes onto pictures", description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("source", metavar="RUN_OR_FILE", help="a run folder (its best checkpoint) or a checkpoint file")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="pictures: PNG, JPEG, BMP or TIFF")
    parser.add_argument("--out", default=".", metavar="FOLDER", help="where the results go (this folder)")
    add_pad(parser)
    add_samples(parser, "predict N times with dropout on, and paint how unsure the network is")
    parser.add_argument("--tile", type=size, metavar="HxW", help="of a network without padding, such as U-Net as "
                        "published: in tiles of this size; smaller ones take less memory and more time")
    add_device(parser, "default cpu", default="cpu")
    add_speed(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    _check_stems(arguments.images)
    predictor = predictor_of(arguments)
    if arguments.tile:
        predictor.use_tile(arguments.tile)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    facts = []
    with speed_of(arguments):
        for name in arguments.images:
            facts.append(_paint(predictor, name, out, sampled=arguments.samples is not None))
            if not arguments.json:
                _show(facts[-1])
    if arguments.json:
        print_json(facts)
    return 0


def _paint(predictor: Any, name: str, out: Path, sampled: bool) -> dict[str, Any]:
    """Write the files of one picture; returns where they are and what is in them."""
    from .. import pictures
    from ..data import read_image, save_image, save_label, voc_palette
    from ..explain.sizes import check_size

    image = read_image(name)
    try:
        found = _sample(predictor, image, name) if sampled else None
        labels = predictor.labels(image) if found is None else found.labels  # (H, W)
    except ValueError:
        if predictor.margin is None:  # else any size will do
            check_size("predict", predictor.net, predictor.meta.get("size") or image.shape[:2])  # says which it takes
        raise
    palette = predictor.meta.get("palette") or voc_palette(int(labels.max()) + 1)
    label_file, painted_file = (out / f"{Path(name).stem}_{what}.png" for what in ("labels", "painted"))
    save_label(label_file, labels, palette)
    save_image(painted_file, pictures.painted(image, labels, palette))
    shares = _shares(labels, predictor.meta.get("classes"))
    facts = {"image": name, "painted": str(painted_file), "labels": str(label_file), "shares": shares}
    return facts if found is None else facts | _unsure(predictor, image, found, out / Path(name).stem)


def _sample(predictor: Any, image: Any, name: str) -> Any:
    from ..progress import for_this_terminal

    with for_this_terminal() as progress:
        progress.start(f"sampling {Path(name).name}", predictor.samples)
        return predictor.sample(image, progress=lambda done, total: progress.update(done))


def _unsure(predictor: Any, image: Any, found: Any, stem: Path) -> dict[str, Any]:
    """Write the maps of what the samples disagree about; returns where they are, and means over each class's pixels."""
    from .. import pictures
    from ..data import save_image, voc_palette

    number = len(found.mean)
    names = predictor.meta.get("classes") or [str(k) for k in range(number)]
    palette = predictor.meta.get("palette") or voc_palette(number)
    files = {what: f"{stem}_{what}.png" for what in ("uncertainty", "entropy", "sampled")}
    save_image(files["uncertainty"], pictures.uncertainty_map(found.uncertainty, number))
    save_image(files["entropy"], pictures.entropy_map(found.entropy, number))
    pictures.uncertainty_sheet(files["sampled"], image, found.labels, found.uncertainty, found.entropy,
                               classes=names, palette=palette, samples=predictor.samples)
    measures = ("uncertainty", "entropy", "mutual_information")
    by_class = {
        names[k]: {measure: float(getattr(found, measure)[found.labels == k].mean()) for measure in measures}
        for k in range(number) if (found.labels == k).any()
    }
    means = {measure: float(getattr(found, measure).mean()) for measure in measures}
    return {"samples": predictor.samples, "seed": predictor.rng, "files": files, "means": means, "by_class": by_class}


def _show(facts: dict[str, Any]) -> None:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in list(facts["shares"].items())[:4])
    print(f"{facts['image']} -> {facts['painted']}, {facts['labels']}  ({shares})")
    if "samples" in facts:
        _show_unsure(facts)


def _show_unsure(facts: dict[str, Any]) -> None:
    """A table: how unsure the network is where it says this or that."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("predicted class", "share", "uncertainty", "entropy", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [(escape(name), f"{share:.1%}", facts["by_class"][name]) for name, share in facts["shares"].items()]
    for name, share, means in [*rows, ("all", "100.0%", facts["means"])]:
        table.add_row(name, share, f"{means['uncertainty']:.5f}", f"{means['entropy']:.3f}")
    Console().print(table)
    print(f"means over pixels, {facts['samples']} samples; maps: {', '.join(facts['files'].values())}")


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
