"""Every row of the benchmark, with the ratio that it must reach at least (bar) and the one that is hoped for (aim).

A ratio is PyTorch's time over ours. Rows without a bar are there to be seen.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from .cases import Case, Dimensions

Bars = tuple[float | None, float | None]  # at least, aim
BOTH = (1, 4)


@dataclass(frozen=True)
class Row:
    """One line of work.

    Attributes:
        name: what is computed, and on what sizes.
        phase: "inference", "training", "gradients", "forward", "backward", ...
        make: makes the case for a batch size and a scale.
        bars: (at least, aim) for each batch size.
        batches: the batch sizes that are measured.
        winograd: whether an algorithm with fewer multiplications is allowed its larger error.
        folders: whether `array` and `reference` may be measured too.
        patient: batch sizes that are measured only if asked for, because they take minutes.
        memory: whether the peak memory of a training step is measured.
    """

    name: str
    phase: str
    make: Callable[[Dimensions], Case]
    bars: dict[int, Bars]
    batches: tuple[int, ...] = BOTH
    winograd: bool = False
    folders: bool = False
    patient: tuple[int, ...] = ()
    memory: tuple[str, tuple[int, int]] | None = None

    @property
    def title(self) -> str:
        return f"{self.name}, {self.phase}"


def at(bar: float | None, aim: float | None = None) -> dict[int, Bars]:
    """The same bar for every batch size."""
    return dict.fromkeys(BOTH, (bar, aim))


def all_rows() -> list[Row]:
    return [*_vgg(), *_other_convolutions(), *_upsampling(), *_light_passes(), *_networks()]


def conv_rows(
    name: str, shape: tuple, bars: dict[str, dict[int, Bars]], winograd: bool = False, **steps: int
) -> Iterator[Row]:
    """A convolution in each phase that has bars; `shape`: channels, filters, kernel_size, size."""
    from .convolutions import convolution

    size = shape[3] if isinstance(shape[3], tuple) else (shape[3], shape[3])
    for phase, phase_bars in bars.items():
        kind, _, only = phase.partition(" of ")
        make = partial(convolution, phase=kind, channels=shape[0], filters=shape[1], kernel_size=shape[2],
                       size=size, need_input=only != "weight", **steps)
        yield Row(name, phase, make, phase_bars, winograd=winograd, folders=True)


def _vgg() -> Iterator[Row]:
    """The 3x3 convolutions of VGG-16 at 224x224, each shape once; "training" is the forward pass of a step."""
    wide = {"inference": at(2.5, 3.5), "training": at(None), "gradients": at(2.5, 3.0)}
    deep = {"inference": at(2.5), "training": at(None), "gradients": at(2.0)}
    small = {"inference": {1: (1.5, None), 4: (2.0, None)}, "training": at(None),
             "gradients": {1: (1.0, None), 4: (1.5, None)}}
    first = {"inference": at(2.0), "gradients": at(2.0), "gradients of weight": at(None)}  # nobody wants the photo's
    yield from conv_rows("VGG 3>64 at 224x224", (3, 64, 3, 224), first, winograd=True, padding=1)
    shapes = ((64, 64, 224, wide), (64, 128, 112, wide), (128, 128, 112, wide), (128, 256, 56, wide),
              (256, 256, 56, wide), (256, 512, 28, deep), (512, 512, 28, deep), (512, 512, 14, small))
    for channels, filters, size, bars in shapes:
        name = f"VGG {channels}>{filters} at {size}x{size}"
        yield from conv_rows(name, (channels, filters, 3, size), bars, winograd=True, padding=1)


def _other_convolutions() -> Iterator[Row]:
    def both(bar: float, aim: float | None = None) -> dict[str, dict[int, Bars]]:
        return {"inference": at(bar, aim), "gradients": at(bar, aim)}

    yield from conv_rows("1x1 256>1024 at 56x56", (256, 1024, 1, 56), both(1.0))
    yield from conv_rows("1x1 fc7 4096>4096 at 16x16", (4096, 4096, 1, 16), both(1.0))
    yield from conv_rows("3x3 stride 2, 128>128 at 56x56", (128, 128, 3, 56), both(1.0), stride=2, padding=1)
    yield from conv_rows("5x5 2 groups, AlexNet's conv2 96>256 at 27x27", (96, 256, 5, 27), both(1.0), groups=2,
                         padding=2)
    yield from conv_rows("11x11 stride 4, AlexNet's conv1 3>96 at 227x227", (3, 96, 11, 227), both(1.0), stride=4)
    for row in conv_rows("7x7 fc6 of FCN at 500x500, 512>4096 at 22x22", (512, 4096, 7, 22), both(1.6, 2.2)):
        yield replace(row, patient=(4,))
    wide = (64, 64, 7, (180, 240))
    yield from conv_rows("7x7 SegNet-Basic 64>64 at 180x240", wide, both(1.0, 2.0), winograd=True, padding=3)
    for rate in (2, 4, 12, 24):
        bars = both(2.0 if rate <= 4 else 1.0)
        name = f"3x3 dilation {rate}, 512>512 at 64x64"
        for row in conv_rows(name, (512, 512, 3, 64), bars, winograd=True, padding=rate, dilation=rate):
            yield replace(row, patient=(4,))


def _upsampling() -> Iterator[Row]:
    """The transposed convolutions of FCN-8s, -16s and -32s for 21 classes at 500x500."""
    from .convolutions import bilinear, transposed

    shapes = ((8, 70), (16, 34), (32, 16))  # factor, size of the map
    for factor, size in shapes:
        name = f"transposed k{2 * factor} s{factor}, 21>21 at {size}x{size}"
        for phase, bar in (("forward", 3.0), ("gradients", 5.0)):
            make = partial(transposed, phase=phase, channels=21, kernel_size=2 * factor, stride=factor, size=size)
            yield Row(name, phase, make, at(bar), folders=True)
    for factor, size in shapes:
        name = f"bilinear k{2 * factor} s{factor} frozen, 21 channels at {size}x{size}"
        yield Row(name, "forward", partial(bilinear, channels=21, factor=factor, size=size), at(10.0, 20.0))
        aware = partial(bilinear, channels=21, factor=factor, size=size, peer_knows=True)
        yield Row(name, "forward, PyTorch with groups", aware, at(None))


def _light_passes() -> Iterator[Row]:
    from . import passes

    def row(name: str, make: Callable, phase: str, bar: float, size: int = 224) -> Row:
        return Row(f"{name}, 64 at {size}x{size}", phase, partial(make, phase=phase, channels=64, size=size), at(bar))

    yield row("max-pool 2x2 with indices", passes.max_pool, "forward", 5.0)
    yield row("max-pool 2x2 with indices", passes.max_pool, "backward", 1.3)
    yield row("max-unpool 2x2", passes.max_unpool, "forward", 1.3)
    yield row("max-unpool 2x2", passes.max_unpool, "backward", 1.3)
    yield row("LRN", passes.local_response_norm, "forward", 10.0)
    yield row("LRN", passes.local_response_norm, "backward", 10.0)
    loss = partial(passes.cross_entropy, classes=21, size=500)
    yield Row("softmax cross-entropy, 21 at 500x500", "forward and gradient", loss, at(2.0))
    yield row("batch norm", passes.batch_norm, "forward", 1.5)
    yield row("batch norm", passes.batch_norm, "backward", 1.0)
    yield row("ReLU", passes.relu, "forward", 1.0)
    yield row("ReLU", passes.relu, "backward", 1.0)
    for kind, name in (("sgd", "SGD with momentum"), ("adam", "Adam")):
        yield Row(f"{name}, 14 million numbers", "update", partial(passes.update, kind=kind), at(1.0), batches=(1,))


def _networks() -> Iterator[Row]:
    from .steps import network

    shapes: tuple[tuple, ...] = (  # name, size, bars, batches beyond the usual
        ("fcn8s", (500, 500), (2.5, 3.5), (4,)), ("fcn8s", (224, 224), (2.0, 2.5), (4,)),
        ("segnet", (360, 480), (2.0, 3.0), (4,)), ("unet", (256, 256), (2.0, 3.0), ()),
        ("segnet-basic", (360, 480), (None, None), (4,)),
    )
    for name, size, bar, patient in shapes:
        for phase in ("training", "inference"):
            yield Row(f"{name} {size[0]}x{size[1]}", phase, partial(network, phase=phase, name=name, size=size),
                      at(*bar), winograd=True, patient=patient, memory=(name, size) if phase == "training" else None)
