"""A function in processes of its own, for work that keeps Python's lock; and steps side by side, in threads.

The processes import neither MXNet nor the program.
"""
import atexit
import collections
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Callable, Deque, Dict, Generator, Iterable, Iterator, List, Optional, Sequence, Tuple, TypeVar

import cv2
from tqdm import tqdm

from ademxapp.errors import SIGNALS

NICENESS = 10  # what the main process does goes first: the others wait for it sooner or later
CHUNK = 16  # items of a `Pool` that a process takes at a time
WORTH_IT = 256  # items from which on starting the processes takes less time than they save
Item = TypeVar("Item")
Result = TypeVar("Result")


class Processes(contextlib.AbstractContextManager):
    """`count` processes that call `function`, for as many threads at a time.

    They are spawned, not forked: MXNet's threads and locks do not survive a fork. Each has a pipe, which ends with the
    process at whichever end. They never see the signals that ask a program to stop, which a terminal or a batch system
    sends to all processes of it: the main process alone answers, and may need them for that.

    `function` is picklable, and its module does not import MXNet; by `option` users choose `count`, in messages.
    """

    def __init__(self, function: Callable[..., Any], count: int, option: str, niceness: int = NICENESS) -> None:
        context = multiprocessing.get_context("spawn")
        self._option = option
        self._all: List[Tuple[BaseProcess, Connection]] = []
        self._free: queue.SimpleQueue[Tuple[BaseProcess, Connection]] = queue.SimpleQueue()
        with _starting():
            for _ in range(count):
                connection, remote = context.Pipe()
                process = context.Process(target=_serve, args=(remote, function, niceness), daemon=True)
                process.start()
                remote.close()
                self._all.append((process, connection))
                self._free.put(self._all[-1])
        atexit.register(self.close)  # before multiprocessing's own end, which sends SIGTERM and waits

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they are at."""
        atexit.unregister(self.close)
        for process, _ in self._all:
            process.kill()
        for process, _ in self._all:
            process.join()

    def __call__(self, what: str, *arguments: Any) -> Any:
        """`function(*arguments)`, or what it raises, of the next free process; ChildProcessError if that died."""
        process, connection = worker = self._free.get()
        try:
            connection.send(arguments)
            error, result = connection.recv()
        except (EOFError, OSError):
            process.join(1)
            raise ChildProcessError(f"a process died (exit status {process.exitcode}) during {what}: was it killed, "
                                    f"or short of memory? Fewer {self._option} need less memory") from None
        finally:
            self._free.put(worker)
        if error is not None:
            raise error
        return result


class Pool(contextlib.AbstractContextManager):
    """`count` processes for functions of many items, started when they are first needed; users say --workers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._processes: Optional[Processes] = None

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they are at."""
        if self._processes is not None:
            self._processes.close()
            self._processes = None

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], description: str,
            chunk: int = CHUNK) -> Iterator[Result]:
        """`function(item)` of every item, in order, with a progress bar. Function and items must be picklable.

        A process takes `chunk` items at a time, and the results of some chunks wait in memory. An exception of the
        function ends the iteration; few items are done here.
        """
        few = self.count == 1 or len(items) < WORTH_IT
        results = map(function, items) if few else self._results(function, items, description, chunk)
        yield from tqdm(results, total=len(items), unit="image", desc=description, disable=None, dynamic_ncols=True)

    def _results(self, function: Callable[[Item], Result], items: Sequence[Item], description: str,
                 chunk: int) -> Iterator[Result]:
        if self._processes is None:
            self._processes = Processes(_of_all, self.count, "--workers", niceness=0)
        pending: Deque = collections.deque()
        with ThreadPoolExecutor(self.count) as threads:  # each waits for a process
            try:
                for first in range(0, len(items), chunk):
                    part = list(items[first:first + chunk])
                    pending.append(threads.submit(self._processes, description, function, part))
                    if len(pending) > 4 * self.count:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            except BaseException:  # nobody wants what they are at
                for future in pending:
                    future.cancel()
                self.close()
                raise


def _of_all(function: Callable[[Item], Result], items: Iterable[Item]) -> List[Result]:
    return [function(item) for item in items]


def _serve(connection: Connection, function: Callable[..., Any], niceness: int) -> None:
    """Answer the arguments that come with (exception or None, result or None), until the connection ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(niceness)
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as in the program itself
    with contextlib.suppress(EOFError, OSError):
        while True:
            arguments = connection.recv()
            try:
                answer: Tuple[Optional[Exception], Any] = None, function(*arguments)
            except Exception as error:
                answer = error, None
            connection.send(answer)


def _end_with_parent() -> None:
    """End this process, whatever it is at, where the main process was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Have the processes that are started within block `SIGNALS` for ever, and not import the main module and MXNet."""
    main = sys.modules["__main__"]
    hidden: Dict[str, Any] = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        resource_tracker.ensure_running()  # multiprocessing's own: it lets signals through when it has started
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        vars(main).update(hidden)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def overlapped(items: Iterable[Any], read: Callable[[Any], Any], forward: Callable[[Any], Any],
               finish: Callable[[Any], Result], workers: int = 1, finishers: int = 1) -> Generator[Result, None, None]:
    """`finish(forward(read(item)))` of every item, in order.

    `read` and `finish` run in threads (`workers`, `finishers`), ahead of and behind `forward`, which runs here: the
    network is not thread safe. An exception of any of them ends the iteration.
    """
    readers, others = ThreadPoolExecutor(workers), ThreadPoolExecutor(finishers)
    waiting = iter(items)
    reading: Deque[Future] = collections.deque()
    finishing: Deque[Future[Result]] = collections.deque()
    try:
        while True:
            while len(reading) <= workers:
                item = next(waiting, readers)
                if item is readers:
                    break
                reading.append(readers.submit(read, item))
            if not reading:
                break
            finishing.append(others.submit(finish, forward(reading.popleft().result())))
            while len(finishing) > finishers + 1:
                yield finishing.popleft().result()
        while finishing:
            yield finishing.popleft().result()
    finally:
        for future in (*reading, *finishing):
            future.cancel()
        readers.shutdown()
        others.shutdown()
