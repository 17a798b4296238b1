"""Ctrl-C while libraries load: held until the import is over.

An exception in the middle of a C++ library's import is one that it has no handler for: it ends in abort().
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# How often a held interrupt asks whether the import is over, seconds: a person does not notice.
ASK_EVERY_S = 0.1
IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


@contextlib.contextmanager
def held_during_imports() -> Iterator[None]:
    """Within it, SIGINT is KeyboardInterrupt as ever, but not in the middle of an import; a second one does not wait.

    Does nothing where there are no timers (Windows), outside the main thread, and where SIGINT is somebody else's.
    """
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    held = False

    # A timer of the system, not a thread: what runs inside a signal must not wait for a lock.
    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal held
        if not _importing(frame) or (number == signal.SIGINT and held):
            raise KeyboardInterrupt
        held = True
        signal.setitimer(signal.ITIMER_REAL, ASK_EVERY_S)

    alarm = signal.signal(signal.SIGALRM, ask)
    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, alarm)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False
