"""Two threads for two cores: a kernel is called once on each, with a part of the work of its own.

    run(_relu, x.size, x, y)        # _relu(part, start, stop, x, y) on every thread, start:stop its share of x.size

The threads are Python's. A compiled kernel lets go of Python's global lock, so they really run side by side. Between
two passes they stay awake for a moment (see `_signals`), then they sleep. Left alone, the system often wakes a worker
on the very core that the caller is on and leaves it there, and two threads take longer than one; so it is told to keep
away from that core. Which part does what depends on the number of threads alone, so results repeat to the last bit.
Where several Python threads call kernels at the same time, one of them gets the workers, and the others do all their
parts by themselves.
"""

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ._signals import Signal, look

HAND_OVER = 400, 100  # looks: until a worker has taken its job, and then until it has let go of the global lock

_workers: list["_Worker"] = []
_in_use = threading.Lock()  # by one caller at a time
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
        grain: the smallest share that is worth a thread: to hand it over takes some 10 microseconds, and 50 if the
            thread has fallen asleep.

    Raises what a kernel raised.
    """
    parts = parts_of(count, grain)
    if parts == 1:
        kernel(0, 0, count, *args)
        return 1
    shares = [(part, count * part // parts, count * (part + 1) // parts, *args) for part in range(parts)]
    if _in_use.acquire(blocking=False):
        try:
            _run_together(kernel, shares)
        finally:
            _in_use.release()
    else:
        for share in shares:
            kernel(*share)
    return parts


def parts_of(count: int, grain: int = 1) -> int:
    """Into how many parts `run` cuts a range: for kernels that want workspace for each."""
    return max(1, min(_number or thread_count(), count // grain))


def _run_together(kernel: Callable, shares: list[tuple]) -> None:
    """The first share here, the others on a worker each; returns when all are done."""
    while len(_workers) < len(shares) - 1:
        _workers.append(_Worker(len(_workers) + 1))
    helping = [worker.start_on(kernel, share) for worker, share in zip(_workers, shares[1:], strict=False)]
    errors = [_call(kernel, shares[0])]
    errors += [worker.wait() for worker in helping]  # all of them, so that nobody writes any more when we return
    for error in errors:
        if error is not None:
            raise error


def _call(kernel: Callable, args: tuple) -> BaseException | None:
    try:
        kernel(*args)
    except BaseException as error:
        return error
    return None


class _Worker:
    """A thread that does one job after the other."""

    def __init__(self, number: int) -> None:
        self.asked, self.taken, self.done = Signal(), Signal(), Signal()
        self.jobs = 0  # given so far
        self.job: tuple[Callable, tuple] | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, name=f"minifcn-{number}", daemon=True)
        self.thread.start()

    def start_on(self, kernel: Callable, share: tuple) -> "_Worker":
        self.jobs += 1
        self.job = kernel, share
        if self.asked.asleep:
            _keep_away(self.thread)
        self.asked.set(self.jobs)
        # It needs the global lock to begin. Without this pause it would find that taken, by us, and fall asleep.
        look(self.taken.value, self.jobs, *HAND_OVER)
        return self

    def wait(self) -> BaseException | None:
        self.done.wait(self.jobs)
        error, self.error = self.error, None
        return error

    def _work(self) -> None:
        count = 0
        while True:
            count += 1
            self.asked.wait(count)
            (kernel, share), self.job = self.job, None  # type: ignore[misc]
            self.taken.value[0] = count
            self.error = _call(kernel, share)
            del kernel, share  # else this thread would keep the arrays alive until its next job
            self.done.set(count)


def _keep_away(thread: threading.Thread) -> None:
    """Let a worker run on every core that this process may use, but not on the one that the caller is on."""
    if _core_of_caller is None:
        return
    cores = os.sched_getaffinity(0) - {_core_of_caller()}
    if cores and thread.native_id is not None:
        with contextlib.suppress(OSError):  # some sandboxes forbid it; then the system's choice has to do
            os.sched_setaffinity(thread.native_id, cores)


def _find_core_of_caller() -> Callable[[], int] | None:
    """The C library's function that tells on which core the calling thread runs; None where there is none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_core_of_caller = _find_core_of_caller()


def _forget_workers() -> None:
    """In the child of a fork, which inherits this module but none of its threads."""
    global _in_use
    _in_use = threading.Lock()
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
