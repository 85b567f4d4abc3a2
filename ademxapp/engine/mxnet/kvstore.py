"""Training with several workers, on one machine or on many, over MXNet's own parameter server.

The servers add up the workers' gradients and do nothing else: every worker runs the optimiser itself, on the same sums.
So all have the same parameters and momenta, bit for bit, and those of worker 0 are the run's. What else the workers
must know of each other goes the same way (`Workers.gather`).
"""
import os
import signal
from typing import Any, Optional, Set, Type

import numpy as np

from ademxapp.engine.mxnet.backend import mx
from ademxapp.errors import UsageError
from ademxapp.stopping import heeded
from ademxapp.training.distributed import RANK, Alone


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

    def __init__(self) -> None:
        before = {number: signal.signal(number, signal.SIG_DFL) for number in heeded()}  # no Python runs while it waits
        try:
            self._store = mx.kv.create("dist_sync")
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self._gathered: Set[str] = set()
        self.count = self._store.num_workers
        self._rank = int(os.environ.get(RANK, self._store.rank))
        if not 0 <= self._rank < self.count or (self.gather("ranks", np.array([1], np.uint16)) != 1).any():
            raise ValueError(f"this worker's number is {self._rank}: wanted 0 … {self.count - 1}, each for one worker. "
                             "Check the --index that tools/launch.py was given on each machine")

    store = property(lambda self: self)
    rank = property(lambda self: self._rank)
    num_workers = property(lambda self: self.count)
    type = "dist_sync"

    def gather(self, name: str, values: np.ndarray) -> np.ndarray:
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

    def init(self, key: Any, value: Any) -> None:
        """As MXNet's KVStore."""
        self._store.init(key, value)

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """As MXNet's KVStore."""
        self._store.pushpull(key, value, out, priority)

    @staticmethod
    def is_capable(_: str) -> bool:
        """Nothing more: the optimiser does not run on the servers."""
        return False

    def __exit__(self, error: Optional[Type[BaseException]], *_: Any) -> None:
        if error is None:
            self._store = None  # waits for all; then the servers end


def launched(kvstore: str) -> bool:
    """Whether this process is a worker of tools/launch.py; UsageError unless `kvstore` says so too."""
    distributed = kvstore == "dist_sync"
    if distributed != ("DMLC_ROLE" in os.environ):
        raise UsageError(f"--kvstore {kvstore} {'without' if distributed else 'under'} tools/launch.py, which "
                         "starts workers for --kvstore dist_sync: wanted both or neither")
    return distributed


workers = Workers
