"""Batches for a GPU: while it computes with one, the next is loaded and on its way.

    feeding = Feeding(load, "cuda:0")            # load(number) gives the arrays of a batch, on the host
    x, target = feeding.take(4, then=5)          # batch 4, on the GPU; from now on batch 5 is being fetched
    x, target = feeding.take(5, then=6)          # it is here already, or soon
    feeding.close()

Three things together keep the GPU from waiting:

* a **thread** loads the next batch, since reading pictures takes the processor's time and not the GPU's;
* it lays it into **pinned** memory, which the operating system may not move, so that the GPU can fetch it by itself
  while the program goes on;
* the copy runs on a **stream** of its own. Work on one stream is done in order, work on two at the same time.

Two streams know nothing of each other, so each is told what to wait for, by *events*, which mark a place on a stream.
The computation waits until its batch is copied. The copy of batch 5 writes where batch 3 lay (there are two places,
used by turns), so it waits for all that was asked of the GPU before batch 4 was taken.

A batch depends on its number alone, so what is computed does not change by any of this.
"""

import contextvars
import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from .arrays import use_device

Arrays = Sequence[Any]  # arrays of one side, host or device; None stands for itself


class Feeding:
    """Hands out batches on a GPU and fetches the next one meanwhile. `close` ends its thread.

    Args:
        load: from a batch's number to its NumPy arrays; None among them is handed on.
        device: "cuda:<number>".
    """

    def __init__(self, load: Callable[[int], Arrays], device: str) -> None:
        self._load, self._device = load, device
        self._cuda = importlib.import_module("cupy").cuda
        with use_device(device):
            self._stream = self._cuda.Stream(non_blocking=True)
        self._places = [_Place(self._stream), _Place(self._stream)]
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minifcn-feeding")
        self._coming: tuple[int, Future] | None = None

    def take(self, number: int, then: int | None = None) -> list[Any]:
        """The arrays of batch `number`, good until the batch after the next is taken; fetches batch `then` meanwhile.

        Raises what `load` raised for this batch.
        """
        ahead, self._coming = self._coming, None
        if ahead is None or ahead[0] != number:  # the first one, or somebody jumps and the other is for nobody
            ahead = self._fetch(number)
        arrays, copied = ahead[1].result()
        self._cuda.get_current_stream().wait_event(copied)
        if then is not None:
            self._coming = self._fetch(then)
        return arrays

    def close(self) -> None:
        """Wait for what is under way, and end the thread. An error in a batch that nobody took is nobody's."""
        self._coming = None
        self._thread.shutdown()

    def _fetch(self, number: int) -> tuple[int, Future]:
        self._places.reverse()
        asked = self._cuda.get_current_stream().record()  # all that may still read the older of the two batches
        here = contextvars.copy_context()  # the thread loads under the same settings, NumPy's for errors among them
        return number, self._thread.submit(here.run, self._bring, number, self._places[0], asked)

    def _bring(self, number: int, place: "_Place", asked: Any) -> tuple[list[Any], Any]:
        """In the thread: load a batch and start its copy. The arrays to be, and the event that says they are."""
        with use_device(self._device):  # a thread has a current device of its own
            arrays = self._load(number)
            self._stream.wait_event(asked)
            return place.copy(arrays)


class _Place:
    """Where every other batch lies: pinned memory on the host, and the arrays on the GPU that it is copied to."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._pairs, self._copied = stream, {}, None  # type: Any, dict[Any, tuple[Any, Any]], Any

    def copy(self, arrays: Arrays) -> tuple[list[Any], Any]:
        if self._copied is not None:
            self._copied.synchronize()  # the pinned memory may be written to again
        there = [None if array is None else self._started(k, array) for k, array in enumerate(arrays)]
        self._copied = self._stream.record()
        return there, self._copied

    def _started(self, k: int, array: np.ndarray) -> Any:
        """Start the copy of one array into memory that is kept for its shape and dtype."""
        like = (k, array.shape, array.dtype)
        if like not in self._pairs:
            self._pairs = {old: pair for old, pair in self._pairs.items() if old[0] != k}  # one shape at a time
            with self._stream:  # memory that is given back is used again on the stream that it was made on
                self._pairs[like] = _pinned(array.shape, array.dtype), _empty(array.shape, array.dtype)
        pinned, there = self._pairs[like]
        pinned[...] = array
        there.set(pinned, self._stream)
        return there


def _pinned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in memory that the operating system does not move."""
    count = int(np.prod(shape))
    memory = importlib.import_module("cupy").cuda.alloc_pinned_memory(count * dtype.itemsize)
    return np.frombuffer(memory, dtype, count).reshape(shape)


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return importlib.import_module("cupy").empty(shape, dtype)
