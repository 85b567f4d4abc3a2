"""What a training and its engine share: the optimisers and their learning rate, and the workers, as its parts see them.

How workers reach each other is their engine's. All have the same parameters and momenta, bit for bit, and those of
worker 0 are the run's. What else they must know of each other goes through `gather`.
"""
import hashlib
import logging
import math
import os
import threading
import time
from typing import Any, Dict, Iterable, Sequence

import numpy as np

SGD, NESTEROV, ADAM = "sgd", "torchnesterov", "stackedadam"  # what engines call their optimisers
OPTIMIZERS = {"sgd": SGD, "nesterov": NESTEROV, "adam": ADAM}  # by what users call them
TYPES = ("fixed", "step", "linear")
ADAM_BETA2, ADAM_EPSILON = 0.999, 1e-8


def adam_correction(updates: int, momentum: float) -> float:
    """What Adam's rate is multiplied by, as its means began at zero `updates` updates ago, this one being counted."""
    return math.sqrt(1 - ADAM_BETA2 ** updates) / (1 - momentum ** updates)


class Schedule:
    """The learning rate over `epochs` of `batches` updates: a function of the update's number.

    fixed: `base_lr`; step: a tenth of it after each of the epochs `lr_steps`; linear: from it straight down towards 0
    one update after the last, never under `stop_lr`. In the first `warmup` epochs it rises from 0 to that.
    """

    def __init__(self, kind: str, base_lr: float, epochs: int, batches: int, stop_lr: float = 0.0,
                 lr_steps: Sequence[int] = (), warmup: float = 0) -> None:
        if kind not in TYPES:
            raise ValueError(f"the learning rate's type is {kind!r}; known are {', '.join(TYPES)}")
        self.base_lr = base_lr  # MXNet looks at it
        self._kind, self._stop_lr, self._updates = kind, stop_lr, epochs * batches
        self._falls = [epoch * batches for epoch in lr_steps] if kind == "step" else []
        self._rise = math.ceil(warmup * batches)

    def __call__(self, num_update: int) -> float:
        if self._kind == "linear":
            rate = max(self._stop_lr, self.base_lr * (1 - num_update / (self._updates + 1)))
        else:
            rate = self.base_lr * 0.1 ** sum(num_update > fall for fall in self._falls)
        return rate * min(1.0, num_update / self._rise) if self._rise else rate


class Alone:
    """The only worker of a training; what an engine's `workers` gives is the same for several."""

    rank: int = 0  # of this worker
    count: int = 1  # of all
    store: Any = None  # through what the engine's Module adds up the workers' gradients

    def gather(self, name: str, values: np.ndarray) -> np.ndarray:
        """All workers' `values` (count, …), which have one shape and dtype under one `name`."""
        return np.asarray(values)[None]

    def total(self, name: str, values: Any) -> np.ndarray:
        """The sum (float64 array) of all workers' `values`, which have one shape under one `name`."""
        return self.gather(name, np.asarray(values, np.float64)).sum(0)

    def require_same(self, things: Dict[str, Iterable[bytes]]) -> None:
        """ValueError that says which of `things`, bytes in parts by name, the workers do not have in common."""
        if self.count == 1:
            return
        digests = []
        for parts in things.values():
            digest = hashlib.blake2b(digest_size=16)
            for part in parts:
                digest.update(part)
            digests.append(np.frombuffer(digest.digest(), np.uint8))
        found = self.gather("digests", np.array(digests)).swapaxes(0, 1)
        differing = [name for name, of_workers in zip(things, found) if (of_workers != of_workers[0]).any()]
        if differing:
            raise ValueError(f"the workers do not have the same {', '.join(differing)}: give all of them the same "
                             "command and files, and an --output that they share")

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *_: Any) -> None:
        pass


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
