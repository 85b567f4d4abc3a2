"""Training with several workers, on one machine or on many, over MXNet's own parameter server.

The servers add up the workers' gradients and do nothing else: every worker runs the optimiser itself, on the same sums.
So all have the same parameters and momenta, bit for bit, and those of worker 0 are the run's. What else the workers
must know of each other goes the same way (`Workers.gather`).
"""
import hashlib
import logging
import os
import signal
import threading
import time

import numpy as np

from ademxapp.backend import mx
from ademxapp.stopping import SIGNALS

RANK = "DMLC_WORKER_ID"  # set by tools/launch.py; without it, MXNet's scheduler numbers the workers as they come


class Alone:
    """The only worker of a training, `Workers` for one."""

    rank, count, store = 0, 1, None

    def gather(self, _, values):
        """The values, behind an axis of length 1."""
        return np.asarray(values)[None]

    def total(self, name, values):
        """The sum (float64 array) of all workers' `values`, which have one shape under one `name`."""
        return self.gather(name, np.asarray(values, np.float64)).sum(0)

    def require_same(self, things):
        """ValueError that says which of `things`, {name: iterable of bytes}, the workers do not have in common."""
        if self.count == 1:
            return
        digests = self.gather("digests", np.array([_digest(parts) for parts in things.values()]))
        differing = [name for name, column in zip(things, digests.swapaxes(0, 1)) if (column != column[0]).any()]
        if differing:
            raise ValueError(f"the workers do not have the same {', '.join(differing)}: give all of them the same "
                             "command and files, and an --output that they share")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Workers(Alone, mx.kv.KVStoreBase):
    """All workers of a training, as one of them sees them; also the kvstore that MXNet's Module adds gradients up with.

    Making it waits until every worker, server and the scheduler are there. Its methods are called by all workers in
    the same order, and wait for each other.

    Attributes
    ----------
    rank, count : int
        Of this worker; of all.

    Raises
    ------
    ValueError
        If two workers have the same number.
    """

    def __init__(self):
        before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}  # no Python runs while it waits
        try:
            self._store = mx.kv.create("dist_sync")
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self._gathered = set()
        self.count = self._store.num_workers
        self._rank = int(os.environ.get(RANK, self._store.rank))
        if not 0 <= self._rank < self.count or (self.gather("ranks", np.uint16([1])) != 1).any():
            raise ValueError(f"this worker's number is {self._rank}: wanted 0 … {self.count - 1}, each for one worker. "
                             "Check the --index that tools/launch.py was given on each machine")

    store = property(lambda self: self)
    rank = property(lambda self: self._rank)
    num_workers = property(lambda self: self.count)
    type = "dist_sync"

    def gather(self, name, values):
        """All workers' `values` (count, …), which have one shape and dtype under one `name`."""
        values, key = np.asarray(values), f"gathered:{name}"
        words = np.frombuffer(values.tobytes(), np.uint16)  # MXNet's servers add in float32, which holds them exactly
        if key not in self._gathered:
            self._store.init(key, mx.nd.zeros((self.count, words.size)))
            self._gathered.add(key)
        slots = mx.nd.zeros((self.count, words.size))
        slots[self._rank] = words  # each fills in its own: the sum has all
        self._store.pushpull(key, slots)
        return np.frombuffer(slots.asnumpy().astype(np.uint16).tobytes(), values.dtype).reshape(-1, *values.shape)

    def init(self, key, value):
        """As MXNet's KVStore."""
        self._store.init(key, value)

    def pushpull(self, key, value, out=None, priority=0):
        """As MXNet's KVStore."""
        self._store.pushpull(key, value, out, priority)

    @staticmethod
    def is_capable(_):
        """Nothing more: the optimiser does not run on the servers."""
        return False

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if error is None:
            self._store = None  # waits for all; then the servers end


def _digest(parts):
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return np.frombuffer(digest.digest(), np.uint8)


class Watchdog:
    """While entered, ends the process where `beat` was not called for `minutes`: status 1, the reason in the log.

    A worker waits for ever for another one that died, inside MXNet, where nothing else ends it. 0 minutes: never.
    """

    def __init__(self, minutes, waits_for):
        self._seconds, self._waits_for, self._ended = 60 * minutes, waits_for, threading.Event()

    def __enter__(self):
        self.beat()
        if self._seconds:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ended.set()

    def beat(self):
        """There is progress."""
        self._last = time.monotonic()

    def _watch(self):
        while not self._ended.wait(max(0.01, self._last + self._seconds - time.monotonic())):
            if time.monotonic() >= self._last + self._seconds:
                logging.getLogger("ademxapp").error(
                    "error: no progress for %g minutes (--stall-minutes) while waiting for %s: ending. Is another "
                    "worker, a server or the scheduler gone?", self._seconds / 60, self._waits_for)
                os._exit(1)
