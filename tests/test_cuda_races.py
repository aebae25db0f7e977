"""ThreadSanitizer on the passes, and what says so; each pass once with its example; and gdb in a thread of a kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minifcn.kernels import cuda, reference
from minifcn.kernels.cuda import _emulator, _examples, _gpu, races, step

pytestmark = pytest.mark.emulator


def python(*words, timeout=600, **environment):
    # Where this suite finds minifcn, the other Python does too.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False,
                          timeout=timeout)


def clean(*names):
    done = python("-m", "minifcn.kernels.cuda.races", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    lines, asked = done.stdout.splitlines(), set(map(_examples.pass_of, names or _examples.EXAMPLES))
    expected = [name for name in _examples.EXAMPLES if _examples.pass_of(name) in asked]
    assert [line.split(" (")[0] for line in lines] == expected
    assert all(line.endswith(": clean") for line in lines)


def one_of_each_file():
    """Examples of which each launches a kernel of a file that none before it does."""
    chosen, seen = [], set()
    for name in _examples.EXAMPLES:
        files = {program.path for program, _ in _examples.launches(name)}
        if files - seen:
            chosen.append(name)
            seen |= files
    return chosen


# Races.


@pytest.mark.races
def test_one_pass_of_each_file_has_no_race():
    clean(*map(_examples.pass_of, one_of_each_file()))


@pytest.mark.races
@pytest.mark.full
def test_no_pass_has_a_race():
    clean()


@pytest.mark.races
def test_a_race_is_reported_with_its_lines(tmp_path):
    text = (Path(cuda.__file__).parent / "relu.cu").read_text(encoding="utf-8")
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "y[at] = value <= 0" in line)
    broken = text.replace("y[at] = value <= 0", "y[at / 2 * 2] = value <= 0")
    (tmp_path / "relu.cu").write_text(broken, encoding="utf-8")
    done = python("-m", "minifcn.kernels.cuda.races", "relu", "--sources", str(tmp_path),
                  MINIFCN_CACHE_DIR=str(tmp_path / "cache"))
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "relu (relu): RACE",
        f"    write of size 4: relu.cu:{line}; previous write of size 4: relu.cu:{line}",
    ]


KERNELS = """
#include "common.h"
__device__ __forceinline__ REAL warp_sum(REAL v) {
    for (int by = 16; by; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
    return v;
}
extern "C" __global__ void right_barriers(const REAL* x, REAL* y) {
    __shared__ REAL sums[THREADS / 32];
    for (int turn = 0; turn < 9; ++turn) {
        REAL sum = warp_sum(x[threadIdx.x]);
        if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
        __syncthreads();
        if (threadIdx.x == 0) y[blockIdx.x] = sums[0] + sums[1];
        __syncthreads();  // before anybody writes the next sums
    }
}
extern "C" __global__ void right_atomics(const REAL* x, REAL* y, int* count) { atomicAdd(count, int(x[0])); }
extern "C" __global__ void no_second_barrier(const REAL* x, REAL* y) {
    __shared__ REAL sums[THREADS / 32];
    for (int turn = 0; turn < 2; ++turn) {
        REAL sum = warp_sum(x[threadIdx.x]);
        if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
        __syncthreads();
        if (threadIdx.x == 0) y[blockIdx.x] = sums[0] + sums[1];
    }
}
extern "C" __global__ void shuffle_for_a_barrier(const REAL* x, REAL* y) {  // it moves values, it orders nothing
    __shared__ REAL all[THREADS];
    all[threadIdx.x] = x[threadIdx.x];
    y[blockIdx.x * THREADS + threadIdx.x] = warp_sum(1) + all[threadIdx.x ^ 1];
}
extern "C" __global__ void blocks_add(const REAL* x, REAL* y) {  // each block by another thread of its own
    __shared__ REAL one;
    if (threadIdx.x == 0) one = x[0];
    __syncthreads();
    if (threadIdx.x == blockIdx.x) y[0] += one;
}
extern "C" __global__ void same_thread_of_blocks(const REAL* x, REAL* y) { if (threadIdx.x == 7) y[7] += x[7]; }
"""
LAUNCHES = """
import os, sys
import numpy as np
from pathlib import Path
from minifcn.kernels.cuda._program import Program

folder = Path(sys.argv[1])
program, log, before = Program("tried", folder=folder), folder / f"report.{os.getpid()}", 0
for kernel in program.kernels:
    counts = [np.zeros(1, np.int32)] if "atomics" in kernel else []
    program.run(kernel, 4 * 64, np.ones(64, np.float32), np.zeros(256, np.float32), *counts)
    after = log.stat().st_size if log.exists() else 0
    print(kernel, "RACE" if after > before else "clean")
    before = after
"""


@pytest.mark.races
def test_what_orders_threads_and_what_does_not(tmp_path):
    (tmp_path / "tried.cu").write_text(KERNELS, encoding="utf-8")
    done = python("-c", LAUNCHES, str(tmp_path), MINIFCN_CACHE_DIR=str(tmp_path),
                  **races.environment(tmp_path / "report"))
    assert done.stdout.splitlines() == [
        "right_barriers clean", "right_atomics clean", "no_second_barrier RACE", "shuffle_for_a_barrier RACE",
        "blocks_add RACE", "same_thread_of_blocks RACE"], done.stderr


def test_a_pass_without_kernels(capsys):
    with pytest.raises(SystemExit) as end:
        races.main(["reul"])
    assert end.value.code == 2
    assert "expected passes, got reul. Choose of " in capsys.readouterr().err


@pytest.mark.races
def test_a_folder_without_sources(tmp_path):
    done = python("-m", "minifcn.kernels.cuda.races", "relu", "--sources", str(tmp_path))
    assert done.returncode == 2
    assert f"races: expected one of minifcn's .cu files in {tmp_path}, got none. Copy" in done.stderr


def test_a_compiler_without_thread_sanitizer(monkeypatch, tmp_path, capsys):
    other = tmp_path / "other++"
    other.write_text("#!/bin/sh\necho libtsan.so\n", encoding="utf-8")  # as g++ says it of a file that it has not
    other.chmod(0o755)
    monkeypatch.setattr(_emulator, "compiler", lambda: str(other))
    assert races.main(["relu"]) == 2
    assert f"races: expected {other} to have ThreadSanitizer, got no libtsan.so. Name" in capsys.readouterr().err


def test_a_python_without_thread_sanitizer(monkeypatch, capsys):
    monkeypatch.setenv(races.LOG, "report")
    assert races.main(["relu"]) == 2
    assert "races: expected None to be loaded before Python, got a Python without it" in capsys.readouterr().err


# The examples.


def test_every_pass_has_an_example():
    assert list(dict.fromkeys(map(_examples.pass_of, _examples.EXAMPLES))) == cuda.__all__


COMPARED = pytest.mark.parametrize("name", [  # what is prepared is for its own folder alone
    name for name in _examples.EXAMPLES if not name.startswith("prepare_")])


@COMPARED
def test_an_example_gives_what_the_reference_gives(name):
    expected, found = _examples.run(name, reference), _examples.run(name, cuda)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(1, np.abs(other).max()))
        assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.mark.full
@COMPARED
def test_it_does_so_in_blocks_as_large_as_on_a_gpu(name, monkeypatch):
    monkeypatch.setattr(_emulator, "MOST_THREADS", _gpu.MOST_THREADS)  # up to eight warps that meet
    test_an_example_gives_what_the_reference_gives(name)


def test_every_kernel_is_launched_by_an_example():
    launched = {(p.path, kernel) for name in _examples.EXAMPLES for p, kernel in _examples.launches(name)}
    assert launched == {(program.path, kernel) for program in _examples.programs() for kernel in program.kernels}


# Steps.


def test_a_debugger_stops_in_the_thread_that_was_asked_for(monkeypatch):
    if shutil.which("gdb") is None:
        pytest.skip("needs gdb")
    monkeypatch.setenv("MINIFCN_EMULATOR", "debug")
    _emulator._libraries.cache_clear()
    gdb, *words = step.command("relu", 5, (2, 0, 0))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    ask = words.index("--args")
    words[ask:ask] = ["-batch", "-ex", "print threadIdx", "-ex", "print blockIdx", "-ex", "next", "-ex", "print at"]
    done = subprocess.run([gdb, *words], capture_output=True, text=True, check=False, timeout=600)
    _emulator._libraries.cache_clear()
    if "ptrace" in done.stderr:
        pytest.skip(f"gdb may not look into programs here: {done.stderr.splitlines()[-1]}")
    assert "$1 = {x = 5, y = 0, z = 0}\n$2 = {x = 2, y = 0, z = 0}" in done.stdout, done.stdout + done.stderr
    assert "$3 = 133" in done.stdout  # 2 * 64 + 5


def test_without_a_debugger_the_command_is_shown(monkeypatch, capsys):
    monkeypatch.setenv("MINIFCN_EMULATOR", "")  # to be set back
    monkeypatch.setattr(step, "launches", lambda name: [])
    monkeypatch.setattr(step.shutil, "which", lambda name: None)
    assert step.main(["relu", "--thread", "3", "--block", "1,2"]) == 2
    error = capsys.readouterr().err
    assert "step: expected the debugger gdb, got none. On Debian and Ubuntu: sudo apt install gdb;" in error
    assert "MINIFCN_EMULATOR=debug gdb -q " in error
    assert error.endswith(f"--args {sys.executable} -m minifcn.kernels.cuda._examples relu\n")


def test_where_a_debugger_stops():
    assert step._block("3") == (3, 0, 0)
    assert step._block("1,2") == (1, 2, 0)
    assert ("break relu.cu:relu if threadIdx.x == 3 && blockIdx.x == 1 && blockIdx.y == 2 && blockIdx.z == 0"
            in step.command("relu", 3, (1, 2, 0)))
