"""What is written while the training goes on."""
from concurrent.futures import ThreadPoolExecutor


class Background:
    """Does one thing after another in a thread of its own.

    What goes wrong there is raised by the next call of a method, in the thread that calls; at the end of a run that
    itself goes wrong, it is logged.
    """

    def __init__(self, log):
        self._log, self._pool, self._last = log, ThreadPoolExecutor(1), None

    def start(self, function, *args):
        """Have `function(*args)` called, once what was started before has ended."""
        self.wait()
        self._last = self._pool.submit(function, *args)

    def check(self):
        """Raise what has gone wrong, without waiting."""
        if self._last is not None and self._last.done():
            self.wait()

    def wait(self):
        """Wait until what was started has ended."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        self._pool.shutdown()
        try:
            self.wait()
        except Exception as other:
            if error is None:
                raise
            self._log.error("error: %s", other)
