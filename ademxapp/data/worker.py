"""Reading samples, here or in processes of their own, into memory that all of them see.

It imports neither MXNet nor the program that started it.
"""
import contextlib
import math
import mmap
import multiprocessing
import os
import signal
from multiprocessing.reduction import DupFd

import cv2
import numpy as np

from ademxapp.processes import without_main_module


class BatchMemory:
    """Room for batches: `data` and `labels`, (batches, batch_size) + a sample's shape, float32.

    Pickled for a process that is being started, it is the same memory there. It has no name, so that nothing is left
    of it when its last user has ended, however that comes about.
    """

    def __init__(self, batches, batch_size, data_shape, label_shape, handle=None):
        self._setting = batches, batch_size, tuple(data_shape), tuple(label_shape)
        shapes = [(batches, batch_size) + shape for shape in self._setting[2:]]
        sizes = [math.prod(shape) for shape in shapes]
        self._handle = os.memfd_create("batches") if handle is None else handle.detach()
        if handle is None:
            os.ftruncate(self._handle, 4 * sum(sizes))
        values = np.frombuffer(mmap.mmap(self._handle, 4 * sum(sizes)), np.float32)
        self.data, self.labels = (part.reshape(shape) for part, shape in zip(np.split(values, sizes[:1]), shapes))

    def __reduce__(self):
        return BatchMemory, self._setting + (DupFd(self._handle),)

    def __del__(self):
        if hasattr(self, "_handle"):
            os.close(self._handle)


def sample_rng(seed, epoch, index):
    """The random numbers of one sample in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def load_sample(dataset, memory, batch, place, seed, epoch, index):
    """Read one sample into its place of a batch. What a dataset does not foresee is a RuntimeError with its name."""
    try:
        arrays = dataset.load(index, sample_rng(seed, epoch, index))
        for room, array in zip((memory.data, memory.labels), arrays):
            if np.shape(array) != room.shape[2:]:
                raise TypeError(f"an array has the shape {np.shape(array)}, not {room.shape[2:]}")
            room[batch, place] = array
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise RuntimeError(f"{dataset.describe(index)} could not be read: {error!r}") from error


class ReadingProcess:
    """A process that loads samples of a dataset, which must be picklable, into a `BatchMemory`.

    It is spawned, not forked: MXNet's threads and locks do not survive a fork. It has a pipe to itself, so that its
    death, at whatever moment, ends the pipe; and it ends where the pipe does.
    """

    def __init__(self, dataset, memory):
        context = multiprocessing.get_context("spawn")
        self._dataset, (self._connection, remote) = dataset, context.Pipe()
        self._process = context.Process(target=_serve, args=(remote, dataset, memory), daemon=True)
        with without_main_module():
            self._process.start()
        remote.close()

    def load(self, batch, place, seed, epoch, index):
        """As `load_sample`; ChildProcessError, which names the sample, if the process died."""
        try:
            self._connection.send((batch, place, seed, epoch, index))
            error = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(1)
            raise ChildProcessError(f"a reading process died (exit status {self._process.exitcode}) while it read "
                                    f"{self._dataset.describe(index)}: was it killed, or short of memory? Fewer "
                                    "--prefetch-threads need less memory") from None
        if error is not None:
            raise error

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.join()


def _serve(connection, dataset, memory):
    """Answer each (batch, place, seed, epoch, index) with an exception or None, until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process alone answers Ctrl-C
    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            request = connection.recv()
            try:
                answer = load_sample(dataset, memory, *request)
            except Exception as error:
                answer = error
            connection.send(answer)
