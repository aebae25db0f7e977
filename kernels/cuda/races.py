"""Two threads at one address, found without a GPU: ThreadSanitizer's verdict on every pass, run on the emulator.

    python -m minifcn.kernels.cuda.races                    # every pass: clean, or what it reports
    python -m minifcn.kernels.cuda.races relu conv2d        # these alone, each with all its examples
    python -m minifcn.kernels.cuda.races --sources tried/   # with the .cu files of that folder instead of minifcn's own

A race is two threads of which one writes to an address that the other uses, with no __syncthreads between them. On a
GPU its result may be right a thousand times. Here each thread of a block is one of the operating system, and two blocks
that touch run at the same time, so ThreadSanitizer sees both accesses and that nothing orders them. It judges what it
saw: another branch, taken by other numbers, may still hold a race.

Exit status: 0 if all are clean, 1 if one is not, 2 if ThreadSanitizer cannot be had.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import _emulator
from ._examples import EXAMPLES, launches, pass_of, programs

LOG = "MINIFCN_RACES"  # where the second Python, which has ThreadSanitizer, finds its reports


def main(words: list[str] | None = None) -> int:
    """The command above."""
    parser = argparse.ArgumentParser(prog="python -m minifcn.kernels.cuda.races",
                                     description="ThreadSanitizer's verdict on CUDA kernels, without a GPU.")
    parser.add_argument("passes", metavar="PASS", nargs="*", help="such as relu (default: all)")
    parser.add_argument("--sources", metavar="FOLDER", type=Path, help="take .cu files from there where it has them")
    chosen, known = parser.parse_args(words), list(EXAMPLES)
    for name in chosen.passes:
        if name not in known:
            parser.error(f"expected passes, got {name}. Choose of {', '.join(known)}.")
    examples = [name for name in known if not chosen.passes or {name, pass_of(name)} & {*chosen.passes}]
    try:
        if LOG in os.environ:
            return _judge(examples, chosen.sources)
        return _start(sys.argv[1:] if words is None else words)
    except RuntimeError as error:
        print(f"minifcn: error: {error}", file=sys.stderr)
        return 2


def sanitizer() -> Path:
    """The library of ThreadSanitizer. Raises RuntimeError if the compiler has none."""
    question = [_emulator.compiler(), "-print-file-name=libtsan.so"]
    path = Path(subprocess.run(question, text=True, capture_output=True, check=True).stdout.strip())
    if not path.is_absolute() or not path.exists():
        raise RuntimeError(f"races: expected {question[0]} to have ThreadSanitizer, got no libtsan.so. "
                           f"Name another compiler by CXX: g++ has it on Linux.")
    return path.resolve()


def environment(log: Path) -> dict[str, str]:
    """What gives Python ThreadSanitizer, which writes its reports to this file, with .PID at its end."""
    return {
        "LD_PRELOAD": str(sanitizer()), "MINIFCN_EMULATOR": "thread", LOG: str(log),
        "TSAN_OPTIONS": f"log_path={log} exitcode=0 halt_on_error=0 report_thread_leaks=0",
        "OPENBLAS_NUM_THREADS": "1",  # of threads that NumPy ends at a fork, older ThreadSanitizers lose track and wait
    }


def _start(words: list[str]) -> int:
    """Once more from the beginning: ThreadSanitizer has to be there before Python is."""
    with tempfile.TemporaryDirectory() as folder:
        again = [sys.executable, "-m", f"{__package__}.races", *words]
        status = subprocess.run(again, env=os.environ | environment(Path(folder) / "report"), check=False).returncode
        if status in (0, 1, 2):
            return status
        said = "".join(path.read_text(errors="replace") for path in Path(folder).iterdir()).strip()
    raise RuntimeError(f"races: expected Python to run under ThreadSanitizer, got exit status {status}. {said}\n"
                       f"If that speaks of an unexpected memory mapping: sudo sysctl vm.mmap_rnd_bits=28")


def _judge(names: list[str], sources: Path | None) -> int:
    """Run the passes here, under ThreadSanitizer."""
    if not hasattr(ctypes.CDLL(None), "__tsan_init"):
        raise RuntimeError(f"races: expected {os.environ.get('LD_PRELOAD')} to be loaded before Python, got a Python "
                           f"without it. Use one that is linked dynamically.")
    if sources:
        _take(sources)
    log, verdict = Path(f"{os.environ[LOG]}.{os.getpid()}"), 0
    for name in names:
        before = len(_read(log))
        kernels = ", ".join(kernel for _, kernel in launches(name)) or "none launched"
        report = _read(log)[before:]
        print(f"{name} ({kernels}): {'RACE' if report else 'clean'}", *_accesses(report), sep="\n    ", flush=True)
        verdict |= bool(report)
    return verdict


def _accesses(report: str) -> list[str]:
    """Of a long report what a kernel's author needs: each pair of accesses, and the lines that they come from."""
    pairs = []
    for warning in report.split("WARNING: ")[1:]:
        found = re.findall(r"^  (\w[\w ]*) at 0x.*\n((?:    #\d.*\n)+)", warning, re.MULTILINE)
        lines = [f"{access.lower()}: {' in '.join(re.findall(r'[^/]*[.](?:cu|h):[0-9]+', _of_kernels(stack)))}"
                 for access, stack in found if re.search("(?i)(read|write) of size", access)]
        pairs.append("; ".join(lines) or warning)
    return list(dict.fromkeys(pairs))


def _of_kernels(stack: str) -> str:
    return "\n".join(line for line in stack.splitlines() if "emulator." not in line and "/c++/" not in line)


def _take(sources: Path) -> None:
    """Let the launchers that have a file in this folder use that one."""
    taken = [program for program in programs() if (sources / program.path.name).exists()]
    if not taken:
        raise RuntimeError(f"races: expected one of minifcn's .cu files in {sources}, got none. "
                           f"Copy the one that you want to change there, and keep its name.")
    for program in taken:
        program.path = sources.resolve() / program.path.name


def _read(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
