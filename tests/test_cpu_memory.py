"""The pool of buffers: views stay valid, buffers come back, nothing grows without bound."""

import gc
import threading

import numpy as np
import pytest

from minifcn.kernels.cpu import memory

SIZE = (64, 1024)  # float32: 256 KiB


@pytest.fixture(autouse=True)
def _an_empty_pool():
    gc.collect()
    memory.release()
    yield
    gc.collect()
    memory.release()


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [SIZE, (3, 5), (), (0, 4), (1 << 20,)])
def test_it_is_an_array_like_any_other(dtype, shape):
    array = memory.empty(shape, dtype)
    assert type(array) is np.ndarray
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.nbytes < memory.SMALLEST or address(array) % memory.ALIGNMENT == 0
    array[...] = 3
    assert (array == 3).all()
    assert not memory.zeros(shape, dtype).any()


@pytest.mark.parametrize("shape", [SIZE, (3, 5), (1, 1, 7)])
def test_workspace_is_always_aligned(shape):
    arrays = [memory.workspace(shape, np.float64) for _ in range(8)]
    assert {address(array) % memory.ALIGNMENT for array in arrays} == {0}
    for number, array in enumerate(arrays):
        assert array.shape == shape
        array[...] = number
    assert all((array == number).all() for number, array in enumerate(arrays))  # no two share memory


def test_a_buffer_is_used_again():
    array = memory.empty(SIZE, np.float32)
    place = address(array)
    del array
    assert memory.report()["leased"] == 0
    again = memory.empty(SIZE, np.float32)
    assert address(again) == place
    assert address(memory.empty(SIZE, np.float32)) != place  # while that one is in use


def test_a_view_outlives_its_array():
    array = memory.empty(SIZE, np.float32)
    array[...] = 1
    view = array[3:, ::2].T
    reshaped = view.reshape(-1)  # a copy: holds nothing
    del array
    others = [memory.empty(SIZE, np.float32) for _ in range(4)]
    for other in others:
        other[...] = 2
    assert (view == 1).all()
    del view, other, others
    assert memory.report()["leased"] == 0
    assert (reshaped == 1).all()


def test_a_changed_dtype_or_flag_holds_on_too():
    for seen_as in (lambda a: a.view(np.int32), lambda a: np.asarray(memoryview(a)), lambda a: np.frombuffer(a)):
        view = seen_as(memory.empty(SIZE, np.float32))
        assert memory.report()["leased"] > 0
        del view
        assert memory.report()["leased"] == 0


def test_nearly_equal_sizes_share_buffers():
    memory.empty((1000, 1000), np.float32)
    memory.empty((1000, 1001), np.float32)
    assert memory.report()["idle"] < 1.2 * 4e6
    assert memory._rounded(1 << 20) == 1 << 20
    for size in (65537, 100000, 1 << 20, (1 << 20) + 1, 12345678):
        assert size <= memory._rounded(size) <= size * 1.126


def test_a_larger_buffer_is_used_rather_than_a_new_one():
    """And counted as what it is, also when it comes back."""
    memory.empty((150, 1024), np.float32)
    before = memory.report()
    array = memory.empty((100, 1024), np.float32)
    assert memory.report()["made"] == before["made"]
    assert memory.report()["leased"] == before["idle"]
    del array
    assert memory.report()["idle"] == before["idle"]
    assert memory.empty((50, 1024), np.float32).size  # three times too large: that would be a waste
    assert memory.report()["made"] == before["made"] + 1


def test_a_workspace_never_was_another_kind_of_memory():
    """Integers read as floats, or halves of doubles, are mostly next to zero, which makes arithmetic slow."""
    for make, dtype in ((memory.empty, np.int32), (memory.empty, np.float32), (memory.workspace, np.float64)):
        make((1 << 16,), dtype).view(np.uint8)[:] = 1
    first = memory.workspace((1 << 16,), np.float32)
    place = address(first)
    assert not first.any()
    first[...] = 2
    del first
    assert address(memory.workspace((1 << 16,), np.float32)) == place
    assert address(memory.empty((1 << 16,), np.float32)) != place
    assert not memory.workspace((100,), np.float32).any()


def test_other_sizes_do_not_pile_up():
    """However many sizes pass by: not much more is kept than was in use at the same time."""
    memory._counts["most_leased"] = 0
    for megabytes in range(1, 100):
        memory.empty((megabytes, 1 << 18), np.float32)
    report = memory.report()
    assert report["leased"] == 0
    assert report["most_leased"] < 1.2 * 99 * 2**20
    assert report["idle"] <= report["most_leased"] * 5 // 4 + memory.SPARE


def test_counts_are_right_at_the_end():
    before = memory.report()
    assert (before["leased"], before["idle"]) == (0, 0)
    arrays = [memory.empty((n, 70000), np.float32) for n in range(1, 9)]
    total = sum(array.nbytes for array in arrays)
    assert total <= memory.report()["leased"] <= 1.2 * total
    del arrays
    assert memory.report()["leased"] == 0
    memory.release()
    assert memory.report()["idle"] == 0
    assert not any(memory._idle.values())


def test_many_threads():
    wrong = []

    def work(number):
        for _ in range(300):
            array = memory.empty(SIZE, np.float32)
            array[...] = number
            view = array[5:]
            del array
            if not (view == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert memory.report()["leased"] == 0
