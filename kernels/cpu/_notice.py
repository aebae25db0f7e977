"""Says why a first call takes long: a line on stderr once compiling has taken two seconds, and at its end.

Only functions of this package are counted; machine code that is loaded from disk is no compilation and says nothing.
"""

import atexit
import sys
import time
from typing import Any

from numba.core import event

PATIENCE = 2.0  # seconds that a person waits without a word


class Notice(event.Listener):
    """Hears of every compilation in this process.

    Attributes:
        functions, seconds: how many functions were compiled, and how long that took in all.
    """

    def __init__(self) -> None:
        self.functions, self.seconds, self.depth, self.told = 0, 0.0, 0, False

    def on_start(self, occasion: Any) -> None:
        if not _is_ours(occasion):
            return
        if not self.depth:  # a function that is called by one being compiled is compiled within its time
            self.began = time.perf_counter()
        self.depth += 1
        if not self.told and self.seconds > PATIENCE:
            self.told = True
            print("minifcn: compiling kernels for this processor; this is done once and kept on disk ...",
                  file=sys.stderr, flush=True)

    def on_end(self, occasion: Any) -> None:
        if not _is_ours(occasion):
            return
        self.functions += 1
        self.depth -= 1
        if not self.depth:
            self.seconds += time.perf_counter() - self.began

    def at_exit(self) -> None:
        if self.told:
            print(f"minifcn: compiled {self.functions} functions in {self.seconds:.0f} s; the next start loads them.",
                  file=sys.stderr)


def _is_ours(occasion: Any) -> bool:
    return occasion.data["dispatcher"].py_func.__module__.startswith(__package__)


NOTICE = Notice()
event.register("numba:compile", NOTICE)
atexit.register(NOTICE.at_exit)
