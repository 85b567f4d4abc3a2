"""One loader for every dataset: batches read ahead by threads or processes.

What a batch holds is a function of (dataset, seed, epoch, batch number) alone; how many workers read it, and whether
they are threads or processes, changes nothing.
"""
import collections
import contextlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from ademxapp.backend import mx
from ademxapp.data import worker

KINDS = ("thread", "process")


class Loader(mx.io.DataIter):
    """Batches over a random-access dataset, as MXNet's Module takes them.

    Parameters
    ----------
    dataset : object
        `len(dataset)`; `dataset.load(index, rng)` gives the arrays of one sample, all of one shape and dtype;
        `dataset.describe(index)` names its files; `dataset.data_shape` and `dataset.label_shape` are those of one
        sample. With process workers it must be picklable.
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
    """

    def __init__(self, dataset, batch_size, shuffle=False, drop_last=False, seed=0, workers=1, kind="thread",
                 part=0, parts=1):
        super().__init__(batch_size)
        if kind not in KINDS:
            raise ValueError(f"the prefetcher is {kind!r}; known are {', '.join(KINDS)}")
        if drop_last and len(dataset) // parts < batch_size:
            raise ValueError(f"{len(dataset)} images in {parts} part(s) do not fill one batch of {batch_size}: "
                             "use a smaller --batch-images")
        self.dataset, self.shuffle, self.drop_last, self.seed = dataset, shuffle, drop_last, seed
        self.part, self.parts, self.workers, self.kind = part, parts, max(1, workers), kind
        self.epoch, self._pending, self._pool = 0, collections.deque(), None
        self.provide_data = [mx.io.DataDesc("data", (batch_size,) + tuple(dataset.data_shape))]
        self.provide_label = [mx.io.DataDesc("softmax_label", (batch_size,) + tuple(dataset.label_shape))]
        self.start(0)

    @property
    def batches(self):
        """Batches in an epoch."""
        samples = len(self.dataset) // self.parts
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def start(self, epoch, batch=0):
        """Go to a batch of an epoch."""
        for futures in self._pending:
            for future in futures:
                future.cancel()
        self._pending.clear()
        self.epoch, self._next = epoch, batch
        self._order = np.arange(len(self.dataset))
        if self.shuffle:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))
        self._order = self._order[self.part::self.parts][:len(self.dataset) // self.parts]

    def reset(self):
        """Go to the next epoch; to the start of this one where no batch of it was read."""
        untouched = self._next == 0 and not self._pending
        self.start(self.epoch if untouched else self.epoch + 1)

    def next(self):
        """The next batch; StopIteration at the end of the epoch."""
        while len(self._pending) < 2 * self.workers and self._next < self.batches:
            self._submit(self._next)
            self._next += 1
        if not self._pending:
            raise StopIteration
        futures = self._pending[0]
        with self._reading_errors():
            samples = [future.result() for future in futures]
        self._pending.popleft()
        data, label = (mx.nd.array(np.stack(arrays), dtype=np.float32) for arrays in zip(*samples))
        return mx.io.DataBatch([data], [label], pad=sum(future.padding for future in futures),
                               index=np.array([future.index for future in futures]),
                               provide_data=self.provide_data, provide_label=self.provide_label)

    def close(self):
        """End the workers."""
        if self._pool is not None:
            self.start(self.epoch)
            self._pool.shutdown(wait=False)
            self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _submit(self, batch):
        places = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size)
        futures = []
        with self._reading_errors(), _without_main_script(self._pool is None):
            self._pool = self._pool or self._make_pool()
            for place in places:
                index = int(self._order[place % len(self._order)])
                task = worker.load_sample if self.kind == "process" else self._load_here
                futures.append(self._pool.submit(task, self.seed, self.epoch, index))
                futures[-1].index, futures[-1].padding = index, int(place >= len(self._order))
        self._pending.append(futures)

    def _load_here(self, seed, epoch, index):
        return self.dataset.load(index, worker.sample_rng(seed, epoch, index))

    def _make_pool(self):
        if self.kind == "thread":
            return ThreadPoolExecutor(self.workers)
        # Spawned, not forked: MXNet's threads and locks do not survive a fork.
        return ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"),
                                   worker.initialise, (self.dataset,))

    @contextlib.contextmanager
    def _reading_errors(self):
        try:
            yield
        except BrokenProcessPool:
            at_work = [self.dataset.describe(future.index) for futures in self._pending for future in futures
                       if future.running() or future.done()][:2 * self.workers]
            self._pool = None
            raise ChildProcessError("a reading process died (killed, or out of memory?) while these were read: "
                                    + (", ".join(at_work) or "none yet")
                                    + "; fewer --prefetch-threads need less memory") from None


@contextlib.contextmanager
def _without_main_script(active):
    """Spawned processes import the main script anew, and MXNet with it: keep it from them, they need none of it."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None) if active else None
    if path is None or getattr(main, "__spec__", None) is not None:
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = path
