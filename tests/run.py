"""The whole suite, in the order in which it is quickest: what `make test` and `make test-full` run.

    python tests/run.py          # all tests but those marked full
    python tests/run.py full     # these

Most tests run in two processes with one kernel thread each: two times two threads on two cores would wait for each
other. (What threads change is looked at by tests that say how many they want.) Those of the emulator follow alone: a
block of its threads meets at each barrier, which takes microseconds on an idle machine and milliseconds where other
work comes between them.
"""

import os
import subprocess
import sys

PARTS = (
    ("not emulator", ("-n", "2", "--dist", "loadfile"), {"MINIFCN_NUM_THREADS": "1"}),
    ("emulator", (), {}),
)


def main(marks: list[str]) -> int:
    """Run both parts, the second also if the first failed; the first exit code that is not 0."""
    codes = []
    for part, options, settings in PARTS:
        command = [sys.executable, "-m", "pytest", "-q", *options, "-m", " and ".join([*marks, part])]
        print(*(f"{name}={value}" for name, value in settings.items()), *command[1:], flush=True)
        codes.append(subprocess.run(command, env=settings | os.environ).returncode)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
