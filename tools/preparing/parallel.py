"""A function of many items, in processes, with a progress bar."""
import collections
import multiprocessing
import os
import signal
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

import cv2
from tqdm import tqdm

CHUNK = 16  # items that a process takes at a time
WORTH_IT = 256  # items from which on starting the processes takes less time than they save


class Workers:
    """Processes that are started when they are first needed. As a context manager, it ends them."""

    def __init__(self, count):
        self.count, self._pool = count, None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._pool is not None:
            self._pool.shutdown()

    def map(self, function, items, description, chunk=CHUNK):
        """`function(item)` of every item, in order. Function and items must be picklable.

        A process takes `chunk` items at a time, and the results of some chunks wait in memory. An exception of the
        function ends the iteration.
        """
        with tqdm(total=len(items), unit="image", desc=description, disable=None, dynamic_ncols=True) as bar:
            for result in self._results(function, items, chunk):
                yield result
                bar.update()

    def _results(self, function, items, chunk):
        if self.count == 1 or len(items) < WORTH_IT:
            yield from map(function, items)
            return
        if self._pool is None:  # spawned: what this process may have running does not survive a fork
            self._pool = ProcessPoolExecutor(self.count, multiprocessing.get_context("spawn"), _start)
        chunks = (items[first:first + chunk] for first in range(0, len(items), chunk))
        pending = collections.deque()
        try:
            for part in chunks:
                pending.append(self._pool.submit(_of_all, function, part))
                if len(pending) > 4 * self.count:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool:
            raise ChildProcessError("a worker process died: was it killed, or short of memory? Fewer --workers need "
                                    "less memory") from None
        finally:
            for future in pending:
                future.cancel()


def _start():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process alone answers Ctrl-C
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as in the program itself
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """End this process where the main process was killed: its queue would wait for ever."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _of_all(function, items):
    return [function(item) for item in items]
