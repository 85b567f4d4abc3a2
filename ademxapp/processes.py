"""A function in processes of its own, for work that keeps Python's lock. They import neither MXNet nor the program."""
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
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, TypeVar

import cv2
from tqdm import tqdm

from ademxapp.stopping import SIGNALS

NICENESS = 10  # what the main process does goes first: the others wait for it sooner or later
CHUNK = 16  # items of a `Pool` that a process takes at a time
WORTH_IT = 256  # items from which on starting the processes takes less time than they save
Item = TypeVar("Item")
Result = TypeVar("Result")


class Processes:
    """`count` processes that call `function`, for as many threads at a time.

    They are spawned, not forked: MXNet's threads and locks do not survive a fork. Each has a pipe, which ends with the
    process at whichever end. They never see the signals that ask a program to stop, which a terminal or a batch system
    sends to all processes of it: the main process alone answers, and may need them for that.

    Parameters
    ----------
    function : callable
        Picklable for a process that is being started; its module must not import MXNet.
    count : int
    option : str
        The option by which users choose `count`, for messages.
    niceness : int
    """

    def __init__(self, function: Callable[..., Any], count: int, option: str, niceness: int = NICENESS) -> None:
        context = multiprocessing.get_context("spawn")
        self._option = option
        self._all: List[Tuple[BaseProcess, Connection]] = []
        self._free: queue.SimpleQueue[Tuple[BaseProcess, Connection]] = queue.SimpleQueue()
        with without_main_module(), _signals_blocked():
            for _ in range(count):
                connection, remote = context.Pipe()
                process = context.Process(target=_serve, args=(remote, function, niceness), daemon=True)
                process.start()
                remote.close()
                self._all.append((process, connection))
        atexit.register(self.close)  # before multiprocessing's own end, which sends SIGTERM and waits
        for worker in self._all:
            self._free.put(worker)

    def __enter__(self) -> "Processes":
        return self

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
        """`function(*arguments)` in the next free process; what it raises is raised here.

        ChildProcessError, which has the words `what`, if the process died.
        """
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


class Pool:
    """`count` processes for functions of many items, started when they are first needed. A context manager ends them.

    `option` is as of `Processes`.
    """

    def __init__(self, count: int, option: str = "--workers") -> None:
        self.count, self._option = count, option
        self._processes: Optional[Processes] = None

    def __enter__(self) -> "Pool":
        return self

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
        with tqdm(total=len(items), unit="image", desc=description, disable=None, dynamic_ncols=True) as bar:
            few = self.count == 1 or len(items) < WORTH_IT
            for result in map(function, items) if few else self._results(function, items, description, chunk):
                yield result
                bar.update()

    def _results(self, function: Callable[[Item], Result], items: Sequence[Item], description: str,
                 chunk: int) -> Iterator[Result]:
        if self._processes is None:
            self._processes = Processes(_of_all, self.count, self._option, niceness=0)
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
def _signals_blocked() -> Iterator[None]:
    """Have the processes that are started within block `SIGNALS` for ever, from their first moment on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        resource_tracker.ensure_running()  # multiprocessing's own: it lets signals through when it has started
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def without_main_module() -> Iterator[None]:
    """Spawned processes import the main module anew, and MXNet with it: keep it from them, they need none of it."""
    main = sys.modules["__main__"]
    hidden: Dict[str, Any] = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)
