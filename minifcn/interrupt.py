"""Ctrl-C at a moment of our own choosing."""

import signal
import threading
from types import FrameType


class Interruptible:
    """Inside the `with` block a first Ctrl-C sets `asked` instead of interrupting; a second one interrupts.

    An update that is broken off half-way would leave weights that no uninterrupted run ever has.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Interruptible":
        self.main = threading.current_thread() is threading.main_thread()  # only there may handlers be set
        if self.main:
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.main:
            signal.signal(signal.SIGINT, self.before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
