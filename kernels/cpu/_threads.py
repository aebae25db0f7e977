"""Two threads for two cores: a kernel is called once on each, with a part of the work of its own.

    run(_relu, x.size, x, y)        # _relu(part, start, stop, x, y) on every thread, start:stop its share of x.size

The threads are Python's. A compiled kernel lets go of Python's global lock, so they really run side by side, and where
nothing is to be done they sleep: a pool that spins while it waits, as those of OpenMP and OpenBLAS do, takes the core
from whoever else wants it. Which part does what depends on their number alone, so results repeat to the last bit.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

_jobs: SimpleQueue = SimpleQueue()
_workers: list[threading.Thread] = []
_lock = threading.Lock()
_number = 0  # threads in use; 0 as long as nobody asked


def thread_count() -> int:
    """How many threads kernels run on: MINIFCN_NUM_THREADS, else one for each core that this process may use."""
    global _number
    if not _number:
        _number = _threads_wanted()
    return _number


@contextlib.contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Run everything inside the `with` block on so many threads."""
    global _number
    before, _number = thread_count(), _checked("use_threads", number)
    try:
        yield
    finally:
        _number = before


def run(kernel: Callable, count: int, *args: Any, grain: int = 1) -> int:
    """Call kernel(part, start, stop, *args) for shares of range(count), at the same time; returns how many parts.

    Args:
        kernel: a compiled function; different shares must write to different places.
        grain: the smallest share that is worth waking a thread, which takes some 50 microseconds.

    Raises what a kernel raised.
    """
    parts = parts_of(count, grain)
    if parts == 1:
        kernel(0, 0, count, *args)
        return 1
    _start_workers(parts - 1)
    done: SimpleQueue = SimpleQueue()
    for part in range(1, parts):
        _jobs.put((done, kernel, (part, count * part // parts, count * (part + 1) // parts, *args)))
    errors = [_call(kernel, (0, 0, count // parts, *args))]  # the first part is ours
    errors += [done.get() for _ in range(1, parts)]  # all of them, so that nobody writes any more when we return
    for error in errors:
        if error is not None:
            raise error
    return parts


def parts_of(count: int, grain: int = 1) -> int:
    """Into how many parts `run` cuts a range: for kernels that want workspace for each."""
    return max(1, min(thread_count(), count // grain))


def _call(kernel: Callable, args: tuple) -> BaseException | None:
    try:
        kernel(*args)
    except BaseException as error:
        return error
    return None


def _start_workers(number: int) -> None:
    with _lock:
        while len(_workers) < number:
            worker = threading.Thread(target=_work, name=f"minifcn-{len(_workers) + 1}", daemon=True)
            _workers.append(worker)
            worker.start()


def _work() -> None:
    while True:
        done, kernel, args = _jobs.get()
        done.put(_call(kernel, args))
        del done, kernel, args  # else this thread would keep the arrays alive until its next job


def _forget_workers() -> None:
    """In the child of a fork, which inherits this module but none of its threads."""
    global _jobs, _lock
    _jobs, _lock = SimpleQueue(), threading.Lock()
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def _threads_wanted() -> int:
    wish = os.environ.get("MINIFCN_NUM_THREADS")
    if wish:
        return _checked("MINIFCN_NUM_THREADS", int(wish) if wish.isdecimal() else wish)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked(who: str, number: Any) -> int:
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{who}: expected a number of threads from 1, got {number!r}. "
                         f"Give the number of cores to use.")
    return number
