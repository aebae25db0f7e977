"""What keeps the repository pleasant: quick to start, files that can be read in one sitting, nothing big or foreign."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import minifcn

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(minifcn.__file__).resolve().parent
KERNELS = Path(minifcn.kernels.__file__).resolve().parent
SOURCES = sorted({*PACKAGE.rglob("*.py"), *KERNELS.rglob("*.py"), *KERNELS.rglob("*.cu")})

MAX_LINES = 250
MAX_BYTES = 2_000_000

# Quick to start.

SLOW = ("cupy", "numba", "matplotlib", "torch", "rich", "scipy", "PIL", "safetensors")


def loaded_by(program):
    """Which slow packages a fresh Python has loaded after the program."""
    program += f"\nimport sys; print(*[name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_import_is_quick():
    assert loaded_by("import minifcn") == ""


@pytest.mark.skipif(not (PACKAGE / "cli.py").is_file() and not (PACKAGE / "cli").is_dir(), reason="no cli yet")
@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], ["train", "--help"]])
def test_help_is_quick(arguments):
    program = f"""if True:
        from minifcn.cli import main
        try:
            main({arguments!r})
        except SystemExit as end:
            assert not end.code, end.code
    """
    assert loaded_by(program) == ""


# Small, and the same everywhere.

@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_files_stay_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, (f"{path} has {lines} lines; {MAX_LINES} are allowed, so that a file can be read in one "
                                f"sitting and holds one idea. Move the second idea into a file of its own.")


@pytest.fixture(scope="module")
def tracked():
    """The files under version control."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs git")
    if done.returncode or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_notebooks_are_not_tracked(tracked):
    """Tutorials are scripts, whose differences can be read; a notebook is made from one."""
    assert not [path for path in tracked if path.suffix == ".ipynb"]


def test_nothing_big_is_tracked(tracked):
    big = [f"{path}: {path.stat().st_size} bytes" for path in tracked if path.stat().st_size > MAX_BYTES]
    assert not big, "every clone pays for it for ever: " + "; ".join(big)


FOREIGN = re.compile(r"(?<![\w./-])/(?:work|root|tmp|home|Users)/\w"  # a folder of one machine
                     r"|pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org")  # one mirror among many


def test_nothing_belongs_to_one_machine(tracked):
    found = []
    for path in tracked:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{path}: {hit[0]}" for hit in FOREIGN.finditer(text)]
    assert not found, "paths and hosts that another machine has not: " + "; ".join(found)


@pytest.mark.parametrize(("text", "wrong"), [
    ("cd /" + "work/main", True), ("see /" + "home/ann/x", True), ("https://pypi" + ".org/simple", True),
    ("../shared/data/camvid", False), ("PYTHON=/path/to/python3", False), ("a/" + "work/b", False),
    ("runs/demo", False),
])
def test_what_belongs_to_one_machine(text, wrong):
    assert bool(FOREIGN.search(text)) is wrong
