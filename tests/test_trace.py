"""MINIFCN_TRACE=1: one line for each pass, with figures that are right; nothing without it."""

import re
from types import ModuleType

import numpy as np
import pytest

from minifcn import kernels, ops
from minifcn.kernels import _trace
from minifcn.kernels.cpu._notice import NOTICE
from minifcn.kernels.cpu._processor import LANES

X, WEIGHT = np.ones((2, 4, 9, 8), np.float32), np.ones((6, 2, 3, 2), np.float32)
FLOPS = 2 * (2 * 6 * 7 * 7) * (2 * 3 * 2)  # outputs times taps
LINE = re.compile(r"^(\w+)  ([x\d ]*)  (?:(.*)  )?([\d.]+) ms  (?:(\d+) GFLOP/s  )?([\d.]+) GB/s$")


@pytest.fixture
def _one_millisecond_a_pass(monkeypatch):
    """A clock on which every pass takes one millisecond."""
    ticks = iter(range(1000))
    monkeypatch.setattr(_trace.time, "perf_counter", lambda: next(ticks) * 1e-3)


@pytest.fixture(autouse=True)
def _nothing_is_said_about_compiling(monkeypatch):
    monkeypatch.setattr(NOTICE, "told", True)


def run():
    y, cache = ops.conv2d(X, WEIGHT, groups=2)
    ops.conv2d_backward(y, cache)
    ops.relu(y)


def test_it_is_silent_unless_asked(capsys, monkeypatch):
    for value in ("", "0"):
        monkeypatch.setenv("MINIFCN_TRACE", value)
        run()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_one_millisecond_a_pass")
@pytest.mark.parametrize("folder", ["reference", "array", "cpu"])
def test_lines(folder, capsys, monkeypatch):
    monkeypatch.setenv("MINIFCN_TRACE", "1")
    with kernels.use_kernels(folder):
        run()
    out, err = capsys.readouterr()
    assert out == ""
    rows = {match[1]: match for match in map(LINE.match, err.splitlines())}
    assert list(rows)[:3] == ["conv2d", "conv2d_grad_input", "conv2d_grad_weight"]
    assert rows["conv2d"][2] == "2x4x9x8 6x2x3x2"
    assert {row[4] for row in rows.values()} == {"1.000"}
    assert all(rows[name][5] == f"{FLOPS / 1e6:.0f}" for name in list(rows)[:3])
    assert rows["conv2d"][6] == f"{(X.nbytes + WEIGHT.nbytes + 4 * 2 * 6 * 7 * 7) / 1e6:.1f}"
    assert rows["relu"][5] is None
    assert rows["relu"][6] == f"{2 * 4 * 2 * 6 * 7 * 7 / 1e6:.1f}"


def double(x):
    _trace.chose("by hand")
    return 2 * x


@pytest.mark.usefixtures("_one_millisecond_a_pass")
def test_the_algorithm_is_named(capsys):
    folder = ModuleType("folder")
    folder.double, folder.constant = double, 3
    traced = _trace.Traced(folder)
    traced.double(X)
    assert capsys.readouterr().err == f"double  2x4x9x8  by hand  1.000 ms  {2 * X.nbytes / 1e6:.1f} GB/s\n"
    assert (traced.constant, traced.__name__) == (3, "folder")


@pytest.mark.skipif(LANES < 16, reason="narrower vectors make other choices")
@pytest.mark.parametrize(("channels", "kernel", "stride", "diagonal", "expected"), [
    (64, 3, 1, False, ["winograd", "winograd", "winograd"]),
    (64, 5, 1, False, ["direct", "direct", "direct"]),
    (21, 4, 2, False, ["direct", "phases", "direct"]),
    (21, 4, 2, True, ["diagonal", "diagonal", "direct"]),
])
def test_convolutions_name_their_algorithm(channels, kernel, stride, diagonal, expected, capsys, monkeypatch):
    monkeypatch.setenv("MINIFCN_TRACE", "1")
    c = channels
    weight = np.ones((c, c, kernel, kernel), np.float32)
    if diagonal:
        weight *= np.eye(c, dtype=np.float32)[:, :, None, None]
    x = np.ones((1, c, 40, 40), np.float32)
    with kernels.use_kernels("cpu"):
        y, cache = ops.conv2d(x, weight, stride=stride)
        ops.conv2d_backward(y, cache)
    named = [line.split("  ")[2] for line in capsys.readouterr().err.splitlines() if line.startswith("conv2d")]
    assert named == expected


@pytest.mark.usefixtures("_one_millisecond_a_pass")
def test_prepared_passes_count_the_same_operations(capsys, monkeypatch):
    monkeypatch.setenv("MINIFCN_TRACE", "1")
    folder = kernels.kernels_for(X)
    view = (7, 7, 1, 1, 0, 0, 1, 1, 2)
    kind, data = folder.prepare_conv2d(WEIGHT, 9, 8, *view)
    capsys.readouterr()
    folder.conv2d_prepared(X, data, kind, None, 6, 3, 2, *view)
    assert LINE.match(capsys.readouterr().err.strip())[5] == f"{FLOPS / 1e6:.0f}"
