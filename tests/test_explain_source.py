"""show_source prints what stands in the file, and says where."""

import functools
import re
import textwrap
from pathlib import Path

import numba
import pytest

import minifcn
from minifcn import layers, ops
from minifcn.explain import show_source

# The library's files by the names that show_source gives them: kernels/ moves into minifcn/ when it is installed.
TOP = Path(minifcn.__file__).resolve().parent.parent


def shown(capsys, function):
    """(file, line, text) as they were printed."""
    show_source(function)
    head, text = capsys.readouterr().out.split("\n", 1)
    file, line = re.fullmatch(r"# (.+), line (\d+)", head).groups()
    return file, int(line), text


def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@decorated
def twice(number):
    """A function behind a decorator."""
    return 2 * number


@pytest.mark.parametrize("function", [
    ops.conv2d, layers.Conv2d, layers.Conv2d._forward, layers.Conv2d(1, 1, 1)._backward, minifcn.use_kernels,
], ids=["function", "class", "method", "bound method", "decorated"])
def test_the_text_is_what_the_file_holds_from_that_line_on(function, capsys):
    file, line, text = shown(capsys, function)
    lines = (TOP / file).read_text(encoding="utf-8").splitlines(keepends=True)
    assert text.endswith("\n\n")  # an empty line, then what the caller prints next
    body = text.removesuffix("\n")
    assert textwrap.dedent("".join(lines[line - 1 : line - 1 + body.count("\n")])) == body
    assert re.match(r"def |class |@", body)  # not indented


def test_the_file_is_named_from_the_library_on(capsys):
    assert shown(capsys, ops.conv2d)[0] == "minifcn/ops/conv.py"
    assert shown(capsys, minifcn.kernels.array_module)[0] in ("kernels/__init__.py", "minifcn/kernels/__init__.py")


def test_a_file_of_the_readers_own_is_named_in_full(capsys):
    file, _, text = shown(capsys, twice)
    assert Path(file).samefile(__file__)
    assert "return 2 * number" in text
    assert "return function" not in text  # the wrapper


def test_a_compiled_function_shows_what_was_compiled(capsys):
    assert "return 2 * number" in shown(capsys, numba.njit(twice.__wrapped__))[2]


@pytest.mark.parametrize("wrong", [len, 3, "conv2d"])
def test_what_has_no_source_is_refused(wrong):
    with pytest.raises(TypeError, match=r"show_source: expected a function, method or class written in Python, "
                                        r"got .*\. Give the function itself, without calling it\."):
        show_source(wrong)


def test_what_has_no_file_is_refused():
    nowhere = {}
    exec("def typed_in(): pass", nowhere)
    with pytest.raises(OSError, match="could not get source code"):
        show_source(nowhere["typed_in"])
