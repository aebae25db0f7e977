"""Tutorials run from top to bottom as scripts, their prose does its sums right, and their exercises can be checked."""

import ast
import os
import re
import runpy
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tutorials"
PATHS = sorted(FOLDER.glob("*.py"))
TIMEOUT = 120  # seconds; the aim is 30, on two slow cores

pytestmark = pytest.mark.skipif(not PATHS, reason="no tutorials beside the tests")
every_tutorial = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def run(arguments, folder, **environment):
    """Python in an empty folder of its own, with another for temporary files and no screen. Returns what it printed."""
    here, temporary = folder / "here", folder / "temporary"
    here.mkdir(parents=True)
    temporary.mkdir()
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # the minifcn that is being tested
        "TMPDIR": str(temporary), "PYTHONIOENCODING": "utf-8",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",  # threads that wait for a busy core cost minutes
    }
    kept = {name: value for name, value in os.environ.items()
            if name not in ("DISPLAY", "MPLBACKEND") and not name.startswith("MINIFCN_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)], cwd=here, env=kept | settings | environment,
        capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT, check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert not list(here.iterdir()), "it wrote into the folder that it was called from"
    return done.stdout


def prose(path):
    """The lines of the markdown cells, without the # in front."""
    cell, lines = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# %%"):
            cell = line
        elif cell == "# %% [markdown]" and line:
            lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


# Every tutorial.

@every_tutorial
def test_runs_from_top_to_bottom(path, tmp_path):
    before = sorted(FOLDER.rglob("*"))
    out = run([path], tmp_path)
    assert out.strip(), "a reader wants to see something"
    assert sorted(FOLDER.rglob("*")) == before
    exercises = path.read_text(encoding="utf-8").count("raise NotImplementedError  # replace this line")
    assert out.count("not solved yet") == exercises


@every_tutorial
def test_is_a_page_of_cells(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # "), "it begins with prose: a title"
    for cell in re.split(r"^(?=# %%)", text, flags=re.MULTILINE)[1:]:
        head, *lines = cell.rstrip().splitlines()
        assert head in ("# %%", "# %% [markdown]")
        if head == "# %% [markdown]":
            assert all(line == "#" or line.startswith("# ") for line in lines), f"code in a cell of prose: {lines}"
        else:
            assert any(line and not line.startswith("#") for line in lines), f"a cell without code: {cell}"


@every_tutorial
def test_proves_what_it_says(path):
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def test_there_are_no_notebooks():
    assert not list(FOLDER.rglob("*.ipynb")), "a notebook is made from the script; only the script is kept"


SUM = re.compile(r"^ +\S.* = ([-()\d* +]+) = (-?\d+)$")


def sums(path):
    """(line, terms, result) of each line like `y[0, 0] = 1*1 + 2*(-1) + 1 = 0`."""
    for line in prose(path):
        found = SUM.match(line)
        if found:
            terms = [prod(int(factor.strip("()")) for factor in term.split("*")) for term in found[1].split(" + ")]
            yield line, terms, int(found[2])


@every_tutorial
def test_sums_in_the_prose_are_right(path):
    for line, terms, result in sums(path):
        assert sum(terms) == result, line


def test_sums_are_read():
    by_hand = FOLDER / "01_convolution_by_hand.py"
    assert len(list(sums(by_hand))) == sum(" = " in line and bool(re.search(r"\d\*\(?-?\d", line))
                                           for line in prose(by_hand)) >= 20


@pytest.mark.skipif(not (ROOT / "kernels").is_dir(), reason="needs the sources, not in a checkout")
@every_tutorial
def test_files_that_it_names_exist(path):
    named = re.findall(r"\b(?:tutorials|minifcn|kernels)/[\w/]+\.py", "\n".join(prose(path)))
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


# 00: where the results are.

def test_results_go_where_the_reader_says(tmp_path):
    """And nowhere else. (The settings are cut short: the full run is above.)"""
    text = (FOLDER / "00_start_here.py").read_text(encoding="utf-8")
    beginning = text[: text.index("# ## 1.")]
    path = tmp_path / "beginning.py"
    path.write_text(beginning + "\n\n# %%\nprint(OUT)\n", encoding="utf-8")
    assert run([path], tmp_path / "named", MINIFCN_TUTORIAL_OUT=str(tmp_path)).split()[-1] \
        == str(tmp_path / "00_start_here")
    new = Path(run([path], tmp_path / "new").split()[-1])
    assert new.parent.parent == tmp_path / "new" / "temporary"


# 01: the exercise, answered.

EXERCISE = FOLDER / "01_convolution_by_hand.py"
HOLE = "    raise NotImplementedError  # replace this line by your answer\n"

RIGHT = """\
    _, o, oh, ow = gy.shape
    gweight = np.zeros((o, x.shape[1], kh, kw))
    for i in range(kh):
        for j in range(kw):
            gweight[:, :, i, j] = np.einsum("nopq,ncpq->oc", gy, x[:, :, i : i + oh, j : j + ow])
    return gweight
"""


@pytest.fixture
def answered(tmp_path):
    """A function that writes the tutorial with an answer pasted in, and returns its path."""

    def write(answer):
        text = EXERCISE.read_text(encoding="utf-8")
        assert text.count(HOLE) == 1
        path = tmp_path / "answered.py"
        path.write_text(text.replace(HOLE, answer), encoding="utf-8")
        return path

    return write


def verdict(path, capsys):
    """What the tutorial prints about the exercise, to the end."""
    capsys.readouterr()
    runpy.run_path(str(path))
    out = capsys.readouterr().out
    return out[out.index("floor") :]  # the gradient check of section 6 is the last thing before


def test_a_right_answer_passes(answered, capsys):
    said = verdict(answered(RIGHT), capsys)
    assert "gradients of Convolution(): passed" in said
    assert said.endswith("Exercise: solved.\n")


@pytest.mark.parametrize(("before", "after", "said"), [
    ("return gweight", "gweight[1, 2, 0, 1] += 1\n    gweight[3, 0, 1, 1] += 1\n    return gweight",
     r"2 of 72 numbers are wrong, the first is gweight\[1, 2, 0, 1\]: got (-?\d+), expected (-?\d+)\."),
    ("gy, x[:, :,", "gy[:1], x[:1, :,",  # the first image only
     r"\d+ of 72 numbers are wrong, the first is gweight\[0, 0, 0, 0\]: got (-?\d+), expected (-?\d+)\."),
    ("(o, x.shape[1], kh, kw)", "(o, x.shape[1], kh + 1, kw)",
     r"Expected gweight of shape \(4, 3, 2, 3\), got \(4, 3, 3, 3\)\."),
    ("return gweight", "return gweight[None]",
     r"Expected gweight of shape \(4, 3, 2, 3\), got \(1, 4, 3, 2, 3\)\."),
    ("return gweight", "gweight[0, 0, 0, 0] = np.nan\n    return gweight",
     r"1 of 72 numbers are wrong, the first is gweight\[0, 0, 0, 0\]: got (nan), expected (-?\d+)\."),
], ids=["two numbers", "one image", "too high", "an axis more", "nan"])
def test_a_wrong_answer_is_told_what_is_wrong(before, after, said, answered, capsys):
    assert RIGHT.count(before) == 1
    found = re.search(f"Exercise: not right yet. {said}", verdict(answered(RIGHT.replace(before, after)), capsys))
    assert found
    assert not found.groups() or found[1] != found[2]


def test_the_first_wrong_number_is_named_with_what_it_should_be(answered, capsys):
    """The numbers that are named, against a brute force over the very arrays that the answer was given."""
    spy = RIGHT.replace("return gweight", "globals().update(seen=(gy, x))\n    gweight[1, 2, 0, 1] += 1\n"
                                          "    return gweight")
    names = runpy.run_path(str(answered(spy)))
    gy, x = names["seen"]
    expected = sum(gy[n, 1, p, q] * x[n, 2, p, q + 1] for n in range(2) for p in range(3) for q in range(3))
    assert f"gweight[1, 2, 0, 1]: got {expected + 1:g}, expected {expected:g}." in capsys.readouterr().out


def test_an_answer_that_fits_whole_numbers_only_fails_the_gradient_check(answered, capsys):
    said = verdict(answered(RIGHT.replace("return gweight", "return gweight.round()")), capsys)
    assert "gradients of Convolution(): FAILED" in said
    assert re.search(r"weight\[[\d, ]+\]: got \S+, expected \S+ \(central difference\)", said)
    assert "solved" not in said


def test_an_answer_that_returns_nothing_is_not_solved_yet(answered, capsys):
    assert verdict(answered("    pass\n"), capsys).endswith("Exercise: not solved yet. Write grad_weight in section 7 "
                                                           "and run this again.\n")


def test_the_command_line_checks_the_answer(answered, tmp_path):
    """As the tutorial says: it is given the tutorial itself, and the name of the class."""
    out = run(["-m", "minifcn", "gradcheck", f"{answered(RIGHT)}:Convolution"], tmp_path)
    assert re.search(r"^Convolution +1 .*passed", out, re.MULTILINE)
