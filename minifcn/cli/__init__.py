"""The command line: `minifcn COMMAND ...`. One file a command; each imports what it needs when it runs.

Exit codes: 0 well, 1 a check failed, 2 bad use or bad input. Errors are one line on standard error; with
MINIFCN_DEBUG=1 in the environment the traceback comes too.
"""

import argparse
import os
import sys
import traceback
from typing import Any, NoReturn

from .. import __version__
from . import compare, convert, doctor, evaluate, explain, gradcheck, inspect, models, predict, stitch, train, warmup

COMMANDS = (doctor, models, train, convert, evaluate, predict, gradcheck, inspect, explain, compare, stitch, warmup)

FIRST_STEPS = """\
minifcn: fully convolutional segmentation networks, every layer and every backward pass written out by hand.

  minifcn train --out runs/first                       train on the built-in street scenes, about two minutes
  minifcn evaluate runs/first --data street            how good it is, class by class
  minifcn predict runs/first PICTURE.png               paint the classes onto a picture
  minifcn gradcheck                                    prove every handwritten gradient
  minifcn doctor                                       what this machine has: kernels, threads, GPU

`minifcn --help` lists all commands, `minifcn COMMAND --help` explains one.
"""


class Parser(argparse.ArgumentParser):
    """argparse, with errors in the one form that all commands share, and options only by their full names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"minifcn: error: {message} (see `{self.prog} --help`)\n")


def parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    top = Parser(prog="minifcn", description="Fully convolutional segmentation networks, written out by hand.")
    top.add_argument("--version", action="version", version=f"minifcn {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    chosen = parser().parse_args(arguments)
    if not hasattr(chosen, "run"):
        print(FIRST_STEPS, end="")
        return 0
    try:
        return chosen.run(chosen)
    except BrokenPipeError:  # the reader, `head` for example, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except MemoryError as error:
        return _fail(f"out of memory: {error}. Use a smaller --size, --width or --batch-size.", 2)
    except OSError as error:
        return _fail(_describe(error), 2)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        return _fail(str(error), 2)


def _describe(error: OSError) -> str:
    """Our own messages as they are; the system's with what they mean for the files."""
    if error.errno is None:
        return str(error)
    name = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror}{name}. What had been saved before is untouched."


def _fail(message: str, code: int) -> int:
    print(f"minifcn: error: {message}", file=sys.stderr)
    if os.environ.get("MINIFCN_DEBUG"):
        traceback.print_exc()
    return code
