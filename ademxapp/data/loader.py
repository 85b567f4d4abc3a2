"""One loader for every dataset: batches read ahead by threads or processes, into memory that all of them see.

What a batch holds is a function of (dataset, seed, epoch, batch number) alone; how many workers read it, and whether
they are threads or processes, changes nothing. Reading processes import this module: no MXNet here.
"""
import collections
import contextlib
import copy
import functools
import math
import mmap
import os
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import Any, Deque, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.data.lists import Sample
from ademxapp.processes import Processes


class Dataset:
    """Samples as a network takes them, which a `Loader` reads.

    For workers that are processes it must be picklable, and not of the main script. They hold it without its samples,
    and every request brings the one that it is of.
    """

    samples: Sequence[Sample]
    data_shape: Tuple[int, ...]  # of one sample
    label_shape: Tuple[int, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, Union[np.ndarray, np.floating]]:
        """Data and label of a sample, float32."""
        raise NotImplementedError

    def describe(self, index: int) -> str:
        """The name of a sample's image."""
        return self.samples[index].image_path


@dataclass(frozen=True)
class Batch:
    """Some samples: `data` (N, 3, H, W) and `label` (N, …), float32; of a `Loader`, until the next batch is asked for.

    `pad` is how many of the last are too many; `index` is the samples' places in the dataset, int.
    """

    data: np.ndarray
    label: np.ndarray
    pad: int = 0
    index: Optional[np.ndarray] = None


class Loader(contextlib.AbstractContextManager):
    """Batches over a random-access dataset, as an engine's Module takes them.

    With `shuffle`, every epoch has a new order. `drop_last` leaves out the samples at the end that fill no batch; else
    the last batch wraps around to the first samples and its `pad` tells how many it has too many. `kind` is "thread" or
    "process". Of `parts` equal shares of every epoch, the `part`-th is read.

    `late` counts the batches that were not ready when they were asked for. An exception of a worker, or its death, is
    raised by `next`; both name the sample's files.
    """

    def __init__(self, dataset: Dataset, batch_size: int, shuffle: bool = False, drop_last: bool = False, seed: int = 0,
                 workers: int = 1, kind: str = "thread", part: int = 0, parts: int = 1) -> None:
        if kind not in ("thread", "process"):
            raise ValueError(f"the prefetcher is {kind!r}; known are thread, process")
        if drop_last and len(dataset) // parts < batch_size:
            raise ValueError(f"{len(dataset)} images in {parts} part(s) do not fill one batch of {batch_size}: "
                             "use a smaller --batch-images")
        self.dataset, self.shuffle, self.drop_last, self.seed = dataset, shuffle, drop_last, seed
        self.batch_size, self.part, self.parts, self.workers, self.kind = batch_size, part, parts, max(1, workers), kind
        self.late = 0
        self._pending: Deque[Tuple[Batch, List[Future]]] = collections.deque()
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
        wait(self._cancel())  # what is being read still goes into the batches' memory
        self.epoch, self._next = epoch, batch
        count = len(self.dataset)
        order = np.random.default_rng([self.seed, epoch]).permutation(count) if self.shuffle else np.arange(count)
        self._order = order[self.part::self.parts][:count // self.parts]

    def reset(self) -> None:
        """Go to the next epoch; to the start of this one where no batch of it was read."""
        untouched = self._next == 0 and not self._pending
        self.start(self.epoch if untouched else self.epoch + 1)

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        """The next `Batch`, whose arrays stay as they are until another is asked for; StopIteration in the end."""
        while len(self._pending) < self._ahead and self._next < self.batches:
            self._pending.append(self._begun(self._next))
            self._next += 1
        if not self._pending:
            raise StopIteration
        batch, futures = self._pending[0]
        self.late += not all(future.done() for future in futures)
        for future in futures:
            future.result()
        self._pending.popleft()
        return batch

    def arrays(self) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """The rest of the epoch without padding: (data, label), each until the next is asked for."""
        for batch in self:
            count = self.batch_size - batch.pad
            yield batch.data[:count], batch.label[:count]

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

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _begun(self, number: int) -> Tuple[Batch, List[Future]]:
        """A batch that is being read, into the memory of the one that the caller has just given up."""
        if self._pool is None:  # of threads, each of which reads itself or waits for a process
            self._memory = BatchMemory(self._ahead, self.batch_size, self.dataset.data_shape, self.dataset.label_shape)
            if self.kind == "process":
                read = functools.partial(load_sample, _with_samples(self.dataset, {}), self._memory)
                self._processes = Processes(read, self.workers, "--prefetch-threads", niceness=0)
            self._pool = ThreadPoolExecutor(self.workers)
        room, places = number % self._ahead, number * self.batch_size + np.arange(self.batch_size)
        index, pad = self._order[places % len(self._order)], int((places >= len(self._order)).sum())
        batch = Batch(self._memory.data[room], self._memory.labels[room], pad, index)
        return batch, [self._pool.submit(self._load, room, place, self.seed, self.epoch, one)
                       for place, one in enumerate(index.tolist())]

    def _cancel(self) -> List[Future]:
        """Take back what no worker has begun to read; what is left."""
        left = [future for _, futures in self._pending for future in futures if not future.cancel()]
        self._pending.clear()
        return left

    def _load(self, *request: int) -> None:
        if self._processes is None:
            return load_sample(self.dataset, self._memory, *request)
        index = request[-1]
        sample = self.dataset.samples[index] if hasattr(self.dataset, "samples") else None
        return self._processes(f"the reading of {self.dataset.describe(index)}", *request, sample)


class BatchMemory:
    """Room for batches: `data` and `labels`, (batches, batch_size) + a sample's shape, float32.

    Pickled for a process that is being started, it is the same memory there. It has no name, so that nothing is left
    of it when its last user has ended, however that comes about.
    """

    def __init__(self, batches: int, batch_size: int, data_shape: Sequence[int], label_shape: Sequence[int],
                 handle: Optional[Any] = None) -> None:
        self._setting = batches, batch_size, tuple(data_shape), tuple(label_shape)
        shapes = [(batches, batch_size) + shape for shape in self._setting[2:]]
        sizes = [math.prod(shape) for shape in shapes]
        if handle is not None:
            self._handle = handle.detach()
        elif hasattr(os, "memfd_create"):
            self._handle = os.memfd_create("batches")
        else:  # no Linux
            with tempfile.TemporaryFile() as file:
                self._handle = os.dup(file.fileno())
        os.ftruncate(self._handle, 4 * sum(sizes))
        values = np.frombuffer(mmap.mmap(self._handle, 4 * sum(sizes)), np.float32)
        self.data, self.labels = (part.reshape(shape) for part, shape in zip(np.split(values, sizes[:1]), shapes))

    def __reduce__(self) -> Tuple:
        return BatchMemory, self._setting + (DupFd(self._handle),)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)


def load_sample(dataset: Dataset, memory: BatchMemory, batch: int, place: int, seed: int, epoch: int, index: int,
                sample: Optional[Any] = None) -> None:
    """Read one sample into its place of a batch; of a dataset that holds none, `sample`.

    What a dataset does not foresee is a RuntimeError with its name.
    """
    if sample is not None:
        dataset = _with_samples(dataset, {index: sample})
    try:
        arrays = dataset.load(index, np.random.default_rng([seed, epoch, index]))
        for room, array in zip((memory.data, memory.labels), arrays):
            if np.shape(array) != room.shape[2:]:
                raise TypeError(f"an array has the shape {np.shape(array)}, not {room.shape[2:]}")
            room[batch, place] = array
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise RuntimeError(f"{dataset.describe(index)} could not be read: {error!r}") from error


def _with_samples(dataset: Dataset, samples: Mapping[int, Sample]) -> Dataset:
    """A dataset that reads as another does, with samples of its own."""
    other: Any = copy.copy(dataset)
    other.samples = samples
    return other
