"""The threads of the CPU kernels: every share is done once, errors come back, forks and concurrent callers are safe."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from minifcn.kernels.cpu import _threads
from minifcn.kernels.cpu._compile import compiled


@compiled
def mark(part, start, stop, parts, visits):
    for i in range(start, stop):
        visits[i] += 1
        parts[i] = part


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
def test_every_share_is_done_once(threads, count):
    parts, visits = np.full(count, -1), np.zeros(count, int)
    with _threads.use_threads(threads):
        used = _threads.run(mark, count, parts, visits)
    assert (visits == 1).all()
    assert (np.diff(parts) >= 0).all()  # shares follow each other
    assert set(parts.tolist()) == set(range(used if count else 0))
    assert used == max(1, min(threads, count))


def test_shares_too_small_to_wake_a_thread_for():
    parts, visits = np.zeros(99, int), np.zeros(99, int)
    with _threads.use_threads(4):
        assert _threads.run(mark, 99, parts, visits, grain=100) == 1
        assert _threads.run(mark, 99, parts, visits, grain=40) == 2
        assert _threads.parts_of(99, 40) == 2


def fail(part, start, stop, where):
    if part == where:
        raise ValueError(f"part {part}")


@pytest.mark.parametrize("where", [0, 1, 2])
def test_what_a_kernel_raises_comes_back(where):
    with _threads.use_threads(3):
        with pytest.raises(ValueError, match=f"part {where}"):
            _threads.run(fail, 9, where)
        assert _threads.run(fail, 9, -1) == 3  # and the threads go on


def test_several_callers_at_once():
    arrays = [(np.zeros(5000, int), np.zeros(5000, int)) for _ in range(4)]

    def call(pair):
        for _ in range(50):
            _threads.run(mark, 5000, *pair)

    with _threads.use_threads(2):
        callers = [threading.Thread(target=call, args=(pair,)) for pair in arrays]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert all((visits == 50).all() for _, visits in arrays)


def in_a_child(pipe):
    parts, visits = np.zeros(100, int), np.zeros(100, int)
    pipe.send((_threads.run(mark, 100, parts, visits), int(visits.sum())))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_gets_threads_of_its_own():
    """The worker threads do not exist in the child; it must not wait for them."""
    with _threads.use_threads(2):
        _threads.run(mark, 10, np.zeros(10, int), np.zeros(10, int))  # the parent's threads are there
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        child = context.Process(target=in_a_child, args=(theirs,))
        child.start()
        assert ours.poll(60), "the child hangs"
        assert ours.recv() == (2, 100)
        child.join()


def test_workers_keep_no_array_alive():
    import gc
    import weakref

    parts, visits = np.zeros(100, int), np.zeros(100, int)
    watched = weakref.ref(visits)
    with _threads.use_threads(2):
        _threads.run(mark, 100, parts, visits)
        _threads.run(mark, 0, parts, parts)
    del visits
    for _ in range(100):  # the worker forgets right after it has reported
        gc.collect()
        if watched() is None:
            break
        threading.Event().wait(0.01)
    assert watched() is None


def test_the_number_of_threads_nests():
    before = _threads.thread_count()
    with _threads.use_threads(5):
        assert _threads.thread_count() == 5
        with _threads.use_threads(1):
            assert _threads.thread_count() == 1
        assert _threads.thread_count() == 5
    assert _threads.thread_count() == before


@pytest.mark.parametrize("number", [0, -1, 1.5, "two"])
def test_no_number_of_threads(number):
    with pytest.raises(ValueError, match=r"^use_threads: expected a number of threads from 1, got "), \
            _threads.use_threads(number):
        pass


@pytest.mark.parametrize(("wish", "seen"), [("3", "3"), ("", str(len(os.sched_getaffinity(0)))), ("0", "from 1, got 0"),
                                            ("many", "from 1, got 'many'")])
def test_environment(wish, seen):
    program = "from minifcn.kernels.cpu._threads import thread_count; print(thread_count())"
    run = subprocess.run([sys.executable, "-c", program], env={**os.environ, "MINIFCN_NUM_THREADS": wish},
                         capture_output=True, text=True, check=False)
    assert seen in run.stdout + run.stderr


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell about cores")
def test_a_worker_is_woken_away_from_the_callers_core(monkeypatch):
    """Two threads on one core would take longer than one thread."""
    cores = os.sched_getaffinity(0)
    busy = min(cores)
    monkeypatch.setattr(_threads, "_core_of_caller", lambda: busy)
    parts, visits = np.zeros(100, int), np.zeros(100, int)
    with _threads.use_threads(2):
        _threads.run(mark, 100, parts, visits)
        worker = _threads._workers[0]
        while not worker.asked.asleep:  # it looks for its next job for a moment
            time.sleep(0.001)
        _threads.run(mark, 100, parts, visits)
        assert os.sched_getaffinity(worker.thread.native_id) == (cores - {busy} or cores)
    assert os.sched_getaffinity(0) == cores  # the caller may go on wherever it likes
