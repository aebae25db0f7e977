"""Show the library's own code, so that no page has to hold a copy of it that would grow old."""

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent  # minifcn/


def show_source(function: Callable[..., Any]) -> None:
    """Print a function, method or class as it stands in its file; above it, the file and the line where it begins.

    Raises TypeError for what is not written in Python, OSError where the file cannot be read.
    """
    written = inspect.unwrap(function)  # what a decorator, or a compiler, was given
    try:
        lines, first = inspect.getsourcelines(written)
        path = inspect.getsourcefile(written) or ""
    except TypeError as error:
        raise TypeError(f"show_source: expected a function, method or class written in Python, got {function!r}. "
                        f"Give the function itself, without calling it.") from error
    print(f"# {_shown(path)}, line {first}")
    print(textwrap.dedent("".join(lines)))


def _shown(path: str) -> str:
    """A file of the library by its place in the library; any other by its whole path."""
    try:
        return Path(path).resolve().relative_to(PACKAGE.parent).as_posix()
    except ValueError:
        return path
