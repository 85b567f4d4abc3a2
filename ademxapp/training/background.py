"""What is written while the training goes on."""
from concurrent.futures import Future, ThreadPoolExecutor
from logging import Logger
from typing import Any, Callable, Optional


class Background:
    """Does one thing after another in a thread of its own.

    What goes wrong there is raised by the next call of a method, in the thread that calls; at the end of a run that
    itself goes wrong, it is logged.
    """

    def __init__(self, log: Logger) -> None:
        self._log, self._pool = log, ThreadPoolExecutor(1)
        self._last: Optional[Future] = None

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Have `function(*args)` called, once what was started before has ended."""
        self.wait()
        self._last = self._pool.submit(function, *args)

    def check(self) -> None:
        """Raise what has gone wrong, without waiting."""
        if self._last is not None and self._last.done():
            self.wait()

    def wait(self) -> None:
        """Wait until what was started has ended."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, _: Any, error: Optional[BaseException], __: Any) -> None:
        self._pool.shutdown()
        try:
            self.wait()
        except Exception as other:
            if error is None:
                raise
            self._log.error("error: %s", other)
