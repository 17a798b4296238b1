"""Ctrl-C while libraries load: held until the import is over.

An exception in the middle of a C++ library's import is one that it has no handler for: it ends in abort().
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


@contextlib.contextmanager
def held_during_imports() -> Iterator[None]:
    """Within it, SIGINT is KeyboardInterrupt as ever, but not in the middle of an import; a second one does not wait.

    Does nothing outside the main thread, and where SIGINT is somebody else's.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    held = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal held
        importer = _importer(frame)
        if held or importer is None:
            raise KeyboardInterrupt
        held = True
        # Whoever imports is stopped at the next line; what runs until then is not followed.
        importer.f_trace = _stop
        sys.settrace(_pass)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if held:
            sys.settrace(None)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _importer(frame: FrameType | None) -> FrameType | None:
    """The frame outside of all imports that are under way, None without one."""
    found = None
    while frame is not None:
        if frame.f_code.co_filename == IMPORT_SYSTEM:
            found = frame.f_back
        frame = frame.f_back
    return found


def _pass(frame: FrameType, event: str, value: Any) -> None:
    return None


def _stop(frame: FrameType, event: str, value: Any) -> None:
    sys.settrace(None)
    raise KeyboardInterrupt
