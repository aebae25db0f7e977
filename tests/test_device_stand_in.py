"""The stand-in for CuPy refuses what CuPy refuses, and counts what it would copy. Held to CuPy itself where it is."""

import importlib.util
import inspect

import numpy as np
import pytest


def test_host_and_device_do_not_mix(cupy):
    x = cupy.asarray(np.ones(3, np.float32))
    for meet in (lambda: x + np.ones(3), lambda: np.ones(3) * x, lambda: cupy.where(x > 0, x, np.ones(3)),
                 lambda: np.maximum(x, np.ones(3)), lambda: x.__setitem__(slice(2), np.ones(2)),
                 lambda: x[np.array([0, 1])], lambda: cupy.copyto(x, np.ones(3)), lambda: x.take(np.array([0]))):
        with pytest.raises(TypeError, match=r"Unsupported type <class 'numpy\.ndarray'>"):
            meet()
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.asarray(x)
    assert isinstance(x * np.float32(2), cupy.ndarray)  # numbers may meet it
    assert isinstance(np.exp(x), cupy.ndarray)
    assert isinstance(np.concatenate([x, x]), cupy.ndarray)


def test_what_cupy_does_not_have_fails(cupy):
    x = cupy.asarray(np.ones((2, 3), np.float32))
    for missing in (lambda: cupy.errstate, lambda: x.flags.writeable, lambda: x.__array_interface__):
        with pytest.raises(AttributeError):
            missing()
    with pytest.raises(TypeError):
        np.nanmean(x)  # NumPy finds nobody who can
    for wrong in (lambda: x.sum(where=x > 0), lambda: cupy.add(x, x, where=x > 0), lambda: cupy.take(x, x, mode="clip"),
                  lambda: cupy.max(x, initial=0), lambda: x.astype(np.int32, casting="same_kind", device="cpu"),
                  lambda: range(x.sum())):
        with pytest.raises(TypeError):
            wrong()


def test_copies_are_counted(cupy):
    x = cupy.asarray(np.ones((2, 3), np.float32))
    y = (x + 1) @ cupy.ones((3, 2), np.float32)
    assert [(c.way, c.shape, c.nbytes) for c in cupy.stand_in.copies] == [("in", (2, 3), 24)]
    assert float(y.sum()) == 24
    assert bool((y > 0).all())
    assert y.shape == cupy.asnumpy(y).shape
    _ = x[x > 0]  # how many there are has to be known
    out = [(c.way, c.shape, c.nbytes, c.where) for c in cupy.stand_in.copies[1:]]
    here = "test_copies_are_counted"
    assert out == [("out", (), 4, here), ("out", (), 1, here), ("out", (2, 2), 16, here), ("out", (), 8, here)]


def test_views_share_memory_which_is_given_back(cupy):
    x = cupy.zeros((1000,), np.float32)
    assert cupy.stand_in.used == 4096
    part = x[10:20].reshape(2, 5)
    part += 3
    assert x.sum().item() == 30
    del x
    assert cupy.stand_in.used == 4096
    del part
    assert cupy.stand_in.used == 0
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory allocating 34,359,738,368 bytes"):
        cupy.empty(1 << 35, np.uint8)


def test_arrays_of_another_device_are_refused(cupy):
    cupy.stand_in.devices = 2
    x = cupy.ones(3)
    with cupy.cuda.Device(1):
        with pytest.raises(ValueError, match=r"resides \(0\) is different from the current device \(1\)"):
            x + 1
        assert cupy.asarray(x).device.id == 1


def test_a_copy_on_a_stream_comes_when_it_is_waited_for(cupy):
    pinned = np.frombuffer(cupy.cuda.alloc_pinned_memory(12), np.float32, 3)
    pinned[...] = 1, 2, 3
    stream, x = cupy.cuda.Stream(non_blocking=True), cupy.zeros(3, np.float32)
    x.set(pinned, stream)
    copied = stream.record()
    assert x.get().tolist() == [0, 0, 0]
    cupy.cuda.get_current_stream().wait_event(copied)
    assert x.get().tolist() == [1, 2, 3]


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")
def test_names_and_parameters_are_those_of_cupy(monkeypatch, cupy):
    """`import cupy` works without a GPU."""
    monkeypatch.delitem(importlib.import_module("sys").modules, "cupy")
    real = importlib.import_module("cupy")
    for name, ours in vars(cupy).items():
        if name.startswith("__") or name == "stand_in":
            continue
        theirs = getattr(real, name)
        if inspect.isfunction(theirs) and hasattr(ours, "__code__") and not name.startswith("get_"):
            assert parameters(ours) == parameters(theirs), name
    for name in vars(cupy.ndarray):
        assert name.startswith("_") or hasattr(real.ndarray, name), name
    for name in vars(cupy.cuda):
        assert hasattr(real.cuda, name), name
    for name in vars(cupy.cuda.runtime):
        assert hasattr(real.cuda.runtime, name), name
    for kind in ("Stream", "Event", "Device"):
        for name in vars(getattr(cupy.cuda, kind)):
            assert name.startswith("_") or hasattr(getattr(real.cuda, kind), name), name


def parameters(function):
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, repr(p.default)) for p in found]
