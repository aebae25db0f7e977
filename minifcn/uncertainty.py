"""How sure a network is of what it says: dropout stays on at test time, and the spread of its answers is looked at.

    found = minifcn.sample_predictions("runs/demo", "street.png", samples=40)
    found.labels, found.uncertainty, found.entropy                            # (H, W) each

Monte-Carlo dropout, as in "Bayesian SegNet" (Kendall, Badrinarayanan, Cipolla 2015, arXiv 1511.02680; the idea
is of Gal and Ghahramani, arXiv 1506.02142): a network that was trained with dropout is run many times with masks drawn
anew; each run is a sample from an approximate posterior over its weights.

The order of things: scores are brought to the picture's grid, softmax makes them probabilities, and then come mean and
variance over the samples. The authors' script (SegNet-Tutorial, Scripts/test_bayesian_segnet.py) does the same on the
network's own grid: mean and variance are those of the softmax, the variance is divided by the number of samples, and a
pixel's uncertainty is the mean of its variance over the classes.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from . import ops
from .arrays import to_numpy
from .cutting import steady_and_changing
from .graph import Graph
from .layers import Dropout, Layer
from .ops.check import Array
from .prediction import Predictor, evaluation_mode, frozen, labels_of, picture_of

Source: TypeAlias = Graph | Predictor | str | os.PathLike


@dataclass(frozen=True)
class Uncertainty:
    """What some samples say of one picture, K classes.

    Attributes:
        mean: (K, H, W) float64, the mean of the probabilities: what the network predicts.
        variance: (K, H, W) float64, of the probabilities over the samples, divided by their number.
        labels: (H, W) uint8, the class of the highest mean.
        uncertainty: (H, W) float64, the variance averaged over the classes: from 0 to (K - 1) / K**2.
        entropy: (H, W) float64, of the mean, in nats: from 0 to log(K).
        mutual_information: (H, W) float64, in nats: the entropy less the mean entropy of the single samples. What is
            left is what the samples disagree about; the rest they are unsure of all alike.
    """

    mean: Array
    variance: Array
    labels: Array
    uncertainty: Array
    entropy: Array
    mutual_information: Array


def sample_predictions(
    source: Source, image: Array | str | os.PathLike, samples: int = 40, rng: int | np.random.Generator = 0, *,
    progress: Callable[[int, int], None] | None = None,
) -> Uncertainty:
    """Predict one picture again and again with dropout on; everything in the picture's own size.

    Memory does not grow with the samples. The network is left in the modes in which it was found, its dropout layers
    with the random numbers that they had.

    Args:
        source: a network (fed with pixels 0..255 as they are), a Predictor, a checkpoint file or a run folder.
        image: (H, W, 3) uint8 RGB, or an image file.
        samples: how many, from 2; the paper sees little gain beyond 40.
        rng: int or Generator. The masks are those after `net.reseed(numpy.random.SeedSequence(rng))`, one sample after
            the other; of a Generator the next number takes the place of the int.
        progress: called with (samples done, samples in all) after each sample.

    Raises ValueError for a network without dropout and for fewer samples, ValueError or TypeError for a picture that is
    none, FileNotFoundError for a missing checkpoint.
    """
    picture = picture_of("sample_predictions", image)
    return Sampler.of(source, samples, rng).sample(picture, progress=progress)


@dataclass
class Sampler(Predictor):
    """A Predictor whose scores are probabilities: their mean over samples with dropout on. `evaluate` takes it as such.

    Attributes:
        samples: how many for each picture.
        rng: an int, and each picture meets the same masks, whichever came before it; or a Generator that moves on.
    """

    samples: int = 40
    rng: int | np.random.Generator = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 2:
            raise ValueError(f"sample_predictions: expected at least 2 samples, got {self.samples}. "
                             f"One has no spread; 40 are usual.")
        # What lies before the first dropout, the trunk of an FCN for example, is the same for all samples.
        self._steady, self._changing = steady_and_changing(self.runner, _drops)
        if not self._changing.nodes:
            name = (self.net.architecture or {}).get("model", "this network")
            raise ValueError(f"sample_predictions: expected a network with dropout, got none in {name}: all samples "
                             f"would be equal. Use minifcn.predict, or a network that was trained with dropout.")

    @classmethod
    def of(
        cls, source: Source, samples: int = 40, rng: int | np.random.Generator = 0, *, fuse: bool = True,
    ) -> "Sampler":
        """From whatever a Predictor can be opened from."""
        predictor = Predictor.open(source, fuse=fuse)
        return cls(predictor.net, predictor.meta, predictor.fuse, samples, rng)

    def scores_there(self, image: Array, size: tuple[int, int] | None = None) -> Array:
        """Mean probabilities (K, h, w) on a grid of `size`, the image's own unless given; always a NumPy array."""
        return self.sample(image, size).mean

    def sample(
        self, image: Array, size: tuple[int, int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Uncertainty:
        """`sample_predictions` for an image (H, W, 3) uint8, on a grid of `size`, the image's own unless given."""
        grid, moments = size or image.shape[:2], _Moments()
        with (
            self.at_work(image), frozen(self.net), dropping(self.net, _seeds(self.rng)),
            np.errstate(over="ignore", invalid="ignore"),
        ):
            xs, seen = self.inputs(image)
            predict_again = self._again(xs)
            for done in range(1, self.samples + 1):
                scores = to_numpy(self.on_grid(predict_again(), xs[0].shape[2:], seen, grid))  # (K, h, w)
                probabilities, _ = ops.softmax(scores, axis=0)
                moments.add(probabilities.astype(np.float64))
                if progress is not None:
                    progress(done, self.samples)
        return moments.found()


    def _again(self, xs: tuple[Array, ...]) -> Callable[[], Any]:
        """What predicts once more with other masks. In tiles, each of which has masks of its own, nothing is kept."""
        if self.margin is not None:
            return lambda: self._scored(xs)
        values = self._steady.forward(*xs, record=False)
        values = values if len(self._steady.outputs) > 1 else (values,)
        return lambda: self._changing.forward(*values, record=False)


class _Moments:
    """Mean, variance and mean entropy of probabilities (K, H, W) that come one after the other; none is kept.

    The squares are summed about the mean so far (Welford 1962): a difference of two large sums would lose digits.
    """

    mean: Any = 0.0  # arrays from the first sample on
    squares: Any = 0.0
    entropy: Any = 0.0
    count = 0

    def add(self, probabilities: Array) -> None:
        self.count += 1
        step = probabilities - self.mean
        self.mean = self.mean + step / self.count
        self.squares = self.squares + step * (probabilities - self.mean)
        self.entropy = self.entropy + (entropy(probabilities) - self.entropy) / self.count

    def found(self) -> Uncertainty:
        variance, predictive = self.squares / self.count, entropy(self.mean)
        return Uncertainty(
            self.mean, variance, labels_of(self.mean), variance.mean(axis=0), predictive,
            np.maximum(predictive - self.entropy, 0),  # by concavity not below 0, but for rounding
        )


def entropy(probabilities: Array) -> Array:
    """(K, H, W) -> (H, W) in nats; a probability of 0 adds nothing."""
    logarithms = np.log(np.maximum(probabilities, np.finfo(probabilities.dtype).tiny))
    return np.maximum(-(probabilities * logarithms).sum(axis=0), 0)  # 0 itself, not -0, where one class has all


@contextlib.contextmanager
def dropping(net: Graph, seeds: np.random.SeedSequence) -> Iterator[None]:
    """Inside the `with` block dropout alone is in training mode, its masks drawn from `seeds`; afterwards as before.

    Batch norm stays in evaluation: it goes by its running averages and leaves them alone.
    """
    random: list[Any] = [layer for layer in net.layers() if hasattr(layer, "rng")]  # what `reseed` will change
    before = [layer.rng for layer in random]
    with evaluation_mode(net):
        net.reseed(seeds)
        for layer in net.layers():
            if isinstance(layer, Dropout):
                layer.training = True
        try:
            yield
        finally:
            for layer, rng in zip(random, before, strict=True):
                layer.rng = rng


def _drops(layer: Layer) -> bool:
    """Whether two forwards of a layer, or of a Graph as a layer, can differ by chance. (With p = 1 all is dropped.)"""
    if isinstance(layer, Graph):
        return any(_drops(inner) for inner in layer.layers())
    return isinstance(layer, Dropout) and 0 < layer.p < 1


def _seeds(rng: int | np.random.Generator) -> np.random.SeedSequence:
    return np.random.SeedSequence(int(rng.integers(2**63)) if isinstance(rng, np.random.Generator) else rng)
