"""When a GPU has too little memory: what was asked for, what is free, and what would fit instead.

What a network needs can be told from its shapes before anything is computed. Training keeps every map of the forward
pass, because the backward pass asks for it; prediction keeps a map until its last reader has seen it. Both need the
weights, and training their gradients and what the optimiser remembers as well. Kernels need some memory beside that, so
all figures here are estimates, and they say so.
"""

import contextlib
import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from math import prod

from .fusion import unfused
from .graph import Graph
from .overlap_tile import scored_of
from .shapes import Shape, follow, input_channels

ROOM = 0.9  # of the memory is planned with: a pool loses some between its blocks
SCRATCH = 4 << 20  # bytes that a kernel works in: the columns of a convolution's tile, and their product
WORKING = 4  # maps that a backward pass works in: two gradients, a padded one, and what is cut out of that
STEP = 32  # advised sizes are multiples of this, as most networks like it

Size = tuple[int, int]


class OutOfGpuMemory(RuntimeError):
    """The GPU has too little memory: the message says how much, and what would fit."""


@contextlib.contextmanager
def memory_explained(who: str, advice: Callable[[int], str]) -> Iterator[None]:
    """Inside the `with` block CuPy's error becomes an OutOfGpuMemory in the name of `who`.

    `advice` is given how many bytes the process could have in all, and says what to do. Other errors pass.
    """
    try:
        yield
    except MemoryError as error:
        told = re.search(r"allocating ([\d,]+) bytes \(allocated so far: ([\d,]+) bytes", str(error))
        if type(error).__name__ != "OutOfMemoryError" or told is None:  # the host's
            raise
        cupy = importlib.import_module("cupy")
        # By now what the broken-off pass held may be free again, so the error says how much was taken.
        capacity = cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().total_bytes()
        free = max(0, capacity - int(told[2].replace(",", "")))
        raise OutOfGpuMemory(f"{who}: expected {told[1]} bytes of GPU memory, got {free:,} free. "
                             f"{advice(capacity)}") from error


def advice_for_training(capacity: int, net: Graph, runner: Graph, slots: int, size: Size, batch: int) -> str:
    """What would fit into `capacity` bytes.

    Args:
        net: with its parameters; `runner` is what does its work, the fused network for example.
        slots: arrays that the optimiser keeps for each parameter.
        size: (H, W) of the images.
        batch: how many there are.
    """
    fixed = SCRATCH + bytes_of_state(net) + (1 + slots) * bytes_of_parameters(net)
    image = bytes_of_maps(runner, size)
    images = int((ROOM * capacity - fixed) / image)
    if images >= batch:  # too low an estimate
        images = batch // 2
    if images >= 1:
        return (f"By an estimate a batch of {images} would fit: use --batch-size {images}; --accumulate makes updates "
                f"of several batches.")
    if capacity * ROOM <= fixed:
        return (f"By an estimate weights, gradients and optimiser alone need {fixed:,} bytes: use a smaller "
                f"--width, or --device cpu.")
    rows, columns = _shrunk(size, min((ROOM * capacity - fixed) / image, 0.5))
    return (f"By an estimate one image of {rows}x{columns} would fit: use --size {rows}x{columns} or --crop "
            f"{rows}x{columns} and --batch-size 1, a smaller --width, or --device cpu.")


def advice_for_prediction(capacity: int, net: Graph, runner: Graph, picture: Size, tile: Size | None) -> str:
    """What would fit into `capacity` bytes, for a picture of (H, W), shown to the network at once or in tiles."""
    shown, fixed = tile or picture, SCRATCH + bytes_of_state(net)
    if tile is not None:
        fixed += _bytes_around(runner, picture, tile)
    share = (ROOM * capacity - fixed) / bytes_of_moment(runner, shown)
    if share <= 0:
        return f"By an estimate {fixed:,} bytes are needed before a map is computed: use --device cpu."
    rows, columns = _shrunk(shown, min(share, 0.5))
    if tile is None:
        return f"By an estimate a picture of {rows}x{columns} would fit: make it smaller, or use --device cpu."
    side = _tile(net, min(rows, columns))
    if side is None:
        return "The network takes no smaller tile: use --device cpu."
    return f"By an estimate tiles of {side}x{side} would fit: use --tile {side}x{side}."


def bytes_of_parameters(net: Graph) -> int:
    return sum(parameter.data.nbytes for parameter in net.parameters().values())


def bytes_of_state(net: Graph) -> int:
    """Parameters, and buffers such as running averages."""
    return sum(array.nbytes for array in net.state().values())


def bytes_of_maps(graph: Graph, size: Size) -> int:
    """What training keeps of one image of (H, W): every value, and some of the largest as the backward pass works.

    There are also the image and its labels, int64, a second time, as the next batch is on its way.
    """
    values = _sizes(graph, size)
    coming = sum(values[name] for name in graph.inputs) + 2 * 8 * prod(size)
    return sum(values.values()) + sum(sorted(values.values())[-WORKING:]) + coming


def bytes_of_moment(graph: Graph, size: Size) -> int:
    """The most that a forward pass without record keeps at one moment of one image: values, until they are read."""
    sizes, nodes = _sizes(graph, size), graph.needed_nodes()
    readers = Counter(name for node in nodes for name in node.inputs)
    alive = {name: sizes[name] for name in graph.inputs}
    most = 0
    for node in nodes:
        alive |= {name: sizes[name] for name in node.values}
        most = max(most, sum(alive.values()))
        readers.subtract(node.inputs)
        alive = {name: nbytes for name, nbytes in alive.items() if readers[name] > 0 or name in graph.outputs}
    return most


def _bytes_around(graph: Graph, picture: Size, tile: Size) -> int:
    """The picture itself and the scores for all of it, which the tiles are cut from and put together to."""
    shapes = _shapes(graph, tile)
    channels = sum(shapes[name][1] for name in (*graph.inputs, graph.outputs[0]))
    return channels * prod(picture) * _itemsize(graph)


def _sizes(graph: Graph, size: Size) -> dict[str, int]:
    """Bytes of each value for one image."""
    return {name: prod(shape) * _itemsize(graph) for name, shape in _shapes(graph, size).items()}


def _shapes(graph: Graph, size: Size) -> dict[str, Shape]:
    return follow(graph, [(1, input_channels(unfused(graph), name), *size) for name in graph.inputs])


def _itemsize(graph: Graph) -> int:
    return next(iter(graph.parameters().values())).data.itemsize


def _shrunk(size: Size, share: float) -> Size:
    """`size` with `share` of its pixels, in multiples of STEP where that leaves something."""
    rows, columns = (max(1, int(side * share**0.5)) for side in size)
    return tuple(side // STEP * STEP or side for side in (rows, columns))  # type: ignore[return-value]


def _tile(net: Graph, most: int) -> int | None:
    """The side of the largest square of up to `most` pixels that the network takes and scores something of."""
    for side in range(most, 0, -1):
        try:
            scored_of(net, (side, side))
        except ValueError:
            continue
        return side
    return None
