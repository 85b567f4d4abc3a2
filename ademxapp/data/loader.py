"""One loader for every dataset: batches read ahead by threads or processes.

What a batch holds is a function of (dataset, seed, epoch, batch number) alone; how many workers read it, and whether
they are threads or processes, changes nothing.
"""
import collections
import functools
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Deque, Iterator, List, Optional, Tuple

import numpy as np

from ademxapp.data.worker import BatchMemory, Dataset, load_request, load_sample, with_samples
from ademxapp.processes import Processes

KINDS = ("thread", "process")


@dataclass(frozen=True)
class Batch:
    """Some samples.

    Attributes
    ----------
    data, label : ndarray
        (N, 3, H, W) and (N, …) float32; of a `Loader`, until the next batch is asked for.
    pad : int
        How many of the last are too many.
    index : ndarray, optional
        Of the samples in the dataset, int.
    """

    data: np.ndarray
    label: np.ndarray
    pad: int = 0
    index: Optional[np.ndarray] = None


@dataclass(frozen=True)
class _Begun:
    """A batch that is being read into a `room` of the memory; `pad` and `index` are as of `Batch`."""

    room: int
    pad: int
    index: np.ndarray
    futures: List[Future] = field(default_factory=list)


class Loader:
    """Batches over a random-access dataset, as an engine's Module takes them.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int
    shuffle : bool
        A new order each epoch.
    drop_last : bool
        Leave out the samples at the end that fill no batch; else the last batch wraps around to the first samples
        and its `pad` tells how many it has too many.
    seed : int
    workers : int
    kind : {"thread", "process"}
    part, parts : int
        Read the `part`-th of `parts` equal shares of every epoch.

    `late` counts the batches that were not ready when they were asked for. An exception of a worker, or its death, is
    raised by `next`; both name the sample's files.
    """

    def __init__(self, dataset: Dataset, batch_size: int, shuffle: bool = False, drop_last: bool = False, seed: int = 0,
                 workers: int = 1, kind: str = "thread", part: int = 0, parts: int = 1) -> None:
        if kind not in KINDS:
            raise ValueError(f"the prefetcher is {kind!r}; known are {', '.join(KINDS)}")
        if drop_last and len(dataset) // parts < batch_size:
            raise ValueError(f"{len(dataset)} images in {parts} part(s) do not fill one batch of {batch_size}: "
                             "use a smaller --batch-images")
        self.dataset, self.shuffle, self.drop_last, self.seed = dataset, shuffle, drop_last, seed
        self.batch_size = batch_size
        self._given: Optional[int] = None  # the room of the batch that the caller has
        self.part, self.parts, self.workers, self.kind = part, parts, max(1, workers), kind
        self.epoch, self.late = 0, 0
        self._pending: Deque[_Begun] = collections.deque()
        self._running: List[Future] = []
        self._pool: Optional[ThreadPoolExecutor] = None
        self._processes: Optional[Processes] = None
        self._memory: BatchMemory  # while there is a pool
        self._ahead = 2 + -(-2 * self.workers // batch_size)  # batches: memory for two, work for every worker
        self.data_shape = (batch_size,) + tuple(dataset.data_shape)
        self.label_shape = (batch_size,) + tuple(dataset.label_shape)
        self.start(0)

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        samples = len(self.dataset) // self.parts
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def start(self, epoch: int, batch: int = 0) -> None:
        """Go to a batch of an epoch."""
        self._cancel()
        wait(self._running)  # they still write into the batches' memory
        self._free, self._given = list(range(self._ahead)), None
        self.epoch, self._next = epoch, batch
        self._order = np.arange(len(self.dataset))
        if self.shuffle:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))
        self._order = self._order[self.part::self.parts][:len(self.dataset) // self.parts]

    def reset(self) -> None:
        """Go to the next epoch; to the start of this one where no batch of it was read."""
        untouched = self._next == 0 and not self._pending
        self.start(self.epoch if untouched else self.epoch + 1)

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        """The next `Batch`, whose arrays stay as they are until another is asked for; StopIteration in the end."""
        begun = self._take()
        return Batch(self._memory.data[begun.room], self._memory.labels[begun.room], begun.pad, begun.index)

    def arrays(self) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """The rest of the epoch without padding: (data, label), each until the next is asked for."""
        for batch in self:
            count = self.batch_size - batch.pad
            yield batch.data[:count], batch.label[:count]

    def _take(self) -> _Begun:
        """The next batch, which is in the memory now; StopIteration in the end."""
        if self._given is not None:
            self._free.append(self._given)
            self._given = None
        while len(self._pending) < self._ahead and self._next < self.batches and self._free:
            self._submit(self._next)
            self._next += 1
        if not self._pending:
            raise StopIteration
        begun = self._pending[0]
        self.late += not all(future.done() for future in begun.futures)
        for future in begun.futures:
            future.result()
        self._given = begun.room
        return self._pending.popleft()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._cancel()
            if self._processes is not None:
                self._processes.close()
            self._pool.shutdown()
            self._processes = self._pool = None
            del self._memory
            self.start(self.epoch)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _submit(self, batch: int) -> None:
        pool = self._pool or self._open_pool()
        numbers = batch * self.batch_size + np.arange(self.batch_size)
        begun = _Begun(self._free.pop(), int((numbers >= len(self._order)).sum()),
                       self._order[numbers % len(self._order)])
        for place, index in enumerate(begun.index.tolist()):
            begun.futures.append(pool.submit(self._load, begun.room, place, self.seed, self.epoch, index))
        self._pending.append(begun)

    def _cancel(self) -> None:
        """Take back what no worker has begun to read."""
        self._running = [future for begun in self._pending for future in begun.futures if not future.cancel()]
        self._pending.clear()

    def _open_pool(self) -> ThreadPoolExecutor:
        """Start the threads, each of which reads itself or waits for a process."""
        self._memory = BatchMemory(self._ahead, self.batch_size, self.dataset.data_shape, self.dataset.label_shape)
        if self.kind == "process":
            bare = with_samples(self.dataset, {})
            self._processes = Processes(functools.partial(load_request, bare, self._memory), self.workers,
                                        "--prefetch-threads", niceness=0)
        self._pool = ThreadPoolExecutor(self.workers)
        return self._pool

    def _load(self, *request: int) -> None:
        if self._processes is None:
            return load_sample(self.dataset, self._memory, *request)
        index = request[-1]
        sample = self.dataset.samples[index] if hasattr(self.dataset, "samples") else None
        return self._processes(f"the reading of {self.dataset.describe(index)}", *request, sample)
