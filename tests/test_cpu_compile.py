"""Compiling once: kept on disk, seen by the next process, never stale, safe when many processes start together."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minifcn import kernels
from minifcn.kernels import _cache
from minifcn.kernels.cpu import _compile

SOURCE = Path(kernels.__file__).parent
EXAMPLE = '''
from ._compile import compiled
from ._helper import twice

@compiled
def work(x):
    return twice(x) + 1
'''
HELPER = '''
from ._compile import compiled

@compiled
def twice(x):
    return 2 * x
'''
# Prints the result, the number of functions that were compiled (not loaded), and the folder.
PROGRAM = """
import sys
from kernels.cpu import _compile, _notice
from kernels.cpu._example import work
print(work(20), _notice.NOTICE.functions, _compile.cache_folder())
"""


@pytest.fixture
def copy(tmp_path):
    """The kernels as a package of their own, with a function that calls one of another file."""
    folder = tmp_path / "kernels"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "cpu" / "_example.py").write_text(EXAMPLE)
    (folder / "cpu" / "_helper.py").write_text(HELPER)
    return folder


def start(copy, **environment):
    own = {"MINIFCN_CACHE_DIR": str(copy.parent / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=copy.parent, env={**os.environ, **own, **environment},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    number, functions, folder = out.split(maxsplit=2)
    return int(number), int(functions), folder.strip()


def test_the_second_process_loads_what_the_first_compiled(copy):
    assert result(start(copy))[:2] == (41, 2)
    assert result(start(copy))[:2] == (41, 0)


def test_an_edit_of_a_callee_is_seen(copy):
    """Numba alone would go on with the old machine code: it looks at the file of the caller only."""
    _, _, before = result(start(copy))
    helper = copy / "cpu" / "_helper.py"
    times = helper.stat()
    helper.write_text(HELPER.replace("2 * x", "3 * x"))
    os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))  # not even the time of the file tells
    number, functions, after = result(start(copy))
    assert (number, functions) == (61, 2)
    assert after != before


@pytest.mark.parametrize("environment", [{"MINIFCN_VECTOR": "128"}, {"MINIFCN_BOUNDSCHECK": "1"}])
def test_what_else_the_machine_code_depends_on(copy, environment):
    _, _, before = result(start(copy))
    number, functions, after = result(start(copy, **environment))
    assert (number, functions) == (41, 2)
    assert after != before


def test_many_processes_at_once(copy):
    """One compiles, the others wait for it and load."""
    results = [result(process) for process in [start(copy) for _ in range(6)]]
    assert {number for number, _, _ in results} == {41}
    assert sum(functions for _, functions, _ in results) == 2


def test_a_damaged_file_on_disk_is_compiled_again(copy):
    result(start(copy))
    damaged = list((copy.parent / "cache").rglob("*.nbc"))
    assert damaged
    for path in damaged:
        path.write_bytes(b"")
    number, _, _ = result(start(copy))
    assert number == 41


@pytest.mark.skipif(os.name != "posix", reason="no read-only folders here")
def test_a_folder_that_cannot_be_written(copy):
    """A file where the folder should be: also for root, who may write everywhere."""
    (copy.parent / "cache").write_text("")
    number, functions, folder = result(start(copy))
    assert (number, functions) == (41, 2)
    assert not Path(folder).is_relative_to(copy.parent / "cache")


def test_a_read_only_installation(copy):
    """Machine code is never kept beside the sources."""
    before = sorted(path.relative_to(copy) for path in copy.rglob("*"))
    result(start(copy))
    assert sorted(path.relative_to(copy) for path in copy.rglob("*")) == before


@pytest.mark.parametrize("statement", ["import minifcn", "import minifcn.kernels.cpu", "import minifcn.layers"])
def test_importing_compiles_nothing(statement, tmp_path):
    program = f"{statement}\nfrom minifcn.kernels.cpu import _notice, _compile\nprint(_notice.NOTICE.functions)\n" \
              f"print(len(list(_compile.cache_folder().rglob('*.nb?'))))"
    run = subprocess.run([sys.executable, "-c", program], env={**os.environ, "MINIFCN_CACHE_DIR": str(tmp_path)},
                         capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "0"]


def test_numba_is_not_imported_before_it_is_needed():
    program = "import sys, minifcn, minifcn.layers, minifcn.models; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_other_peoples_functions_keep_their_own_cache():
    import numba

    before = numba.config.CACHE_DIR
    _compile.compiled(lambda x: x)
    assert before == numba.config.CACHE_DIR


def test_homes(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIFCN_CACHE_DIR", str(tmp_path))
    assert _cache._homes() == [tmp_path]
    monkeypatch.delenv("MINIFCN_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _cache._homes() == [tmp_path / "minifcn"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _cache._homes() == [Path.home() / ".cache" / "minifcn"]


# The word about it.


def test_a_word_is_said_when_compiling_takes_long(copy, monkeypatch):
    notice = copy / "cpu" / "_notice.py"
    notice.write_text(notice.read_text().replace("PATIENCE = 2.0", "PATIENCE = -1.0"))
    process = start(copy)
    _, err = process.communicate(timeout=120)
    assert err.count("minifcn: compiling kernels for this processor") == 1
    assert "minifcn: compiled 2 functions in " in err
    _, err = start(copy).communicate(timeout=120)
    assert err == ""


def test_nothing_is_said_when_it_does_not(copy):
    _, err = start(copy).communicate(timeout=120)
    assert err == ""
