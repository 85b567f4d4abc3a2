"""Stopping a run by a signal, at a moment that loses nothing."""
import contextlib
import os
import signal
import stat
import threading
from types import FrameType
from typing import Any, Dict, Iterator, Optional

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """A run ended because a signal asked for it. `status` is the exit status that says so: 128 + the signal."""

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{where}")
        self.status = 128 + number


def heeded() -> Iterator[int]:
    """The `SIGNALS` that a program answers: not SIGHUP under nohup, which has it ignored."""
    return (number for number in SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN)


def leave_terminal(number: int) -> None:
    """At SIGHUP, let what is written to the terminal go nowhere: it is gone, and writing there would fail."""
    if number == signal.SIGHUP:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
        os.close(nowhere)


class StopRequests:
    """While entered, `SIGNALS` are noted in `number` for the run to end when it can.

    A second signal, or any `at_once`, ends it where it is.
    """

    def __init__(self) -> None:
        self.number: Optional[int] = None
        self._at_once = False
        self._before: Dict[int, Any] = {}  # handlers

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():  # Python takes signals there alone
            self._before = {number: signal.signal(number, self._note) for number in heeded()}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within it, the first signal raises Stopped: nothing would be lost."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, _: Optional[FrameType]) -> None:
        leave_terminal(number)
        if self._at_once or self.number is not None:
            raise Stopped(number, "; --resume goes on from the last snapshot")
        self.number = number
