"""Draw the picture on top of the README from a finished run: `make pictures` calls `python docs/pictures.py RUN`."""

import sys
from pathlib import Path

from minifcn import pictures
from minifcn.data import open_dataset
from minifcn.evaluation import evaluate
from minifcn.prediction import Predictor

SCENES = (0, 21, 42)  # of the validation set; evenly spread, not chosen by how well they came out
FOLDER = Path(__file__).parent / "pictures"


def draw(run: str) -> Path:
    """The preview of three scenes, as docs/pictures/street.png."""
    predictor = Predictor.open(run)
    dataset = open_dataset("street", "val", seed=predictor.meta["seed"])
    scores = evaluate(predictor, dataset)
    rows = [(*dataset[index][:2], predictor.labels(dataset[index].image)) for index in SCENES]
    path = FOLDER / "street.png"
    pictures.preview(path, rows, dataset.classes, dataset.palette, mean_iou=scores["mean_iou"])
    return path


if __name__ == "__main__":
    print(draw(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
