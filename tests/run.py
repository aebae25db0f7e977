"""The whole suite, in the order in which it is quickest: what `make test` and `make test-full` run.

    python tests/run.py          # all tests but those marked full
    python tests/run.py full     # these

Most tests run in two processes. Those of the emulator follow alone: a block of its threads meets at each barrier, which
takes microseconds on an idle machine and milliseconds where other work comes between them.
"""

import subprocess
import sys

PARTS = (("not emulator", ("-n", "2", "--dist", "loadfile")), ("emulator", ()))


def main(marks: list[str]) -> int:
    """Run both parts, the second also if the first failed; the first exit code that is not 0."""
    codes = []
    for part, options in PARTS:
        expression = " and ".join([*marks, part])
        print(f"pytest {' '.join(options)} -m {expression!r}", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", "pytest", "-q", *options, "-m", expression]).returncode)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
