"""Reading one sample, here or in a process of its own. It imports neither MXNet nor the program that started it."""
import contextlib
import multiprocessing
import signal
import sys

import cv2
import numpy as np


def sample_rng(seed, epoch, index):
    """The random numbers of one sample in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def load_sample(dataset, seed, epoch, index):
    """The arrays of one sample. What a dataset does not foresee becomes a RuntimeError that names the sample."""
    try:
        return dataset.load(index, sample_rng(seed, epoch, index))
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise RuntimeError(f"{dataset.describe(index)} could not be read: {error!r}") from error


class ReadingProcess:
    """A process that loads samples of a dataset, which must be picklable.

    It is spawned, not forked: MXNet's threads and locks do not survive a fork. It has a pipe to itself, so that its
    death, at whatever moment, ends the pipe; and it ends where the pipe does.
    """

    def __init__(self, dataset):
        context = multiprocessing.get_context("spawn")
        self._dataset, (self._connection, remote) = dataset, context.Pipe()
        self._process = context.Process(target=_serve, args=(remote, dataset), daemon=True)
        with _without_main_module():
            self._process.start()
        remote.close()

    def load(self, seed, epoch, index):
        """As `load_sample`; ChildProcessError, which names the sample, if the process died."""
        try:
            self._connection.send((seed, epoch, index))
            error, arrays = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(1)
            raise ChildProcessError(f"a reading process died (exit status {self._process.exitcode}) while it read "
                                    f"{self._dataset.describe(index)}: was it killed, or short of memory? Fewer "
                                    "--prefetch-threads need less memory") from None
        if error is not None:
            raise error
        return arrays

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.join()


def _serve(connection, dataset):
    """Answer each (seed, epoch, index) with (exception or None, arrays or None), until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process alone answers Ctrl-C
    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            request = connection.recv()
            try:
                answer = None, load_sample(dataset, *request)
            except Exception as error:
                answer = error, None
            connection.send(answer)


@contextlib.contextmanager
def _without_main_module():
    """Spawned processes import the main module anew, and MXNet with it: keep it from them, they need none of it."""
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)
