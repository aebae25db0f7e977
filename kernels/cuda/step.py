"""Step through a CUDA kernel without a GPU: gdb, stopped in the thread that you name of a small example.

    python -m minifcn.kernels.cuda.step relu                           # block 0, thread 0
    python -m minifcn.kernels.cuda.step relu --block 2 --thread 5      # or --block 1,2 where blocks have two directions

In gdb: `next` goes a line on, `step` into a function, `print at` and `print x[at]` look at numbers, `print threadIdx`
says where you are, `info threads` shows the others of the block, `continue` runs on, `quit` ends it.
"""

import argparse
import os
import shlex
import shutil
import sys

from ._examples import EXAMPLES, launches


def main(words: list[str] | None = None) -> int:
    """The command above."""
    known = list(EXAMPLES)
    parser = argparse.ArgumentParser(prog="python -m minifcn.kernels.cuda.step",
                                     description="Step through a CUDA kernel with gdb, without a GPU.")
    parser.add_argument("name", metavar="PASS", choices=known, help=f"one of {', '.join(known)}")
    parser.add_argument("--thread", metavar="T", type=int, default=0, help="the thread of its block (default: 0)")
    parser.add_argument("--block", metavar="B", type=_block, default="0", help="x, or x,y, or x,y,z (default: 0)")
    chosen = parser.parse_args(words)
    os.environ["MINIFCN_EMULATOR"] = "debug"
    try:
        debugger = command(chosen.name, chosen.thread, chosen.block)
    except RuntimeError as error:
        print(f"minifcn: error: {error}", file=sys.stderr)
        return 2
    if shutil.which("gdb") is None:
        print("minifcn: error: step: expected the debugger gdb, got none. On Debian and Ubuntu: sudo apt install gdb; "
              f"then the same command again, or\n\nMINIFCN_EMULATOR=debug {shlex.join(debugger)}", file=sys.stderr)
        return 2
    sys.stdout.flush()
    os.execvp(debugger[0], debugger)
    return 0  # never: gdb has taken this program's place


def command(name: str, thread: int, block: tuple[int, ...]) -> list[str]:
    """What starts the debugger, with a breakpoint in each kernel that the pass launches."""
    here = [f"threadIdx.x == {thread}", *(f"blockIdx.{axis} == {at}" for axis, at in zip("xyz", block, strict=True))]
    stops = [f"break {program.path.name}:{kernel} if {' && '.join(here)}" for program, kernel in launches(name)]
    # No questions, no news of Python itself, nor a line for each of 64 threads.
    early = ["set auto-load python-scripts off", "set debuginfod enabled off", "set confirm off",
             "set print thread-events off", "set breakpoint pending on"]  # pending: the kernels are loaded later
    words = [word for line in early for word in ("-iex", line)]
    words += [word for line in (*stops, "run", "list") for word in ("-ex", line)]
    return ["gdb", "-q", *words, "--args", sys.executable, "-m", f"{__package__}._examples", name]


def _block(text: str) -> tuple[int, ...]:
    """3 -> (3, 0, 0); 1,2 -> (1, 2, 0)."""
    numbers = [int(number) for number in text.split(",")]
    return tuple((*numbers, 0, 0)[:3])


if __name__ == "__main__":
    sys.exit(main())
