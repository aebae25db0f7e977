"""Ctrl-C at a moment of our own choosing."""

import signal
import threading

import pytest

from minifcn.interrupt import Interruptible


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_the_first_asks_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with Interruptible() as interrupt:
        assert not interrupt.asked
        press_ctrl_c()
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_comes_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), Interruptible():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_it_does_nothing():
    """Python lets only the main thread set handlers."""
    seen = []

    def work():
        with Interruptible() as interrupt:
            seen.append(interrupt.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
