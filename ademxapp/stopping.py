"""Stopping a run by a signal, at a moment that loses nothing."""
import contextlib
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """A run ended because a signal asked for it. `status` is the exit status that says so: 128 + the signal."""

    def __init__(self, number, where=""):
        super().__init__(f"stopped by {signal.Signals(number).name}{where}")
        self.status = 128 + number


class StopRequests:
    """While entered, SIGTERM and SIGINT are noted in `number` for the run to end when it can.

    A second signal, or any `at_once`, ends it where it is.
    """

    def __init__(self):
        self.number, self._at_once, self._before = None, False, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python takes signals there alone
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def at_once(self):
        """Within it, the first signal raises Stopped: nothing would be lost."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _note(self, number, _):
        if self._at_once or self.number is not None:
            raise Stopped(number, "; --resume goes on from the last snapshot")
        self.number = number
