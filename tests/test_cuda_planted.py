"""Faults planted into the CUDA sources and launchers, as their authors might make them: each one is found.

A check that has never failed proves nothing. So every fault here is the real text with a few characters changed, and
what finds it finds nothing in the text as it is.
"""

import importlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from minifcn.kernels import cuda, reference
from minifcn.kernels.cuda import _emulator, _examples
from minifcn.kernels.cuda._program import FOLDER, Program

pytestmark = pytest.mark.emulator


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """What is broken stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("compiled")
        patch.setattr(_emulator, "cache_folder", lambda name: folder)
        yield


def broken(text, old, new, where):
    assert text.count(old) == 1, f"{where}: expected {old!r} once, got it {text.count(old)} times"
    return text.replace(old, new)


def plant(folder, file, old, new):
    """A copy of the sources in which one place of one file is changed."""
    for path in (*FOLDER.glob("*.h"), *FOLDER.glob("*.cu")):
        if not (folder / path.name).exists():
            shutil.copy(path, folder)
    (folder / file).write_text(broken((folder / file).read_text(encoding="utf-8"), old, new, file), encoding="utf-8")


def use(monkeypatch, folder):
    """Let every launcher take its source from this folder."""
    for name in sorted(path.stem for path in FOLDER.glob("*.py") if path.name != "__init__.py"):
        module = importlib.import_module(f"{cuda.__name__}.{name}")
        for word, value in list(vars(module).items()):
            if isinstance(value, Program):
                monkeypatch.setattr(module, word, Program(value.name, *value.constants, folder=folder))


def check(name):
    """What the tests of a pass do: compare with the definition."""
    for one, other in zip(_examples.run(name, cuda), _examples.run(name, reference), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(1, np.abs(other).max()))


# In the sources.

OUTSIDE, APART, TYPES = "writes outside of argument", "some threads came to", "expected the arguments"
NUMBERS = "Not equal to tolerance"
SOURCES = {  # what: (example, file, text, its fault, what is said of it)
    "one number too many": (
        "relu", "relu.cu", "at < count; at += all_threads()) {", "at <= count; at += all_threads()) {", OUTSIDE),
    "a neighbour's number": ("relu", "relu.cu", "REAL value = x[at];", "REAL value = x[at + 1];", NUMBERS),
    "a column too many": ("conv2d", "conv_direct.cu", "if (ix < 0 || ix >= w)", "if (ix < 0 || ix > w)", NUMBERS),
    "a neighbour's tap": ("conv2d", "conv_direct.cu", "weight[(long long)(o + filter) * depth + tap]",
                          "weight[(long long)(o + filter) * depth + tap - 1]", NUMBERS),
    "a tap outside of shared memory": (
        "conv2d", "conv_direct.cu", "taps[MOST_TAPS * FILTERS];", "taps[5 * FILTERS];", "an index outside of an array"),
    "a barrier for some": (
        "conv2d", "conv_direct.cu", "__syncthreads();\n        for (int n", "if (threadIdx.x < 40) __syncthreads();\n"
        "        for (int n", APART),
    "a barrier behind the end": (
        "conv2d", "conv_direct.cu", "    for (int part = blockIdx.y;",
        "    if (threadIdx.x + THREADS * blockIdx.x >= pixels) return;\n    for (int part = blockIdx.y;", APART),
    "half a mask": ("adaptive_avg_pool2d: large windows", "block_sum.h", "__shfl_down_sync(0xffffffff,",
                    "__shfl_down_sync(0xffff,", "mask does not name all 32 lanes"),
    "half of the lanes": (
        "adaptive_avg_pool2d: large windows", "block_sum.h", "for (int by = 16;", "for (int by = 8;", NUMBERS),
    "shared memory that nobody cleared": (
        "scatter: different places", "unpool.cu", "sums[i] = 0;\n    for (int i = threadIdx.x; i < MOST",
        "{}\n    for (int i = threadIdx.x; i < MOST", NUMBERS),
    "an int that is a long long": (
        "relu", "relu.cu", "relu(const REAL* x, REAL* y, long long count)", "relu(const REAL* x, REAL* y, int count)",
        TYPES),
    "a double that is a float": (
        "relu_grad", "relu.cu", "relu_grad(const REAL* gy, const REAL* y, REAL* gx",
        "relu_grad(const REAL* gy, const REAL* y, double* gx", TYPES),
}


@pytest.mark.parametrize("fault", SOURCES)
def test_cuda_planted_in_a_source(fault, tmp_path, monkeypatch):
    name, file, old, new, said = SOURCES[fault]
    plant(tmp_path, file, old, new)
    check(name)
    use(monkeypatch, tmp_path)
    with pytest.raises((AssertionError, RuntimeError, TypeError), match=said):
        check(name)


# In the launchers.

LAUNCHERS = {
    "an int for a long long": ("relu", "relu.py", "y, np.int64(x.size))", "y, x.size)", TYPES),
    "the arguments changed over": (
        "relu_grad", "relu.py", "contiguous(gy), contiguous(y)", "contiguous(y), contiguous(gy)", NUMBERS),
    "a block too few": (
        "gather", "unpool.py", '"gather", values * together,', '"gather", values * together - 64,', NUMBERS),
    "an array as it comes": ("relu_grad: turned", "relu.py", "contiguous(gy), ", "gy, ", "expected contiguous arrays"),
}


@pytest.mark.parametrize("fault", LAUNCHERS)
def test_cuda_planted_in_a_launcher(fault, monkeypatch):
    name, file, old, new, said = LAUNCHERS[fault]
    check(name)
    made = {"__name__": f"{cuda.__name__}.{file[:-3]}", "__package__": cuda.__name__}
    exec(compile(broken((FOLDER / file).read_text(encoding="utf-8"), old, new, file), file, "exec"), made)
    monkeypatch.setattr(cuda, _examples.pass_of(name), made[_examples.pass_of(name)])
    with pytest.raises((AssertionError, TypeError, ValueError), match=said):
        check(name)


# Races.

RACES = {
    "a barrier taken out": ("conv2d_relu", "conv_direct.cu", "__syncthreads();\n        for (int n", "for (int n"),
    "a barrier taken out of a header": (
        "adaptive_avg_pool2d: large windows", "block_sum.h", "__syncthreads();\n    for (int k", "for (int k"),
    "two blocks keep their sums in one place": (
        "channel_sums: large", "channel.h", "own_channel() * gridDim.y + blockIdx.y) * COUNT",
        "own_channel() * gridDim.y) * COUNT"),
    "two threads add to one number": ("relu_grad", "relu.cu", "gx[at] = y[at] <= 0", "gx[at / 2] += y[at] <= 0"),
    "two blocks write one number": ("relu", "relu.cu", "y[at] = value <= 0", "y[at % THREADS] = value <= 0"),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What ThreadSanitizer says of the sources as they are, and of those with all the faults above."""
    planted = tmp_path_factory.mktemp("planted")
    for _, file, old, new in RACES.values():
        plant(planted, file, old, new)
    names, cache = [name for name, *_ in RACES.values()], tmp_path_factory.mktemp("cache")
    return [judged(cache, *names, *words) for words in ((), ("--sources", str(planted)))]


def judged(cache, *words):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MINIFCN_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-m", "minifcn.kernels.cuda.races", *words], env=environment, text=True,
                          capture_output=True, check=False, timeout=600)
    said = {}
    for line in done.stdout.splitlines():
        if not line.startswith(" "):
            name, verdict = line.split(" (")[0], line.rpartition(": ")[2]
            said[name] = verdict
    assert done.returncode == ("RACE" in said.values()), done.stdout + done.stderr
    return said


@pytest.mark.races
@pytest.mark.parametrize("fault", RACES)
def test_cuda_planted_races(fault, verdicts):
    right, wrong = verdicts
    assert right[RACES[fault][0]] == "clean"
    assert wrong[RACES[fault][0]] == "RACE"
