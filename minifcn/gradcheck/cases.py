"""The configurations in which `minifcn gradcheck` checks every layer.

They are chosen so that no two numbers agree by accident: heights differ from widths, strides, paddings and
dilations differ by axis, sizes leave a remainder, and there is more than one image and channel. A swapped axis, a
forgotten remainder or an overlap that is not added then shows. Inputs are tie-free and everything is in float64.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import init, layers
from ..testing import tie_free

Case = tuple[Any, tuple[Any, ...]]  # a layer and its inputs
F64: Any = {"dtype": np.float64}
LEARNED: Any = {"dtype": np.float64, "bias_init": init.gaussian(1.0), "rng": 1}
X = tie_free((2, 4, 6, 7))  # (N, C, H, W)
SMALL = tie_free((2, 4, 3, 4))


def conv() -> Iterator[Case]:
    yield layers.Conv2d(4, 3, (3, 2), **LEARNED), (X,)
    yield layers.Conv2d(4, 3, (3, 2), (2, 3), (0, 1), (1, 2), **LEARNED), (X,)
    yield layers.Conv2d(4, 6, (2, 3), 2, ((1, 0), (0, 2)), groups=2, **LEARNED), (X,)
    yield layers.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, bias=False, **LEARNED), (X,)
    yield layers.Conv2d(4, 5, 1, **LEARNED), (SMALL,)
    yield layers.Conv2d(4, 2, (6, 7), **LEARNED), (X,)  # one window as large as the image: a fully connected layer


def conv_transpose() -> Iterator[Case]:
    yield layers.ConvTranspose2d(4, 3, (3, 2), **LEARNED), (SMALL,)
    yield layers.ConvTranspose2d(4, 3, (3, 2), (2, 3), (0, 1), (1, 2), dilation=(1, 2), **LEARNED), (SMALL,)
    yield layers.ConvTranspose2d(4, 6, (2, 3), 2, ((1, 0), (0, 2)), groups=2, **LEARNED), (SMALL,)
    yield layers.ConvTranspose2d(4, 2, 4, 2, 1, output_size=(7, 8), bias=False, **LEARNED), (SMALL,)
    yield layers.ConvTranspose2d(4, 4, 4, 2, 1, weight_init=init.bilinear, **LEARNED), (SMALL,)


def max_pool() -> Iterator[Case]:
    for settings in windows({"dilation": (1, 2)}, {"return_indices": True}):
        yield layers.MaxPool2d(**settings), (X,)


def max_unpool() -> Iterator[Case]:
    for settings in windows({}):  # where windows overlap, indices repeat and values are added
        y, record = layers.MaxPool2d(**settings, return_indices=True).forward(X)
        yield layers.MaxUnpool2d(), (tie_free(y.shape), record)


def avg_pool() -> Iterator[Case]:
    for settings in windows({}, {"count_include_pad": False}, {"ceil_mode": True, "count_include_pad": False}):
        yield layers.AvgPool2d(**settings), (X,)


def windows(*more: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings that both poolings know, then `more`, each on top of overlapping and padded windows."""
    yield {"kernel_size": 2}
    yield {"kernel_size": (3, 2), "stride": (2, 3)}  # rows overlap, columns leave gaps
    yield {"kernel_size": (3, 2), "stride": (2, 3), "ceil_mode": True}
    for settings in more:
        yield {"kernel_size": (3, 4), "stride": (2, 1), "padding": ((1, 0), (0, 2)), **settings}


def adaptive_avg_pool() -> Iterator[Case]:
    for size in (1, (2, 4), (6, 7), (3, 11)):  # global, uneven windows, the same size, and repeated pixels
        yield layers.AdaptiveAvgPool2d(size), (X,)


def resize() -> Iterator[Case]:
    for size, align in itertools.product(((5, 11), (3, 4), (1, 2)), (False, True)):
        yield layers.ResizeBilinear(size, align_corners=align), (SMALL,)
    yield layers.ResizeBilinear(), (SMALL, X)


def crop() -> Iterator[Case]:
    yield layers.Crop((2, 3), (3, 4)), (X,)
    yield layers.Crop((1, 0)), (X, SMALL)


def pad() -> Iterator[Case]:
    yield layers.Pad((1, 0, 2, 3), value=0.5), (SMALL,)
    yield layers.Pad((2, 1, 0, 3), mode="reflect"), (SMALL,)


def pad_channels() -> Iterator[Case]:
    yield layers.PadChannels(7), (SMALL,)
    yield layers.PadChannels(4), (X,)  # none to append


def elementwise(*makers: Callable[[], Any]) -> Callable[[], Iterator[Case]]:
    """Layers that keep the shape, each on maps and on rows."""

    def cases() -> Iterator[Case]:
        for make, x in itertools.product(makers, (X, tie_free((5, 3)))):
            yield make(), (x,)

    return cases


def prelu() -> Iterator[Case]:
    yield layers.PReLU(**F64), (X,)
    yield layers.PReLU(4, init=-0.3, **F64), (X,)


def softmax() -> Iterator[Case]:
    for axis in (1, 3, -1):
        yield layers.Softmax(axis), (X,)


def batch_norm() -> Iterator[Case]:
    for training, shift in ((True, 0.0), (False, 0.0), (True, 3.0)):
        layer = layers.BatchNorm2d(4, **F64)
        layer.weight.data, layer.bias.data = tie_free((4,), rng=1), tie_free((4,), rng=2)
        layer.running_mean, layer.running_var = tie_free((4,), rng=3), np.array([0.5, 1.0, 2.0, 3.0])
        yield layer.train(training), (X * (1 + np.arange(4)).reshape(1, 4, 1, 1) + shift,)


def fused(make: Callable[[Any], Any], cases: Callable[[], Iterator[Case]]) -> Callable[[], Iterator[Case]]:
    """The cases of a layer, each with a ReLU behind it."""
    return lambda: ((make(layer), xs) for layer, xs in cases())


def local_response_norm() -> Iterator[Case]:
    for size, alpha, beta, k in ((5, 1e-4, 0.75, 1.0), (3, 2.0, 0.75, 2.0), (4, 1.0, 0.5, 1.0), (1, 1.0, 1.0, 1.5)):
        yield layers.LocalResponseNorm(size, alpha, beta, k), (X,)


def dropout(make: Callable[..., Any]) -> Callable[[], Iterator[Case]]:
    def cases() -> Iterator[Case]:
        for p, training in ((0.5, True), (0.2, True), (0.5, False)):
            yield make(p, rng=1).train(training), (X,)

    return cases


def concat() -> Iterator[Case]:
    yield layers.Concat(), (SMALL, tie_free((2, 1, 3, 4), rng=1), tie_free((2, 2, 3, 4), rng=2))
    yield layers.Concat(axis=2), (SMALL, tie_free((2, 4, 5, 4), rng=1))


def add() -> Iterator[Case]:
    yield layers.Add(), (SMALL, tie_free(SMALL.shape, rng=1))
    yield layers.Add(), tuple(tie_free(SMALL.shape, rng=seed) for seed in range(3))


def linear() -> Iterator[Case]:
    yield layers.Linear(5, 3, **LEARNED), (tie_free((4, 5)),)
    yield layers.Linear(5, 7, bias=False, **LEARNED), (tie_free((2, 5)),)


def flatten() -> Iterator[Case]:
    yield layers.Flatten(), (X,)
    yield layers.Flatten(), (tie_free((3, 2, 1, 5)),)


class _ByPixel(layers.SoftmaxCrossEntropy):
    """The loss with pixel weights of its own: as inputs they would be floats whose gradient is looked for."""

    def __init__(self, pixel_weight: Any, weight: Any = None, ignore_index: int = 255, reduction: str = "mean") -> None:
        super().__init__(weight, ignore_index, reduction)
        self.pixel_weight = pixel_weight

    def _forward(self, x: Any, target: Any) -> tuple[Any, tuple]:  # type: ignore[override]
        return super()._forward(x, target, self.pixel_weight)

    def _backward(self, *args: Any) -> tuple[Any, ...]:
        return super()._backward(*args)[:2]


def softmax_cross_entropy() -> Iterator[Case]:
    target = np.random.default_rng(0).choice([0, 1, 2, 3, 255], (2, 6, 7))
    for weight, reduction in itertools.product((None, (0.5, 2.0, 1.0, 0.1)), ("mean", "sum", "valid", "batch")):
        yield layers.SoftmaxCrossEntropy(weight, reduction=reduction), (3 * X, target)
    yield layers.SoftmaxCrossEntropy(ignore_index=2), (X, np.where(target == 255, 2, target))
    pixel_weight = np.random.default_rng(1).choice([0.0, 0.3, 1.0, 11.0], target.shape)
    for weight, reduction in ((None, "mean"), ((0.5, 2.0, 1.0, 0.1), "mean"), (None, "valid")):
        yield _ByPixel(pixel_weight, weight, reduction=reduction), (3 * X, target)


ROWS: dict[str, Callable[[], Iterable[Case]]] = {
    "Conv2d": conv,
    "ConvTranspose2d": conv_transpose,
    "MaxPool2d": max_pool,
    "MaxUnpool2d": max_unpool,
    "AvgPool2d": avg_pool,
    "AdaptiveAvgPool2d": adaptive_avg_pool,
    "ResizeBilinear": resize,
    "Crop": crop,
    "Pad": pad,
    "PadChannels": pad_channels,
    "ReLU": elementwise(layers.ReLU),
    "LeakyReLU": elementwise(layers.LeakyReLU, lambda: layers.LeakyReLU(0.3)),
    "PReLU": prelu,
    "Sigmoid": elementwise(layers.Sigmoid),
    "Softmax": softmax,
    "BatchNorm2d": batch_norm,
    "LocalResponseNorm": local_response_norm,
    "Dropout": dropout(layers.Dropout),
    "SpatialDropout": dropout(layers.SpatialDropout),
    "Concat": concat,
    "Add": add,
    "Scale": elementwise(lambda: layers.Scale(0.01), lambda: layers.Scale(-3)),
    "Flatten": flatten,
    "Linear": linear,
    "SoftmaxCrossEntropy": softmax_cross_entropy,
    "ConvReLU": fused(layers.ConvReLU, conv),
    "BatchNormReLU": fused(layers.BatchNormReLU, batch_norm),
}
