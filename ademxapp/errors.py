"""What ends a run early, errors and signals: how it is told, and how it comes at a moment that loses nothing."""
import contextlib
import os
import re
import signal
import stat
import threading
from types import FrameType
from typing import Any, Iterator, Optional

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # that ask for an end
# Of MXNet on CPUs and cards, PyTorch, NumPy, the system.
_OUT_OF_MEMORY = re.compile("failed to allocate|out of memory|(unable to|can.t) allocate", re.IGNORECASE)
_LESS_MEMORY = (": less is needed with a smaller --batch-images or --crop-size, with --backward-do-mirror in training, "
                "with --window where images are segmented")


class UsageError(ValueError):
    """Wrong use of a command: exit status 2."""


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Within it, a ValueError is of wrong use."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from None


def one_line(error: BaseException) -> str:
    """The message of an exception, without line breaks."""
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" -> ".join(names), error.strerror] if names else [error.strerror])
    text = str(error).rpartition("MXNetError: ")[2]  # which stands behind a traceback of C++
    text = " ".join(text.split()) or ("out of memory" if isinstance(error, MemoryError) else type(error).__name__)
    return text + _LESS_MEMORY if _OUT_OF_MEMORY.search(text) else text


class Stopped(Exception):
    """A run ended because a signal asked for it. `status` is the exit status that says so: 128 + the signal."""

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{where}")
        self.status = 128 + number


def heeded() -> Iterator[int]:
    """The `SIGNALS` that a program answers: not SIGHUP under nohup, which has it ignored."""
    return (number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN)


@contextlib.contextmanager
def answered_by(handler: Any) -> Iterator[None]:
    """Within it, a handler as `signal.signal` takes it answers the signals that are `heeded`."""
    here = threading.current_thread() is threading.main_thread()  # Python takes signals there alone
    before = {number: signal.signal(number, handler) for number in heeded() if here}
    try:
        yield
    finally:
        for number, other in before.items():
            signal.signal(number, other)


def leave_terminal(number: int) -> None:
    """At SIGHUP, let what is written to the terminal go nowhere: it is gone, and writing there would fail."""
    if number == signal.SIGHUP:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
        os.close(nowhere)


def stop_at_once(number: int, _: Optional[FrameType] = None) -> None:
    """Answer a signal where nothing would be lost, or nobody would wait."""
    leave_terminal(number)
    raise Stopped(number, "; --resume goes on from the last snapshot")


class StopRequests:
    """Where signals are `answered_by` its `note`, the first one is in `number`, for the run to end when it can.

    A second one ends it where it is.
    """

    number: Optional[int] = None

    def note(self, number: int, _: Optional[FrameType]) -> None:
        """Answer a signal."""
        if self.number is not None:
            stop_at_once(number)
        leave_terminal(number)
        self.number = number
