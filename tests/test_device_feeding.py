"""Feeding a GPU, the stand-in for one: batches in order and whole, errors where they belong, no thread left behind.

In the stand-in a copy from pinned memory happens when somebody waits for it, so a missing wait shows as old numbers.
"""

import threading
import warnings
from concurrent.futures import Future

import numpy as np
import pytest

from minifcn.feeding import Feeding

SHAPES = {0: (2, 3), 1: (4, 3)}


def batch(number, shape=(2, 3)):
    """The number everywhere, in two arrays and a gap."""
    return [np.full(shape, number, np.float32), None, np.full((5,), number, np.int64)]


@pytest.fixture
def feeding(cupy):
    made = []

    def make(load=batch):
        made.append(Feeding(load, "cuda:0"))
        return made[-1]

    yield make
    for each in made:
        each.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("minifcn-feeding")]


def numbers(arrays):
    x, gap, target = arrays
    assert gap is None
    found = set(x.get().ravel().tolist()) | set(target.get().tolist())
    assert len(found) == 1
    return found.pop()


def test_batches_come_in_the_order_that_is_asked_for(feeding):
    fed = feeding()
    assert [numbers(fed.take(n, n + 1)) for n in range(7)] == list(range(7))
    assert numbers(fed.take(2)) == 2  # somebody jumps, as from measuring to training
    assert numbers(fed.take(3, 9)) == 3
    assert numbers(fed.take(4, 5)) == 4
    assert numbers(fed.take(5)) == 5


def test_each_is_loaded_once_and_ahead(feeding):
    loaded, ready = [], threading.Event()

    def load(number):
        loaded.append(number)
        if number == 1:
            ready.set()
        return batch(number)

    fed = feeding(load)
    fed.take(0, 1)
    assert ready.wait(10)  # nobody has taken it yet
    fed.take(1, 2)
    fed.take(2)
    assert loaded == [0, 1, 2]


def test_a_batch_is_good_until_the_one_after_the_next(feeding):
    fed = feeding()
    first = fed.take(0, 1)
    second = fed.take(1, 2)
    fed._coming[1].result()  # batch 2 is on its way to where batch 0 lay
    assert numbers(second) == 1
    third = fed.take(2)
    assert third[0] is first[0]  # the same memory


def test_shapes_may_change(feeding):
    fed = feeding(lambda number: batch(number, SHAPES[number // 2 % 2]))
    for number in range(9):
        arrays = fed.take(number, number + 1)
        assert numbers(arrays) == number
        assert arrays[0].shape == SHAPES[number // 2 % 2]


def test_the_copy_waits_for_who_may_still_read(feeding, cupy):
    """Batch 2 is written where batch 0 lay: after all that was asked of the GPU before batch 1 was taken."""
    fed = feeding()
    fed.take(0, 1)
    fed.take(1, 2)
    main, own = cupy.cuda.get_current_stream(), fed._stream
    fed._coming[1].result()
    asked = [event for what, *stream, event in cupy.stand_in.log if (what, *stream) == ("record", main)]
    waited = [event for what, *stream, event in cupy.stand_in.log if (what, *stream) == ("wait", own)]
    assert waited == asked
    assert len(asked) == 3


def test_copies_come_from_pinned_memory_in_one_piece(feeding, cupy):
    fed, before = feeding(), len(cupy.stand_in.copies)
    for number in range(4):
        fed.take(number, number + 1 if number < 3 else None)
    assert [(copy.way, copy.shape, copy.nbytes) for copy in cupy.stand_in.copies[before:]] == [
        ("in", (2, 3), 24), ("in", (5,), 40)] * 4
    pinned = [entry for entry in cupy.stand_in.log if entry[0] == "pinned"]
    assert pinned == [("pinned", 24), ("pinned", 40)] * 2  # for two places


def test_what_goes_wrong_in_the_thread_is_told_where_the_batch_is_taken(feeding):
    def load(number):
        if number == 2:
            raise ValueError("folder: expected an image, got none")
        return batch(number)

    fed = feeding(load)
    fed.take(0, 1)
    assert numbers(fed.take(1, 2)) == 1
    with pytest.raises(ValueError, match="folder: expected an image, got none"):
        fed.take(2, 3)
    assert numbers(fed.take(3)) == 3


def test_an_error_in_a_batch_that_nobody_wants_is_nobodys(feeding):
    def load(number):
        if number == 1:
            raise ValueError("never seen")
        return batch(number)

    fed = feeding(load)
    fed.take(0, 1)
    assert numbers(fed.take(5)) == 5


def test_pinned_memory_is_written_to_when_its_copy_is_done(feeding, cupy):
    fed = feeding()
    for number in range(5):
        fed.take(number)
    copied = [event for what, *stream, event in cupy.stand_in.log if (what, *stream) == ("record", fed._stream)]
    assert [event._awaited for event in copied] == [True, True, True, False, False]


def interrupted(future):
    raise KeyboardInterrupt


def test_ctrl_c_while_waiting_leaves_no_thread(feeding, monkeypatch):
    """The fixture looks for one."""
    started, go_on = threading.Event(), threading.Event()

    def load(number):
        started.set()
        assert go_on.wait(10), "nobody lets it go on"
        return batch(number)

    fed = feeding(load)
    monkeypatch.setattr(Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fed.take(0, 1)
    assert started.wait(10)
    threading.Timer(0.05, go_on.set).start()  # and while the thread is waited for, it loads on
    fed.close()


def test_the_thread_goes_by_the_settings_of_who_asks(feeding):
    """NumPy's handling of errors belongs to a thread; a training has its own."""
    def load(number):
        np.float32(3e38) * np.float32(3e38)
        return batch(number)

    fed = feeding(load)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        fed.take(0)
    with np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        fed.take(1)
