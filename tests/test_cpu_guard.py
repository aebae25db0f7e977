"""No kernel reads or writes outside its arrays: shown by numba's bounds checks and by walls around every buffer.

The tests of the kernels are run again in processes of their own, slowly, with bounds checking switched on, and with a
page that nobody may touch right behind and right before each array. First it is shown that the wall stands.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minifcn.kernels.cpu import _guard, memory

TESTS = Path(__file__).parent
GUARDS = {"bounds": {"MINIFCN_BOUNDSCHECK": "1"}, "after": {"MINIFCN_GUARD": "after"},
          "before": {"MINIFCN_GUARD": "before"}}
TRESPASS = """
import sys
import numpy as np
from minifcn.kernels.cpu._compile import compiled
from minifcn.kernels.cpu._layout import contiguous
from minifcn.kernels.cpu._micro_kernel import at, multiply_tile

@compiled
def product(a, b, c, b_at):
    multiply_tile(1, False, 1, at(a, 0), 1, 1, at(b, b_at), b.size, at(c, 0), c.size)

a, b, c = (contiguous(np.ones(n, np.float32)) for n in (1, 64, 64))
product(a, b, c, 0)
print("inside", flush=True)
product(a, b, c, int(sys.argv[1]))
print("outside")
"""

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs mprotect")


@posix_only
@pytest.mark.parametrize(("guard", "place"), [("after", 60), ("before", -1)])
def test_the_wall_stands(guard, place, tmp_path):
    """A vector that begins inside and ends outside is the end of the process."""
    program = tmp_path / "trespass.py"  # numba wants a file to keep machine code for
    program.write_text(TRESPASS)

    def trespass(side):
        return subprocess.run([sys.executable, str(program), str(place)], env={**os.environ, "MINIFCN_GUARD": side},
                              capture_output=True, text=True, check=False)

    run = trespass(guard)
    assert run.returncode < 0  # killed by a signal
    assert run.stdout.split() == ["inside"]
    assert trespass("").stdout.split() == ["inside", "outside"]  # nobody would have noticed


@posix_only
@pytest.mark.parametrize("side", _guard.SIDES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (1 << 11, 3)])
def test_an_array_like_any_other(side, shape, monkeypatch):
    monkeypatch.setattr(_guard, "SIDE", side)
    array = _guard.guarded(shape, np.float32)
    assert array.shape == shape
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert np.isnan(array).all()
    assert (_guard.guarded(shape, np.int32) == -1).all()
    array[...] = 1
    assert (_guard.guarded_copy(array.T) == 1).all()
    place = array.ctypes.data + (array.nbytes if side == "after" else 0)
    assert place % _guard.mmap.PAGESIZE == 0


def test_it_is_off_unless_asked():
    assert os.environ.get("MINIFCN_GUARD") or memory.empty((4, 70000), np.float32).base is not None
    assert os.environ.get("MINIFCN_GUARD", "") == _guard.SIDE


def test_an_unknown_side(monkeypatch):
    monkeypatch.setenv("MINIFCN_GUARD", "around")
    with pytest.raises(ValueError, match=r"^MINIFCN_GUARD: expected one of after, before, got 'around'. Choose one"):
        _guard.side()


@pytest.mark.full
@posix_only
@pytest.mark.parametrize("guard", GUARDS)
def test_the_tests_of_the_kernels_again(guard):
    own = ("test_cpu_guard.py", "test_cpu_compile.py", "test_cpu_threads.py", "test_cpu_memory.py")
    files = [str(path) for path in sorted(TESTS.glob("test_cpu_*.py")) if path.name not in own]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files,
               str(TESTS / "test_random_configurations.py")]
    run = subprocess.run(command, env={**os.environ, **GUARDS[guard]}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
