"""The workers of a training, as its parts see them; how they reach each other is their engine's.

All have the same parameters and momenta, bit for bit, and those of worker 0 are the run's. What else the workers must
know of each other goes through `gather`.
"""
import hashlib
import logging
import os
import threading
import time
from typing import Any, Dict, Iterable

import numpy as np

RANK = "DMLC_WORKER_ID"  # set by tools/launch.py


class Alone:
    """The only worker of a training; what an engine's `workers` gives is the same for several.

    Attributes
    ----------
    rank, count : int
        Of this worker; of all.
    store : object or None
        Through what the engine's Module adds up the workers' gradients.
    """

    rank: int = 0
    count: int = 1
    store: Any = None

    def gather(self, name: str, values: np.ndarray) -> np.ndarray:
        """All workers' `values` (count, …), which have one shape and dtype under one `name`."""
        return np.asarray(values)[None]

    def total(self, name: str, values: Any) -> np.ndarray:
        """The sum (float64 array) of all workers' `values`, which have one shape under one `name`."""
        return self.gather(name, np.asarray(values, np.float64)).sum(0)

    def require_same(self, things: Dict[str, Iterable[bytes]]) -> None:
        """ValueError that says which of `things`, {name: iterable of bytes}, the workers do not have in common."""
        if self.count == 1:
            return
        digests = self.gather("digests", np.array([_digest(parts) for parts in things.values()]))
        differing = [name for name, column in zip(things, digests.swapaxes(0, 1)) if (column != column[0]).any()]
        if differing:
            raise ValueError(f"the workers do not have the same {', '.join(differing)}: give all of them the same "
                             "command and files, and an --output that they share")

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *_: Any) -> None:
        pass


def _digest(parts: Iterable[bytes]) -> np.ndarray:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return np.frombuffer(digest.digest(), np.uint8)


class Watchdog:
    """While entered, ends the process where `beat` was not called for `minutes`: status 1, the reason in the log.

    A worker waits for ever for another one that died, inside its engine, where nothing else ends it. 0: never.
    """

    def __init__(self, minutes: float, waits_for: str) -> None:
        self._seconds, self._waits_for, self._ended = 60 * minutes, waits_for, threading.Event()

    def __enter__(self) -> "Watchdog":
        self.beat()
        if self._seconds:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()

    def beat(self) -> None:
        """There is progress."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(max(0.01, self._last + self._seconds - time.monotonic())):
            if time.monotonic() >= self._last + self._seconds:
                logging.getLogger("ademxapp").error(
                    "error: no progress for %g minutes (--stall-minutes) while waiting for %s: ending. Is another "
                    "worker, a server or the scheduler gone?", self._seconds / 60, self._waits_for)
                os._exit(1)
