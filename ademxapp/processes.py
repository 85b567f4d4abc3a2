"""A function in processes of its own, for work that keeps Python's lock. They import neither MXNet nor the program."""
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import warnings

import cv2

NICENESS = 10  # what the main process does goes first: the others wait for it sooner or later


class Processes:
    """`count` processes that call `function`, for as many threads at a time.

    They are spawned, not forked: MXNet's threads and locks do not survive a fork. Each has a pipe, which ends with the
    process at whichever end.

    Parameters
    ----------
    function : callable
        Picklable for a process that is being started; its module must not import MXNet.
    count : int
    option : str
        The option by which users choose `count`, for messages.
    niceness : int
    """

    def __init__(self, function, count, option, niceness=NICENESS):
        context = multiprocessing.get_context("spawn")
        self._option, self._all, self._free = option, [], queue.SimpleQueue()
        with without_main_module():
            for _ in range(count):
                connection, remote = context.Pipe()
                process = context.Process(target=_serve, args=(remote, function, niceness), daemon=True)
                process.start()
                remote.close()
                self._all.append((process, connection))
        for worker in self._all:
            self._free.put(worker)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """End the processes, whatever they are at."""
        for process, _ in self._all:
            process.kill()
        for process, _ in self._all:
            process.join()

    def __call__(self, what, *arguments):
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


def _serve(connection, function, niceness):
    """Answer the arguments that come with (exception or None, result or None), until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process alone answers Ctrl-C
    os.nice(niceness)
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as in the program itself
    with contextlib.suppress(EOFError, OSError):
        while True:
            arguments = connection.recv()
            try:
                answer = None, function(*arguments)
            except Exception as error:
                answer = error, None
            connection.send(answer)


@contextlib.contextmanager
def without_main_module():
    """Spawned processes import the main module anew, and MXNet with it: keep it from them, they need none of it."""
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)
