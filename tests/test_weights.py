"""Checkpoints: what was saved comes back, what is broken is refused, and a failed write costs nothing."""

import errno
import json
import os
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minifcn
from minifcn import Graph
from minifcn.files import write_whole
from minifcn.layers import ReLU
from minifcn.weights import read_checkpoint, write_checkpoint


def build(**options):
    return minifcn.models.build(**{"name": "fcn16s", "num_classes": 3, "width": 1 / 64, "padding": "same"} | options)


def randomise(net, rng):
    for array in net.state().values():
        array[...] = rng.normal(size=array.shape)
    return net


@pytest.fixture
def path(tmp_path, rng):
    """A good checkpoint."""
    minifcn.save(tmp_path / "net.safetensors", randomise(build(), rng), classes=["a", "b", "c"])
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(tmp_path, rng, dtype):
    net = randomise(build(dtype=dtype), rng)
    net["fc6"].weight.data = np.asfortranarray(net["fc6"].weight.data)  # another layout, the same numbers
    meta = {"classes": ["sky", "道路"], "palette": [[1, 2, 3]], "mean": [0.1, 2.5e-7], "size": None, "step": 7}
    minifcn.save(tmp_path / "a.safetensors", net, **meta)
    again, read = minifcn.load(str(tmp_path / "a.safetensors"))
    assert read == meta
    assert again.architecture == net.architecture
    assert not again.training
    assert list(again.state()) == list(net.state())
    for name, array in net.state().items():
        np.testing.assert_array_equal(again.state()[name], array)
        assert again.state()[name].dtype == dtype
    x = rng.normal(size=(1, 3, 20, 33)).astype(dtype)
    np.testing.assert_array_equal(again.forward(x), net.eval().forward(x))
    assert [p.lr_mult for p in again.parameters().values()] == [p.lr_mult for p in net.parameters().values()]


def test_the_file_is_plain_safetensors(path):
    arrays = load_file(path)
    assert arrays["conv1_1.weight"].shape == (1, 3, 3, 3)
    assert os.stat(path).st_mode & 0o777 == 0o644


def test_an_optimizer_lies_beside_the_network(tmp_path, rng):
    net, memory = randomise(build(), rng), {"velocity.conv1_1.weight": np.arange(6.0), "step": np.array([5])}
    write_checkpoint(tmp_path / "a", net, {"step": 5}, memory)
    arrays, meta = read_checkpoint(tmp_path / "a")
    assert meta == {"step": 5, "architecture": net.architecture}
    np.testing.assert_array_equal(arrays["optimizer/velocity.conv1_1.weight"], np.arange(6.0))
    assert arrays["optimizer/step"].tolist() == [5]
    again, meta = minifcn.load(tmp_path / "a")  # which leaves those alone
    assert list(again.state()) == list(net.state())
    assert meta == {"step": 5}


# Files that are none.

def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"load: expected a checkpoint at .*none.safetensors, got no such file"):
        minifcn.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_file(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"load: expected .*net.safetensors to be a whole safetensors file, got: "):
        minifcn.load(path)


def test_something_else(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    with pytest.raises(ValueError, match="to be a whole safetensors file, got: "):
        minifcn.load(path)


@pytest.mark.parametrize(("header", "message"), [
    (None, r"to be a checkpoint of minifcn \(minifcn-1\), got format None. Use a file that minifcn.save"),
    ({"format": "pt"}, "got format 'pt'"),
    ({"format": "minifcn-1"}, "to say which network it holds, got a header without an architecture"),
    ({"format": "minifcn-1", "meta": "{}"}, "got a header without an architecture. Use a file"),
])
def test_safetensors_of_others(tmp_path, header, message):
    save_file({"weight": np.ones(3)}, tmp_path / "a.safetensors", header)
    with pytest.raises(ValueError, match=message):
        minifcn.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(("change", "message"), [
    ({"model": "fcn9s"}, "to hold a network that can be built here, got: build: expected one of fcn32s.*got 'fcn9s'"),
    ({"model": "fcn8s"}, "can be built here, got: Graph.load: expected the arrays of this network.*is missing"),
    ({"num_classes": 4}, r"score_fr.bias is \(3,\) float32 instead of \(4,\)"),
    ({"depth": 1}, "unexpected keyword argument 'depth'"),
])
def test_another_architecture(path, change, message):
    arrays, meta = read_checkpoint(path)
    meta["architecture"] |= change
    save_file(arrays, path, {"format": "minifcn-1", "meta": json.dumps(meta)})
    with pytest.raises(ValueError, match=f"load: expected {re.escape(str(path))} .*{message}"):
        minifcn.load(path)


def test_no_arrays_at_all(path):
    _, meta = read_checkpoint(path)
    save_file({}, path, {"format": "minifcn-1", "meta": json.dumps(meta)})
    with pytest.raises(ValueError, match=r"conv1_1.bias is missing.* faults\)"):
        minifcn.load(path)


# Writing that fails.

def test_a_graph_made_by_hand_is_refused(path):
    g, before = Graph(), path.read_bytes()
    g.add("relu", ReLU(), "data")
    with pytest.raises(ValueError, match=r"save: expected a network made by minifcn.models.build, got a Graph without"):
        minifcn.save(path, g)
    with pytest.raises(TypeError, match="JSON"):
        minifcn.save(path, build(), mean=np.ones(3))
    assert path.read_bytes() == before


class FullDisk:
    """A file, as from os.fdopen, that takes ten bytes and then finds the disk full."""

    fdopen = staticmethod(os.fdopen)

    def __init__(self, handle, mode):
        self.file = self.fdopen(handle, mode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fdopen", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(path, monkeypatch, call):
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(f"minifcn.files.os.{call}", FullDisk if call == "fdopen" else refuse)
        with pytest.raises(OSError, match=r"No space left on device: '.*net.safetensors'") as caught:
            minifcn.save(path, build())
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    minifcn.load(path)


def test_an_interrupt_while_writing_leaves_the_old_file(path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = path.read_bytes()
    monkeypatch.setattr("minifcn.files.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        minifcn.save(path, build())
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*nowhere/net.safetensors'"):
        minifcn.save(tmp_path / "nowhere" / "net.safetensors", build())


def test_write_whole_replaces(tmp_path, monkeypatch):
    """In one step, which only a move within one folder, so within one disk, is."""
    moves, real = [], os.replace
    monkeypatch.setattr("minifcn.files.os.replace", lambda old, new: (moves.append((old, new)), real(old, new)))
    write_whole(tmp_path / "a.txt", b"first, and long")
    write_whole(tmp_path / "a.txt", b"second")
    assert [(os.path.dirname(old), str(new)) for old, new in moves] == [(str(tmp_path), str(tmp_path / "a.txt"))] * 2
    assert (tmp_path / "a.txt").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a.txt"]
